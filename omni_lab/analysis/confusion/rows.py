"""Rows of a foreign table of words, in blocks: CSV, TSV and the like, or JSON lines, each with its line.

Nothing is mended here: what does not parse is refused with file and line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from omni_lab.analysis.logs.source import Source, open_text
from omni_lab.errors import InputError, reason

BLOCK = 20_000  # rows
_DELIMITERS = (",", "\t", ";", "|")
_RIGHT = "a table of answers is CSV, TSV or JSON lines"
_ROWS = "a table of answers has a header and a row for every question"
_LOOK = 100  # rows of JSON that name the columns


class Block(NamedTuple):
    """Some rows as columns, with the line that every row begins in."""

    lines: list[int]
    columns: list[tuple[str, ...]]


class Rows(NamedTuple):
    """Header of a table, its rows, and what its encoding is."""

    header: list[str]
    blocks: Iterator[Block]
    encoding: str


def read_rows(path: Path, known: Callable[[str], bool]) -> Rows:
    """Rows of a table, in blocks that are read when they are asked for.

    Parameters
    ----------
    known : whether a name of a column tells something; of several delimiters, the one with the most
        such names is taken

    Raises
    ------
    InputError
        the file is empty, packed, binary or no such table; later, a row that does not parse
    """
    source = open_text(path, _RIGHT, _ROWS)
    start = source.start.lstrip()
    if start.startswith("["):
        raise InputError(f"{path}: one JSON document; {_RIGHT}, one object a line")
    if start.startswith("{"):
        header = _keys(source)
        return Rows(header, _blocks(_objects(source, header), len(header)), source.encoding)
    delimiter, header = _header(source, known)
    rows = _cells(source, delimiter, len(header))
    next(rows)
    return Rows(header, _blocks(rows, len(header)), source.encoding)


def _header(source: Source, known: Callable[[str], bool]) -> tuple[str, list[str]]:
    """Delimiter that makes the most known names of the first row, and the names."""

    def names(delimiter: str) -> list[str]:
        rows = csv.reader(io.StringIO(source.start), delimiter=delimiter)
        row = next((row for row in rows if any(cell.strip() for cell in row)), [])
        return [cell.strip() for cell in row]

    try:
        found = {delimiter: names(delimiter) for delimiter in _DELIMITERS}
    except csv.Error as error:
        raise InputError(f"{source.path}:1: no header ({error}); {_ROWS}") from None
    best = max(found, key=lambda one: (sum(map(known, found[one])), len(found[one])))
    return best, found[best]


def _cells(source: Source, delimiter: str, width: int) -> Iterator[tuple[int, list[str]]]:
    """Rows of cells with their lines, the header too; rows without any content are passed over."""
    line = 1
    with open(source.path, encoding=source.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for row in reader:
                if len(row) != width and any(row):
                    raise InputError(
                        f"{source.path}:{line}: {len(row)} cells, but the header has {width}; "
                        "put cells that hold the delimiter in quotes"
                    )
                if any(row):
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            wrong = "a quote is not closed" if "unexpected end" in str(error) else str(error)
            raise InputError(f"{source.path}:{line}: {wrong}; {_RIGHT}") from None
        except UnicodeError:
            wrong = f"letters that are not {source.encoding}, here or a little later"
            raise InputError(f"{source.path}:{line}: {wrong}; save the file as UTF-8") from None


def _keys(source: Source) -> list[str]:
    """Keys of the first objects, in the order of appearance."""
    first = (found for _, found in islice(_parsed(source), _LOOK))
    return list(dict.fromkeys(key for found in first for key in found))


def _objects(source: Source, header: list[str]) -> Iterator[tuple[int, list[str]]]:
    """JSON lines as rows of cells; a key that lacks is an empty cell."""
    for number, found in _parsed(source):
        yield number, [_cell(found.get(key)) for key in header]


def _parsed(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """JSON objects with their lines."""
    number = 0
    with open(source.path, encoding=source.encoding) as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    found = json.loads(line)
                    if not isinstance(found, dict):
                        raise ValueError("another value")
                    yield number, found
        except UnicodeError:
            wrong = f"letters that are not {source.encoding}, here or a little later"
            right = "save the file as UTF-8"
            raise InputError(f"{source.path}:{number + 1}: {wrong}; {right}") from None
        except (ValueError, RecursionError) as error:
            wrong = f"no JSON object ({reason(error)})"
            raise InputError(f"{source.path}:{number}: {wrong}; {_RIGHT}") from None


def _cell(value: Any) -> str:
    """Text of a JSON value as a cell, empty for null and NaN."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _blocks(rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[Block]:
    """Rows turned into columns, a block at a time."""
    lines: list[int] = []
    cells: list[list[str]] = []
    for line, row in rows:
        lines.append(line)
        cells.append(row)
        if len(lines) == BLOCK:
            yield Block(lines, list(zip(*cells, strict=True)))
            lines, cells = [], []
    if lines:
        yield Block(lines, list(zip(*cells, strict=True)))
