"""Atomic writes, canonical JSON, project folders: the one place that puts files on disk.

A file is written beside its place, flushed to disk, and renamed in one step: readers see all of it
or nothing, also after a power cut. A write that fails, as on a full disk, leaves what was there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20  # bytes read at once


def rename_into_place(temporary: Path, final: Path) -> None:
    """Atomic rename of a finished file, flushed to disk first."""
    flush(temporary)
    os.replace(temporary, final)
    flush(final.parent)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Atomic write of a whole file (text as UTF-8); a file of the same name is replaced.

    Raises
    ------
    OSError
        it cannot be written; a file of the same name is as it was
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with _named(path):
        try:
            temporary.write_bytes(data.encode() if isinstance(data, str) else data)
            rename_into_place(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)  # on a full disk its room is needed
            raise


def half_written(path: Path) -> list[Path]:
    """Files that `atomic_write` had begun for a path when its process was killed."""
    return sorted(path.parent.glob(f"{path.name}.*.tmp"))


def append_line(path: Path, line: str) -> None:
    """Append of one line (UTF-8): all of it or, where that fails, nothing.

    Raises
    ------
    OSError
        it cannot be written; the lines before are as they were
    """
    data = memoryview(f"{line}\n".encode())
    with _named(path), open(path, "ab", buffering=0) as file:
        before = file.tell()
        try:
            while data:  # a nearly full disk takes a part and refuses the rest
                data = data[file.write(data) :]
        except OSError:
            file.truncate(before)
            raise


def write_json(path: Path, data: Any) -> None:
    """Atomic write of a JSON value, indented for people."""
    atomic_write(path, json.dumps(data, indent=1) + "\n")


def replace_folder(temporary: Path, final: Path) -> None:
    """Rename of a finished folder, flushed to disk first; one of the same name goes afterwards.

    At no moment are both gone: until the new one stands in its place, the one before lies beside it
    as `NAME.old`, and is put back by `restore_folder` if the power goes in between.
    """
    for path in sorted(temporary.rglob("*"), reverse=True):
        flush(path)
    flush(temporary)
    restore_folder(final)
    old = _aside(final)
    if final.exists():
        final.rename(old)
    temporary.rename(final)
    flush(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(final: Path) -> None:
    """Put a folder back that `replace_folder` had moved aside when the power went."""
    old = _aside(final)
    if old.exists() and not final.exists():
        old.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Flush of a file, or of a folder's list of names, to disk (fsync)."""
    if path.is_dir():
        if os.name != "posix":
            return  # elsewhere a folder cannot be opened
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a network drive that knows no flush of folders
                raise
        finally:
            os.close(handle)
        return
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def checksum(path: Path) -> str:
    """CRC-32 of a file's bytes, eight hex digits: against accidents, not against people."""
    value = 0
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            value = zlib.crc32(data, value)
    return f"{value:08x}"


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


def _aside(final: Path) -> Path:
    return final.with_name(f"{final.name}.old")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of writing with the file's name, which a failed write does not carry."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
