"""Manifest of a checkpoint: size and checksum of every file, so that damage is found and named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from omni_lab.errors import reason
from omni_lab.storage import checksum, write_json

NAME = "files.json"


def write_manifest(folder: Path) -> None:
    """Write the manifest of a folder, last of its files."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != NAME)
    write_json(
        folder / NAME,
        {file.name: {"bytes": file.stat().st_size, "crc32": checksum(file)} for file in files},
    )


def damage(folder: Path, weights: str = "model.safetensors") -> str | None:
    """What is wrong with a folder's files, in words; None where they are as they were written.

    A folder without manifest (of an earlier version, or trimmed by hand) needs its weights only.
    """
    if not (folder / NAME).exists():
        if not (folder / weights).exists():
            return f"{weights} is missing"
        found = (_unreadable(file) for file in sorted(folder.glob("*.safetensors")))
        return next(filter(None, found), None)
    try:
        listed = json.loads((folder / NAME).read_text(encoding="utf-8"))
        expected = {name: (entry["bytes"], entry["crc32"]) for name, entry in listed.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"{NAME} is no manifest ({reason(error)})"
    wrong = (_changed(folder / name, *entry) for name, entry in expected.items())
    return next(filter(None, wrong), None)


def _changed(file: Path, size: Any, crc32: Any) -> str | None:
    """What has become of a file since it was written."""
    if not file.is_file():
        return f"{file.name} is missing"
    if (now := file.stat().st_size) != size:
        return f"{file.name} has {now:,} bytes of {size:,}" if now < size else f"{file.name} grew"
    if checksum(file) != crc32:
        return f"{file.name} has other bytes than were written"
    return None


def _unreadable(file: Path) -> str | None:
    """Why a safetensors file cannot be read; its header states how long it must be."""
    try:
        with safe_open(file, framework="pt"):
            return None
    except SafetensorError as error:
        return f"{file.name} is no whole safetensors file ({error})"


@contextmanager
def safetensors_as_os_errors(path: Path) -> Iterator[None]:
    """A full disk as the OSError that it is: safetensors reports it in words only."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), _words(str(error)), str(path)) from error


def _words(message: str) -> str:
    """The system's own words: 'No space left on device'."""
    found = re.search(r"([^:]+) \(os error", message)
    return found[1].strip() if found else message
