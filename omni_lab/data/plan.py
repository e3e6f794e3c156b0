"""Data plan: which documents stand in which row of which step, a function of lengths and seed.

The plan knows no ranks. A rank takes every `ranks`-th row of a step, so that a killed run goes on
within the epoch on any number of ranks, with no document read twice or left out. It costs
microseconds a document: on resuming, the steps before are planned again, and nothing is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from omni_lab.sequences.blend import furthest_behind
from omni_lab.sequences.packing import OpenRows

OPEN_ROWS = 16  # rows that wait for documents at a time
PATIENCE = 4 * OPEN_ROWS  # rows' worth of tokens after which an open row is closed as it stands


@runtime_checkable
class Ordered(Protocol):
    """What a plan asks of a data source."""

    def lengths(self) -> Int64[np.ndarray, " documents"]:
        """Length of every document, tokens."""

    def order(self, epoch: int) -> Int64[np.ndarray, " documents"]:
        """Permutation of an epoch."""


class Draw(NamedTuple):
    """One document drawn from a source."""

    source: str
    number: int
    length: int  # tokens
    epoch: int


class Plan:
    """Rows of documents by step, for sources in a ratio.

    Parameters
    ----------
    sources : by name, none of them empty, no document longer than a row
    ratio : weight of every source, whole numbers
    unit : what the ratio counts: clips (documents) or tokens
    batch_size : rows per step, over all ranks
    capacity : tokens of a row
    packed : several documents in a row, by best fit; else one
    """

    def __init__(
        self, sources: Mapping[str, Ordered], ratio: Mapping[str, int], unit: str,
        batch_size: int, capacity: int, packed: bool,
    ) -> None:  # fmt: skip
        self.sources, self.ratio, self.unit = dict(sources), dict(ratio), unit
        self.batch_size, self.capacity, self.packed = batch_size, capacity, packed
        self._lengths = {name: source.lengths() for name, source in sources.items()}
        self._begin()

    def _begin(self) -> None:
        self.drawn = dict.fromkeys(self.ratio, 0)  # documents of each source so far
        self.taken = dict.fromkeys(self.ratio, 0)  # of the ratio's unit
        self._tokens = 0  # drawn from all sources
        self._orders: dict[str, tuple[int, np.ndarray]] = {}
        self._open = OpenRows(self.capacity, OPEN_ROWS)  # of (draw, tokens drawn before it)
        self._step, self._rows = -1, []

    def rows(self, step: int) -> list[list[Draw]]:
        """Rows of a step, `batch_size` of them; steps in rising order cost least."""
        if step < self._step:
            self._begin()
        while self._step < step:
            self._rows = [self._row() for _ in range(self.batch_size)]
            self._step += 1
        return self._rows

    def _row(self) -> list[Draw]:
        """The next row: one document, or packed ones."""
        if not self.packed:
            return [self._draw()]
        while True:
            open_rows = self._open.rows
            if open_rows and self._tokens - open_rows[0][0][1] > PATIENCE * self.capacity:
                # what nothing fits beside would wait for ever: the oldest row goes as it stands
                self._open.free.pop(0)
                return [draw for draw, _ in open_rows.pop(0)]
            draw = self._draw()
            closed = self._open.put((draw, self._tokens), draw.length)
            if closed is not None:
                return [draw for draw, _ in closed]

    def waiting(self) -> list[Draw]:
        """Documents of rows that are still open, drawn but in no step so far."""
        return [draw for row in self._open.rows for draw, _ in row]

    def _draw(self) -> Draw:
        """The next document: of the source furthest behind, the next in its epoch's order."""
        name = furthest_behind(self.taken, self.ratio)
        lengths = self._lengths[name]
        epoch, place = divmod(self.drawn[name], len(lengths))
        if self._orders.get(name, (-1,))[0] != epoch:
            self._orders[name] = epoch, self.sources[name].order(epoch)

        number = int(self._orders[name][1][place])
        length = int(lengths[number])
        self.drawn[name] += 1
        self.taken[name] += 1 if self.unit == "clips" else length
        self._tokens += length
        return Draw(name, number, length, epoch)
