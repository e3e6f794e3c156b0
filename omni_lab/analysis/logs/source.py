"""Text of a foreign file: its encoding, and whether it is text at all."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omni_lab.errors import InputError, reason

SAMPLE = 65_536  # bytes that are looked at
LOG = "a log is CSV, JSON, JSONL or plain text"
STEPS = "a log has a row for every step"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_PACKED = {
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "Parquet", b"SQLite format 3": "SQLite",
}  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
EVENTS_NAME = ".tfevents."
_ANSI = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Source:
    """A file of text: where it lies, how it is encoded, and how it begins."""

    path: Path
    encoding: str
    start: str  # the first SAMPLE bytes as text, cut at a line's end where the file goes on
    whole: bool  # whether `start` is all of it

    def lines(self) -> Iterator[str]:
        """Lines, one after the other, without colours of a terminal; a line is never all of memory."""
        with open(self.path, encoding=self.encoding, errors="replace", newline=None) as file:
            for line in file:
                yield _ANSI.sub("", line) if "\x1b" in line else line

    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding=self.encoding, errors="replace")


def open_text(path: Path, right: str = LOG, rows: str = STEPS) -> Source:
    """Source of a file.

    Parameters
    ----------
    right, rows : what a right file is, and what its rows are, for the messages

    Raises
    ------
    InputError
        it is empty, packed or binary, or may not be read
    """
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: not a file (a folder, a pipe or a device); {right}")
        with open(path, "rb") as file:
            data = file.read(SAMPLE)
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror or reason(error)})") from None
    except ValueError as error:  # a name with a NUL in it
        raise InputError(f"{str(path)!r}: not readable ({reason(error)})") from None
    if not data.strip():
        raise InputError(f"{path}: empty; {rows}")
    for magic, name in _PACKED.items():
        if data.startswith(magic):
            raise InputError(f"{path}: {name} data; unpack it, or export it as CSV or JSONL")
    encoding, start = _decoded(data, path, right)
    whole = state.st_size <= SAMPLE
    if not whole and "\n" in start:
        start = start[: start.rindex("\n") + 1]
    return Source(path, encoding, start, whole)


def _decoded(data: bytes, path: Path, right: str) -> tuple[str, str]:
    """Encoding, and the sample in it."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and data[:400].count(0) > 0.3 * len(data[:400]):
        # every second byte is 0: UTF-16 that does not say so
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    encoding = encoding or ("utf-8" if _is_utf8(data) else "cp1252")
    text = data.decode(encoding, errors="replace")
    if len(_CONTROL.findall(text)) > 0.002 * len(text) + 1 or text.count("�") > 0.1 * len(text):
        raise InputError(f"{path}: binary data, no text; {right}")
    return encoding, text


def _is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8, but for a letter that the sample's end may cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def is_event_file(path: Path) -> bool:
    """Whether a file is TensorBoard's, by its name."""
    return EVENTS_NAME in path.name
