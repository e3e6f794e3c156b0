"""JSON logs: one object a line, a list of rows, columns by name, or such tables anywhere inside a document.

`trainer_state.json` of Hugging Face is the last kind (`log_history`), as is a record of an experiment with a curve per
arm and seed.
"""

from __future__ import annotations

import io
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omni_lab.analysis.logs.chunks import add_chunk, chunks
from omni_lab.analysis.logs.names import is_loss
from omni_lab.analysis.logs.source import Source
from omni_lab.analysis.logs.table import Table
from omni_lab.errors import InputError, reason

LARGEST = 400_000_000  # bytes of a JSON document, which is parsed whole
_DEEPEST, _ROWS = 7, 2  # of documents that are searched; rows that make a table


def read_lines(source: Source, wanted: Callable[[str], bool]) -> Table:
    """Table of JSON lines: every line is an object; what does not parse is counted and left out.

    Raises
    ------
    InputError
        most lines are no JSON objects
    """
    table, tally = Table(wanted), _Tally()
    if source.encoding not in ("utf-8", "utf-8-sig") or source.whole:
        tally.add_lines(table, source.lines())
        return tally.judged(table, source)
    for data in chunks(source):
        data = data.removeprefix(BOM_UTF8)
        if not add_chunk(table, data):
            tally.add_lines(table, io.StringIO(data.decode(errors="replace")))
            continue
        tally.total += data.count(b"\n")
        tally.last = True
    return tally.judged(table, source)


@dataclass
class _Tally:
    """Lines that were read, and those that did not parse."""

    total: int = 0
    bad: int = 0
    last: bool = True  # the last line is an object

    def add_lines(self, table: Table, lines: Iterable[str]) -> None:
        """Append the object of every line."""
        loads, add = json.loads, table.add
        for line in lines:
            if line.isspace() or line.startswith(("#", "//")):
                continue
            self.total += 1
            try:
                row = loads(line)
            except (ValueError, RecursionError):
                row = None
            self.last = type(row) is dict
            if self.last:
                add(row)
            else:
                self.bad += 1

    def judged(self, table: Table, source: Source) -> Table:
        """The table, with a note on lines that did not parse."""
        bad = self.bad
        if bad > max(1, self.total / 2):
            raise InputError(f"{source.path}: {bad} of {self.total} lines are no JSON objects")
        if bad and not self.last:
            table.notes.append("the last line is cut off and left out")
            bad -= 1
        if bad:
            table.notes.append(f"{bad} lines that are no JSON objects left out")
        return table


def read_document(source: Source, wanted: Callable[[str], bool]) -> dict[str, Table]:
    """Tables that a JSON document holds, by where they stand in it: `log_history`, `curves/direct/0`.

    Raises
    ------
    InputError
        it does not parse, or no table is in it
    """
    if source.path.stat().st_size > LARGEST:
        raise InputError(
            f"{source.path}: over {LARGEST // 10**6} MB of one JSON document; use JSONL"
        )
    try:
        document = json.loads(source.text())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source.path}: not readable as JSON ({reason(error)})") from None
    tables = {}
    for place, rows in _tables(document, ()):
        table = Table(wanted)
        for row in rows:
            table.add(row)
        tables["/".join(place)] = table
    if not tables:
        raise InputError(f"{source.path}: JSON without rows; a log is a list of objects or columns")
    return tables


def _tables(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[dict]]]:
    """Rows of every table inside a JSON value, with its place."""
    if isinstance(value, list) and _are_rows(value):
        yield place, [row for row in value if isinstance(row, dict)]
    elif isinstance(value, dict) and (columns := _columns(value)):
        yield place, columns
    elif len(place) < _DEEPEST and isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            if isinstance(part, dict | list):
                yield from _tables(part, (*place, str(key)))


def _are_rows(value: list) -> bool:
    """Whether a list holds objects that are rows: most have a number, and none is a table itself."""
    rows = [row for row in value if isinstance(row, dict)]
    if len(rows) < max(1, len(value) / 2):
        return False
    return not _columns(rows[0]) and any(_has_number(row) for row in rows[:50])


def _has_number(row: Mapping[str, Any], depth: int = 2) -> bool:
    return any(
        type(v) in (int, float) or (depth and isinstance(v, dict) and _has_number(v, depth - 1))
        for v in row.values()
    )


def _columns(value: Mapping[str, Any]) -> list[dict] | None:
    """Rows of an object whose values are columns of numbers of one length; None of any other."""
    lists = {k: v for k, v in value.items() if isinstance(v, list) and len(v) >= _ROWS}
    numbers = {
        k: v for k, v in lists.items() if all(type(x) in (int, float, type(None)) for x in v)
    }
    # an object that also has lists in it, such as the seeds of a record, is no table
    if not any(map(is_loss, numbers)) and len(numbers) < max(2, 0.6 * len(value)):
        return None
    length = max(map(len, numbers.values()))
    same = {k: v for k, v in numbers.items() if len(v) == length}
    return [dict(zip(same, row, strict=True)) for row in zip(*same.values(), strict=True)]
