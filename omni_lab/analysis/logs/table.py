"""Sparse table of a log: the columns that matter, as row numbers and values in flat arrays.

A million rows of Python dictionaries take gigabytes; here a value takes twelve bytes, and columns that no analysis
asks for are known by name only. A cell is absent, a number (NaN and infinity included), or a word.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Integer, UInt32

from omni_lab.analysis.logs.curve import Event
from omni_lab.errors import InputError

MOST_COLUMNS = 50_000  # names; above this a file has data in place of names
_DEPTH = 8  # of nested objects; deeper ones are no metrics
_DIGITS = r"\d[\d_]*+(?:\.\d*+)?|\.\d++"  # possessive: a cell of a million digits takes no longer
_NUMBER = re.compile(rf"[-+]?(?:{_DIGITS})(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ODD = {
    "nan": math.nan, "-nan": math.nan, "+nan": math.nan, "inf": math.inf, "+inf": math.inf,
    "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf, "1.#qnan": math.nan,
    "1.#inf": math.inf,
}  # fmt: skip


def number(text: str, comma: bool = False) -> float | None:
    """Number that a cell holds, or None: `2.5e-3`, `1_000`, `1,234.5`, `nan`, with `comma` also `2,5`.

    >>> number(" 2.5E-3 "), number("1,234.5"), number("2,5", comma=True), number("2,5")
    (0.0025, 1234.5, 2.5, None)
    >>> number("-inf"), number("12 ms"), number("")
    (-inf, None, None)
    """
    text = text.strip()
    if comma:
        text = text.replace(",", ".")
    if _NUMBER.fullmatch(text):
        return float(text.replace("_", ""))
    if _THOUSANDS.fullmatch(text):
        return float(text.replace(",", ""))
    return _ODD.get(text.lower())


class Column:
    """Cells of one column that are there: numbers and words, each with its row."""

    def __init__(self) -> None:
        self.rows, self.values = array("I"), array("d")
        self.word_rows, self.codes = array("I"), array("I")
        self.words: dict[str, int] = {}

    def add_word(self, row: int, word: str) -> None:
        """Append a cell that holds no number."""
        self.word_rows.append(row)
        self.codes.append(self.words.setdefault(word[:200], len(self.words)))

    @property
    def numbers(self) -> tuple[UInt32[np.ndarray, " cells"], Float64[np.ndarray, " cells"]]:
        """Rows and values of the cells that hold numbers, NaN and infinity included, in the order of rows."""
        rows, values = np.array(self.rows, np.uint32), np.array(self.values, np.float64)
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            return rows[order], values[order]
        return rows, values

    def spread(self, rows: int) -> Float64[np.ndarray, " rows"]:
        """One number per row of the table; NaN where there is none."""
        dense = np.full(rows, np.nan)
        dense[np.frombuffer(self.rows, np.uint32)] = np.frombuffer(self.values)
        return dense

    def spoken(self, rows: int) -> tuple[np.ndarray, list[str]]:
        """Code per row of the table (−1: none), and the word of every code; numbers are words too."""
        words, codes = list(self.words), np.full(rows, -1, np.int64)
        codes[np.frombuffer(self.word_rows, np.uint32)] = np.frombuffer(self.codes, np.uint32)
        values = np.frombuffer(self.values)
        if len(values):
            different, which = np.unique(values, return_inverse=True)
            codes[np.frombuffer(self.rows, np.uint32)] = which + len(words)
            words += [f"{value:g}" for value in different]
        return codes, words


class Table:
    """Rows of a log as columns.

    Parameters
    ----------
    wanted : name of a column → whether its cells are kept
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self.wanted, self.count = wanted, 0
        self.columns: dict[str, Column | None] = {}  # None: has numbers, not kept
        self.notes: list[str] = []
        self.events: list[Event] = []
        self.headless = False  # columns have numbers in place of names
        self._joined: dict[tuple[str, str], str] = {}
        self._idle: set[str] = set()  # columns of words that nobody asks for

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; objects within it are columns of their own, `facts` → `facts.colour`."""
        at, columns = self.count, self.columns
        self.count = at + 1
        for name, value in row.items():
            kind = type(value)
            if kind is float or kind is int:
                column = columns.get(name, self)
                if column is self:
                    column = self.begun(name)
                if column is not None:
                    self._append(column, at, value)
            elif kind is str:
                self.add_text(name, value, at)
            elif kind is dict:
                self._add_nested(name, value, at, 1)

    def _append(self, column: Column, at: int, value: float) -> None:
        try:
            column.values.append(value)
        except OverflowError:  # an integer of hundreds of digits
            column.values.append(math.inf if value > 0 else -math.inf)
        column.rows.append(at)

    def begun(self, name: str) -> Column | None:
        """Column of a new name."""
        if len(self.columns) >= MOST_COLUMNS:
            raise InputError(f"over {MOST_COLUMNS:,} columns; a log has names of metrics as keys")
        return self.columns.setdefault(name, Column() if self.wanted(name) else None)

    def add_text(self, name: str, text: str, at: int) -> None:
        """Append a cell of text: the number that it spells, or a word where words matter."""
        if name in self._idle or (name in self.columns and self.columns[name] is None):
            return
        column, value = self._parsed(name, text)
        if value is not None and column is not None:
            self._append(column, at, value)
        elif column is not None and text:
            column.add_word(at, text)

    def add_texts(self, name: str, text: str, at: Integer[np.ndarray, " cells"]) -> None:
        """Append cells of one text, at rows that rise."""
        column, value = self._parsed(name, text)
        if column is None:
            return
        rows = at.astype(np.uint32).tobytes()
        if value is not None:
            column.rows.frombytes(rows)
            column.values.frombytes(np.full(len(at), value).tobytes())
        elif text:
            column.word_rows.frombytes(rows)
            code = column.words.setdefault(text[:200], len(column.words))
            column.codes.frombytes(np.full(len(at), code, np.uint32).tobytes())

    def _parsed(self, name: str, text: str) -> tuple[Column | None, float | None]:
        """Column that a cell of text goes to, and its number; None where no one asks for it."""
        value = number(text)
        if name in self.columns:
            return self.columns[name], value
        if value is None and (name in self._idle or not self.wanted(name)):
            self._idle.add(name)
            return None, None
        return self.begun(name), value

    def _add_nested(self, name: str, inner: Mapping[str, Any], at: int, depth: int) -> None:
        joined = self._joined
        for key, value in inner.items():
            full = joined.get((name, key)) or joined.setdefault((name, key), f"{name}.{key}")
            kind = type(value)
            if kind is float or kind is int:
                column = self.columns[full] if full in self.columns else self.begun(full)
                if column is not None:
                    self._append(column, at, value)
            elif kind is str:
                self.add_text(full, value, at)
            elif kind is dict and depth < _DEPTH:
                self._add_nested(full, value, at, depth + 1)

    def numeric(self) -> list[str]:
        """Names of the columns that hold numbers, in order of appearance."""
        return [
            name
            for name, column in self.columns.items()
            if column is None or len(column.values) > 0
        ]

    def kept(self, name: str) -> Column:
        """Column of a name whose cells are kept."""
        column = self.columns.get(name)
        if column is None:
            raise KeyError(name)
        return column
