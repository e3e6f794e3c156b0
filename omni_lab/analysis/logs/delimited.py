"""Delimited logs: CSV, TSV and the like, with or without a header, with decimal points or commas.

Lightning's `metrics.csv` and chart or history exports of Weights & Biases are of this kind.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from omni_lab.analysis.logs.source import Source
from omni_lab.analysis.logs.table import Table, number
from omni_lab.errors import InputError, reason

_DELIMITERS = (",", "\t", ";", "|", " ")
_COMMENT = ("#", "//", "%")
_LOOK = 60  # rows of the sample that decide


@dataclass(frozen=True)
class Dialect:
    """How rows are written: what parts the cells, whether 2,5 is a number, the names above."""

    delimiter: str
    comma: bool  # decimal comma
    header: tuple[str, ...] | None  # None: the first row is data
    commented: bool  # the header stands in a comment


def dialect_of(start: str) -> Dialect | None:
    """Dialect in which most cells of a text are numbers, in rows of one length; None: no such."""
    lines = start.splitlines()
    body = [line for line in lines if line.strip() and not line.lstrip().startswith(_COMMENT)]
    found = [
        (score, -place, dialect)
        for place, delimiter in enumerate(_DELIMITERS)
        for comma in ((False, True) if delimiter != "," else (False,))
        if (scored := _scored(body[: _LOOK + 1], delimiter, comma))
        for score, dialect in [scored]
    ]
    if not found:
        return None
    best = max(found, key=lambda one: one[:2])[2]
    above = [line for line in lines[: lines.index(body[0])] if line.strip()]
    return _with_commented_header(best, above, body[0])


def _scored(lines: list[str], delimiter: str, comma: bool) -> tuple[float, Dialect] | None:
    """How well a dialect explains the lines: numbers per cell, and a little for more columns."""
    rows = list(_rows(iter(lines), delimiter))
    if not rows:
        return None
    header = None if _is_data(rows[0], comma) else tuple(cell.strip() for cell in rows[0])
    data = rows[1:] if header else rows
    width = len(header or rows[0])
    if not data or (width < 2 and delimiter != ","):
        return None
    cells = [cell for row in data for cell in row if cell.strip()]
    fitting = sum(len(row) == width for row in data) / len(data)
    if not cells or fitting < 0.7:
        return None
    numbers = sum(number(cell, comma) is not None for cell in cells) / len(cells)
    # a table of metrics may have a column of time or of names, but not most of them
    least = 0.3 if header and width > 1 and delimiter != " " else 0.9
    if numbers < least or (header and not any(header)):
        return None
    return numbers * fitting + 0.01 * (width > 1) - 0.001 * comma, Dialect(
        delimiter, comma, header, False
    )


def _is_data(row: list[str], comma: bool) -> bool:
    """Whether a first row is no header: some cell is a number, and none a name."""
    filled = [cell for cell in row if cell.strip()]
    numeric = sum(number(cell, comma) is not None for cell in filled)
    return bool(filled) and numeric >= max(1, len(filled) / 2)


def _with_commented_header(dialect: Dialect, above: list[str], first: str) -> Dialect:
    """The dialect, with the names that a comment above headless rows gives, as `# step loss`."""
    if dialect.header is not None or not above:
        return dialect
    line = above[-1].strip().lstrip("#/% ")
    names = next(_rows(iter([line]), dialect.delimiter), [])
    width = len(next(_rows(iter([first]), dialect.delimiter)))
    if len(names) != width or _is_data(names, dialect.comma):
        return dialect
    named = tuple(name.strip() for name in names)
    return Dialect(dialect.delimiter, dialect.comma, named, True)


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Rows of cells; any run of blanks is one delimiter where blanks part the cells."""
    if delimiter == " ":
        yield from (cells for line in lines if (cells := line.split()))
        return
    try:
        for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
            if row:
                yield row
    except csv.Error as error:
        raise InputError(f"not readable as rows of cells ({reason(error)})") from None


def read_delimited(source: Source, wanted: Callable[[str], bool]) -> Table:
    """Table of delimited rows; rows that hold no numbers are counted, a header that comes again is heeded.

    Raises
    ------
    InputError
        the text is no table
    """
    dialect = dialect_of(source.start)
    if dialect is None:
        raise InputError(f"{source.path}: no table of numbers")
    lines = (line for line in source.lines() if not line.lstrip().startswith(_COMMENT))
    rows = _rows(lines, dialect.delimiter)
    table = Table(wanted)
    header = dialect.header
    if header is None:
        table.headless, table.wanted = True, lambda name: True
        first = next(_rows(io.StringIO(source.start), dialect.delimiter))
        header = tuple(f"column {place}" for place in range(1, len(first) + 1))
    elif not dialect.commented:
        next(rows)
    try:
        _filled(table, rows, list(_distinct(header)), dialect)
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from None
    return table


def _distinct(header: tuple[str, ...]) -> Iterator[str]:
    """Names of columns, numbered where one comes twice or is empty."""
    seen: dict[str, int] = {}
    for place, name in enumerate(header, 1):
        name = name or f"column {place}"
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def _filled(table: Table, rows: Iterator[list[str]], header: list[str], dialect: Dialect) -> None:
    """Fill the table: cells that count are parsed, all others are only looked at in the first rows."""
    keep, short, odd = _kept(table, header), 0, 0
    last = True
    for row in rows:
        at, width = table.count, len(row)
        last = width >= len(header)
        if not last:
            short += 1
        if at < _LOOK:
            _look(table, header, row, dialect.comma)
        numbers = 0
        for place, name in keep:
            if place >= width:
                break
            cell = row[place]
            if cell:
                numbers += _put(table, name, cell, at, dialect.comma)
        if not numbers and _is_header(row, header, dialect.comma):
            header = list(_distinct(tuple(cell.strip() for cell in row)))
            keep, odd = _kept(table, header), odd + 1
            continue
        table.count = at + 1
    if not last and short:
        short -= 1
        table.notes.append("the last line is cut off")
    if short:
        table.notes.append(f"{short} rows have fewer cells than the header")
    if odd:
        table.notes.append(f"the header comes again {odd} times")


def _kept(table: Table, header: list[str]) -> list[tuple[int, str]]:
    """Place and name of the columns whose cells count."""
    return [(place, name) for place, name in enumerate(header) if table.wanted(name)]


def _is_header(row: list[str], header: list[str], comma: bool) -> bool:
    """Whether a row within the data is a header again: names in every cell, most of them known."""
    names = [cell.strip() for cell in row]
    if not all(names) or any(number(name, comma) is not None for name in names):
        return False
    return len(set(names) & set(header)) >= max(1, len(names) / 3)


def _look(table: Table, header: list[str], row: list[str], comma: bool) -> None:
    """Note the names of columns with numbers, in the order of the header, also those that nobody asks for."""
    for name, cell in zip(header, row, strict=False):
        if name not in table.columns and number(cell, comma) is not None:
            table.begun(name)


def _put(table: Table, name: str, cell: str, at: int, comma: bool) -> int:
    """Append a cell; 1 where it holds a number."""
    column = table.columns.get(name) or table.begun(name)
    try:
        value = float(cell)
    except ValueError:
        value = number(cell, comma)
        if value is None:
            if cell.strip():
                column.add_word(at, cell.strip())
            return 0
    column.rows.append(at)
    column.values.append(value)
    return 1
