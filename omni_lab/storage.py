"""Atomic writes, canonical JSON, project folders: the one place that puts files on disk.

A file is written beside its place, flushed to disk, and renamed in one step: readers see all of it
or nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rename_into_place(temporary: Path, final: Path) -> None:
    """Atomic rename of a finished file, flushed to disk first."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, final)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Atomic write of a whole file (text as UTF-8); a file of the same name is replaced."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    rename_into_place(temporary, path)


def write_json(path: Path, data: Any) -> None:
    """Atomic write of a JSON value, indented for people."""
    atomic_write(path, json.dumps(data, indent=1) + "\n")


def replace_folder(temporary: Path, final: Path) -> None:
    """Rename of a finished folder; a folder of the same name is removed first."""
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)


def canonical_json(data: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8; for digests and byte-stable files.

    >>> canonical_json({"b": 1, "a": [2]})
    b'{"a":[2],"b":1}'
    """
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def in_project(*parts: str) -> Iterator[Path]:
    """Candidate paths of a project file: below the working folder, then below the checkout."""
    for root in (Path(), Path(__file__).parents[1]):
        yield root.joinpath(*parts)
