"""Data source `text`: plain text, cut into pieces of at most a row; places are held, not the text.

A `.txt` file is one document; every line of a `.jsonl` file is one, under the key `text`. The last
piece of a document has an end mark, where the vocabulary has one. Text is read in blocks, so that a
file may be larger than memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from omni_lab.config import config_hash
from omni_lab.data.documents import Documents, seed_of
from omni_lab.data.pieces import IDLE
from omni_lab.data.table import Table, remembered
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError
from omni_lab.sequences.items import TEXT_END, Item, Sequence
from omni_lab.sequences.vocabulary import has_control

FILE, LINE, START, END, LENGTH = range(5)  # columns of the table of pieces
FORMS = (".txt", ".jsonl")
BLOCK = 1 << 20  # bytes of a .txt file read at a time
WINDOW_LINES = 1 << 20  # bytes of one file that count as one place in the windows of the shuffle
BRIEF = "without text"
Count = Callable[[str], int]


class TextDocuments(Documents):
    """Pieces of plain text, all of them supervised.

    Parameters
    ----------
    path : a `.txt` or `.jsonl` file, or a folder of such files
    writing : format of the stage
    tables : folder of side tables; None counts again

    Raises
    ------
    InputError
        there is no such file, no text in it, or a line that is no JSON record with `text`
    """

    name = "text"
    modalities = frozenset({"text"})

    def __init__(self, path: str | Path, writing: Writing, tables: Path | None = None) -> None:
        self.path, self.writing = Path(path), writing
        self.seed = seed_of(writing.seed, self.name)
        self._paths = _text_files(self.path)
        stats = [file.stat() for file in self._paths]
        identity = [
            [file.name, stat.st_size, stat.st_mtime_ns]
            for file, stat in zip(self._paths, stats, strict=True)
        ]
        self.data = config_hash(identity)
        self.fingerprint = writing.fingerprint(self.name, identity)

        table = remembered(self._measured, tables, self.name, self.fingerprint)
        self.places, self.left_out = table.columns, dict(table.left_out)
        self._last = self._closing(self.places)
        self._lengths = table.columns[:, LENGTH]
        windows = table.columns[:, LINE] // WINDOW_LINES
        self.files = table.columns[:, FILE] * (1 << 32) + windows
        if not len(self):
            raise InputError(f"{path}: no text that stage {writing.stage} can learn from")

    def _measured(self) -> Table:
        """Places and tokens of all pieces."""
        vocabulary = self.writing.vocabulary
        mark = int(has_control(vocabulary, TEXT_END))  # tokens that close a document
        row = self.writing.row - mark
        found: list[tuple[int, int, int, int, int]] = []
        left_out: Counter[str] = Counter()
        for number, path in enumerate(self._paths):
            for line, text in _blocks(path):
                if not text.strip():
                    left_out[BRIEF] += 1
                    continue
                for start, end, length in cut(text, row, self._count):
                    # the first token of a document is no label: one alone teaches nothing
                    if length > 1:
                        found.append((number, line, start, end, length))
                    else:
                        left_out[IDLE] += length
        columns = np.array(found, np.int64).reshape(-1, 5)
        columns[self._closing(columns), LENGTH] += mark
        return Table(columns, +left_out)

    def _closing(self, columns: Int64[np.ndarray, "pieces 5"]) -> Bool[np.ndarray, " pieces"]:
        """Whether each piece is the last of its document: of a file, or of a line."""
        lines = np.array([path.suffix == ".jsonl" for path in self._paths])
        documents = columns[:, [FILE, LINE]]
        documents[~lines[documents[:, 0]], 1] = 0
        return np.append((documents[1:] != documents[:-1]).any(1), True)[: len(columns)]

    def _count(self, text: str) -> int:
        return len(self.writing.vocabulary.encode(text))

    def __getitem__(self, number: int) -> Sequence:
        file, line, start, end, length = self.places[number].tolist()
        path = self._paths[file]
        text = _block_at(path, line)[start:end]
        name = f"{path.name}, byte {line}, characters {start} to {end}"
        whole = bool(self._last[number])
        sequence = Sequence(name, (Item("text", 0, 0, text, loss=True),), whole=whole)
        if (now := self.writing.length(sequence)) != length:
            message = f"{now} tokens, but {length} were planned: the file changed"
            raise InputError(f"{name}: {message}; start again with a new run")
        return sequence


def cut(text: str, most: int, count: Count) -> Iterator[tuple[int, int, int]]:
    """Cut of a text into pieces of at most `most` tokens, at line ends, else spaces, else anywhere.

    Every piece is counted as it will be written: alone. Together they are the text.

    >>> ["ab cd ef"[a:b] for a, b, _ in cut("ab cd ef", 6, len)]
    ['ab ', 'cd ef']

    Parameters
    ----------
    count : tokens of a text

    Yields
    ------
    start, end (characters) and tokens of every piece
    """
    start, per_token = 0, 4.0  # characters, a guess that each piece corrects
    while start < len(text):
        end = min(len(text), start + max(1, int(most * per_token)))
        end = _edge(text, start, end)
        length = count(text[start:end])
        while length > most and end - start > 1:
            shorter = start + max(1, int((end - start) * most / length * 0.95))
            end = _edge(text, start, min(shorter, end - 1))
            length = count(text[start:end])

        if length <= most:  # else one character that takes more than a row
            yield start, end, length
        per_token = (end - start) / max(1, length)
        start = end


def _edge(text: str, start: int, end: int) -> int:
    """Where to cut at `end` or a little before it: after a line end, or after a space."""
    if end >= len(text):
        return len(text)
    # never more than half of a piece is given up for a better place
    first = start + (end - start) // 2
    for mark in ("\n", " "):
        place = text.rfind(mark, first, end)
        if place >= 0:
            return place + 1
    return end


def _text_files(path: Path) -> list[Path]:
    """Files of text of a path, in order of their names.

    Raises
    ------
    InputError
        there is none
    """
    key, right = f"data.text={str(path)!r}", "give a .txt or .jsonl file, or a folder of them"
    if path.is_file() and path.suffix in FORMS:
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in FORMS and file.is_file())
        if found:
            return found
        raise InputError(f"{key}: a folder without text; {right}")
    what = "no file of text" if path.exists() else "there is no such file or folder"
    raise InputError(f"{key}: {what}; {right}")


def _blocks(path: Path) -> Iterator[tuple[int, str]]:
    """Byte offset and text of every line of a .jsonl file, of every block of a .txt file."""
    at = 0
    with open(path, "rb") as file:
        while data := _next_block(file, path.suffix):
            yield at, _decoded(data, path, at)
            at += len(data)


def _next_block(file, suffix: str) -> bytes:
    """Bytes of the next line, or of the next block: whole lines where they are not huge."""
    if suffix == ".jsonl":
        return file.readline()
    data = file.read(BLOCK)
    if len(data) < BLOCK:
        return data
    data += file.readline(BLOCK)
    while (byte := file.read(1)) and byte[0] & 0xC0 == 0x80:  # the rest of one UTF-8 character
        data += byte
    if byte:
        file.seek(-1, 1)
    return data


def _decoded(data: bytes, path: Path, at: int) -> str:
    """Text of a line or block.

    Raises
    ------
    InputError
        it is not UTF-8, or no JSON record with `text`
    """
    try:
        text = data.decode()
        if path.suffix != ".jsonl" or not text.strip():
            return text
        text = json.loads(text)["text"]
        if not isinstance(text, str):
            raise TypeError(f"text is {type(text).__name__}")
        return text
    except (ValueError, KeyError, TypeError) as error:
        right = 'a line is {"text": …} in UTF-8' if path.suffix == ".jsonl" else "text is UTF-8"
        raise InputError(f"{path}: byte {at} is no text ({error!r}); {right}") from None


def _block_at(path: Path, at: int) -> str:
    """Text of the line or block that begins at a byte."""
    try:
        with open(path, "rb") as file:
            file.seek(at)
            return _decoded(_next_block(file, path.suffix), path, at)
    except OSError as error:
        raise InputError(f"{path}: does not open ({error.strerror})") from None
