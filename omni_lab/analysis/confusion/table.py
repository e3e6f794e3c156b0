"""Table of answers: one question per row, which modality is asked, what was answered, what each one says.

Cells become numbers and digests while the file is read, so that a row takes about 60 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int8, Int32, UInt64

from omni_lab.analysis.confusion.conditions import Condition, condition_of
from omni_lab.analysis.confusion.names import (
    GROUPS,
    SENSES,
    find_columns,
    is_known,
    sense_of,
)
from omni_lab.analysis.confusion.rows import Block, read_rows
from omni_lab.analysis.confusion.wording import absent, digest, raw_digest
from omni_lab.analysis.logs.names import column_named
from omni_lab.errors import InputError

NO_SENSE = len(SENSES)  # followed: none
MOST_GROUPS = 500
_OPTIONAL = ("answer", "followed", "item", "condition", "correct", "label")
_NONE = {"none", "neither", "nothing", "no", "other", "unknown"}
_TRUE = {"1", "true", "yes", "right", "correct", "1.0", "t", "y"}
_FALSE = {"0", "false", "no", "wrong", "incorrect", "0.0", "f", "n"}


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers as flat arrays, one entry per question; None where the table has no such column."""

    path: str
    columns: dict[str, str]  # role → name of its column
    asked: Int8[np.ndarray, " questions"]  # index into SENSES
    answer: UInt64[np.ndarray, " questions"] | None  # digests; 0 is an empty answer
    contents: dict[str, UInt64[np.ndarray, " questions"]]  # by sense; 0 where it has none
    followed: Int8[np.ndarray, " questions"] | None  # index into SENSES, NO_SENSE
    item: UInt64[np.ndarray, " questions"] | None  # digests
    condition: Int32[np.ndarray, " questions"] | None  # index into `conditions`
    conditions: tuple[Condition, ...]
    correct: Int8[np.ndarray, " questions"] | None
    label: UInt64[np.ndarray, " questions"] | None  # digests
    group: Int32[np.ndarray, " questions"]  # index into `groups`
    groups: tuple[str, ...]  # models, checkpoints or steps, in the order of their numbers
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.asked)


def read_answers(
    path: Path | str, columns: Mapping[str, str] | None = None, by: Sequence[str] = ()
) -> Answers:
    """Table of answers of any origin: CSV, TSV or JSON lines, its columns found by name.

    Parameters
    ----------
    columns : role (`asked`, `answer`, `image` …) → name of a column, where it cannot be told; an
        empty name leaves an optional one out
    by : columns whose values make the groups; none: those of model, checkpoint and step

    Raises
    ------
    InputError
        the file is no such table, or a row of it cannot be read; with file and line
    UsageError
        a column or a role that was asked for does not exist
    """
    rows = read_rows(Path(path), is_known)
    places = find_columns(rows.header, columns or {}, str(path))
    named = [column_named(name, rows.header, "--by ") for name in by]
    grouping = [rows.header.index(n) for n in named] or [places[r] for r in GROUPS if r in places]
    readers = _readers(places)
    groups, parts = _Numbers(_group), []
    for block in rows.blocks:
        parts.append(_read(block, readers, places, groups, grouping, str(path)))
    if not parts:
        raise InputError(f"{path}: no row below the header; a table of answers has one a question")
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order, names = _ordered(_named(groups.names, [rows.header[place] for place in grouping]))
    conditions = readers["condition"].names if "condition" in readers else []
    return Answers(
        path=str(path),
        columns={role: rows.header[place] for role, place in places.items()},
        asked=found["asked"],
        contents={sense: found[sense] for sense in SENSES if sense in found},
        **{role: found.get(role) for role in _OPTIONAL},
        conditions=tuple(map(condition_of, conditions)),
        group=order[found["group"]],
        groups=names,
        notes=[] if rows.encoding.startswith("utf") else [f"read as {rows.encoding}, not as UTF-8"],
    )


class _Cells(dict):
    """What every different cell of a column means, worked out once.

    Parameters
    ----------
    mean : cell → number; InputError where it means nothing
    """

    most = 200_000  # cells that are remembered

    def __init__(self, mean: Callable[[Any], int], kind: type) -> None:
        super().__init__()
        self.mean, self.kind = mean, kind

    def __missing__(self, cell: Any) -> int:
        if len(self) >= self.most:
            self.clear()
        self[cell] = value = self.mean(cell)
        return value

    def read(self, column: Iterable[Any]) -> np.ndarray:
        """Numbers of a column."""
        return np.array([self[cell] for cell in column], self.kind)


class _Numbers(_Cells):
    """Different values of a column, numbered as they come; few of them, and all remembered."""

    most = 1 << 62

    def __init__(self, check: Callable[[Any], Any]) -> None:
        super().__init__(self._number, np.int32)
        self.check: Callable = check
        self.names: list[Any] = []

    def _number(self, cell: Any) -> int:
        value = self.check(cell)
        if value not in self.names:
            if len(self.names) == MOST_GROUPS:
                raise InputError(
                    f"over {MOST_GROUPS} different values; --by NAME says another column"
                )
            self.names.append(value)
        return self.names.index(value)


def _readers(places: Mapping[str, int]) -> dict[str, _Cells]:
    """How the cells of every role are read."""
    every = {
        "asked": _Cells(_sense, np.int8),
        "answer": _Cells(digest, np.uint64),
        "followed": _Cells(_followed, np.int8),
        **{sense: _Cells(digest, np.uint64) for sense in SENSES},
        "item": _Cells(lambda cell: raw_digest(_filled(cell)), np.uint64),
        "condition": _Numbers(lambda cell: condition_of(_filled(cell)).name),
        "correct": _Cells(_truth, np.int8),
        "label": _Cells(lambda cell: digest(_filled(cell)), np.uint64),
    }
    return {role: every[role] for role in places if role in every}


def _read(
    block: Block,
    readers: Mapping[str, _Cells],
    places: Mapping[str, int],
    groups: _Numbers,
    grouping: Sequence[int],
    where: str,
) -> dict[str, np.ndarray]:
    """Arrays of one block; a cell that means nothing is refused with its line."""
    columns = {role: block.columns[places[role]] for role in readers}
    chosen = [block.columns[place] for place in grouping]
    columns["group"] = list(zip(*chosen, strict=True)) if chosen else [()] * len(block.lines)
    found = {}
    for role, cells in columns.items():
        reader = readers.get(role, groups)
        try:
            found[role] = reader.read(cells)
        except InputError as error:
            line = _first_wrong(reader, cells, block.lines)
            raise InputError(f"{where}:{line}: {role}: {error}") from None
    return found


def _first_wrong(reader: _Cells, cells: Iterable[Any], lines: list[int]) -> int:
    """Line of the first cell that a reader refuses."""
    for line, cell in zip(lines, cells, strict=True):
        try:
            reader[cell]
        except InputError:
            return line
    return lines[-1]


def _filled(cell: str) -> str:
    if absent(cell):
        raise InputError("empty cell; every row has a value here")
    return cell.strip()


def _sense(cell: str) -> int:
    found = sense_of(_filled(cell))
    if found is None:
        right = f"use {', '.join(SENSES[:-1])} or {SENSES[-1]}"
        raise InputError(f"{cell.strip()[:60]!r} is no modality; {right}")
    return SENSES.index(found)


def _followed(cell: str) -> int:
    return NO_SENSE if absent(cell) or cell.strip().lower() in _NONE else _sense(cell)


def _truth(cell: str) -> int:
    said = _filled(cell).lower()
    if said not in _TRUE | _FALSE:
        raise InputError(f"{said[:60]!r} is neither true nor false; use 1 or 0")
    return int(said in _TRUE)


def _group(cells: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_filled(cell) for cell in cells)


def _named(groups: list[tuple[str, ...]], columns: Sequence[str]) -> list[str]:
    """Names of groups: the values of those columns that differ, numbers with their column's name."""
    differ = [len(set(values)) > 1 for values in zip(*groups, strict=True)]
    kept = differ if any(differ) else [True] * len(differ)

    def said(column: str, value: str) -> str:
        return value if re.search(r"[^\W\d_]{2}", value) else f"{column} {value}"

    named = [map(said, columns, values) for values in groups]
    return [" · ".join(compress(parts, kept)) for parts in named]


def _ordered(names: list[str]) -> tuple[Int32[np.ndarray, " names"], tuple[str, ...]]:
    """Place of every name among all, numbers in them by size, and the names in that order."""

    def key(name: str) -> list[tuple[int, float, str]]:
        parts = re.split(r"(\d+)", name)
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]

    order = sorted(names, key=key)
    return np.array([order.index(name) for name in names], np.int32), tuple(order)
