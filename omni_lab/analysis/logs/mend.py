"""Mending of a column: faults left out, rows in order, steps taken again after a restart counted once.

Everything that is changed is counted, so that a note can say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from omni_lab.analysis.logs.curve import Curve, Event

_ORDERLY = 0.1  # fraction of rows that may step back before a log counts as unsorted
_WIDE = 5.0  # times the usual distance of rows: a gap
_MOST_GAPS = 20  # events; more are only counted


@dataclass(frozen=True)
class Mended:
    """Column as a curve, and what was done to it."""

    steps: Float64[np.ndarray, " points"]
    values: Float64[np.ndarray, " points"]
    faults: Float64[np.ndarray, " faults"]  # steps with NaN or infinity
    restarts: tuple[tuple[float, float], ...]  # step gone back to, step reached before
    unordered: int  # rows that stood after a later one
    duplicates: int  # rows that say again what another says
    repeated: int  # rows of a step that another row has too, with another value

    def curve(self, name: str) -> Curve:
        """The curve under a name."""
        return Curve(name, self.steps, self.values)


def mended(steps: Float64[np.ndarray, " rows"], values: Float64[np.ndarray, " rows"]) -> Mended:
    """Curve of the rows of a column in the order of the file: finite, steps strictly increasing.

    Where a run went back and took steps again, the later values count. Several rows of one step throughout, as one
    per micro-batch or process has them, are averaged; where it is a few, the last one counts.
    """
    known = np.isfinite(steps)
    steps, values = steps[known], values[known]
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    sorted_already = len(back) == 0
    restarts: tuple[tuple[float, float], ...] = ()
    unordered = 0
    if not sorted_already:
        gone_back = back[_are_restarts(steps, back)]
        unordered = len(back) - len(gone_back)
        kept, restarts = _last_attempt(steps, gone_back)
        steps, values = steps[kept], values[kept]
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]

    finite = np.isfinite(values)
    faults = np.unique(steps[~finite])
    steps, values = steps[finite], values[finite]
    steps, values, duplicates, repeated = _one_per_step(steps, values)
    return Mended(steps, values, faults, restarts, unordered, duplicates, repeated)


def _are_restarts(
    steps: Float64[np.ndarray, " rows"], back: Int64[np.ndarray, " falls"]
) -> np.ndarray:
    """Which steps back begin a part that takes steps again, and are no rows in disorder.

    A part takes steps again when it has at least two rows where there were rows before, and half as many as those; a
    row that comes late has one. A log that steps back all the time is unsorted.
    """
    found = np.zeros(len(back), bool)
    if len(back) > max(2, _ORDERLY * len(steps)):
        return found
    for number, (start, end) in enumerate(pairwise([*back.tolist(), len(steps)])):
        part = steps[start:end]
        low, high = part[0], min(part.max(), steps[:start].max())
        later = int(np.sum((part >= low) & (part <= high)))
        earlier = int(np.sum((steps[:start] >= low) & (steps[:start] <= high)))
        found[number] = later >= 2 and later >= 0.5 * earlier
    return found


def _last_attempt(
    steps: Float64[np.ndarray, " rows"], starts: Int64[np.ndarray, " restarts"]
) -> tuple[np.ndarray, tuple[tuple[float, float], ...]]:
    """Rows that no later attempt takes again, and the restarts."""
    kept, restarts = np.ones(len(steps), bool), []
    later = np.inf
    for start in starts[::-1]:
        later = min(later, steps[start])
        kept[:start] &= steps[:start] < steps[start]
    for start in starts:
        restarts.append((float(steps[start]), float(steps[:start].max())))
    return kept, tuple(restarts)


def _one_per_step(
    steps: Float64[np.ndarray, " rows"], values: Float64[np.ndarray, " rows"]
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """One value per step of sorted rows: steps, values, and how many rows said the same or another."""
    if not len(steps):
        return steps, values, 0, 0
    new = np.append(True, np.diff(steps) > 0)
    if new.all():
        return steps, values, 0, 0
    first = np.flatnonzero(new)
    counts = np.diff(np.append(first, len(steps)))
    same = ~new & np.append(False, np.diff(values) == 0)
    duplicates = int(same.sum())
    repeated = int((~new).sum()) - duplicates
    if np.median(counts) > 1 and repeated > duplicates:
        return steps[first], np.add.reduceat(values, first) / counts, duplicates, repeated
    last = first + counts - 1
    return steps[last], values[last], duplicates, repeated


def gaps(steps: Float64[np.ndarray, " points"]) -> list[tuple[float, float]]:
    """Stretches without rows: far wider than the usual distance, and than what is around them.

    Logs that grow sparser towards the end, or have one row per power of two, have none.
    """
    wide = np.diff(steps)
    if len(wide) < 5:
        return []
    found = np.flatnonzero(wide > _WIDE * np.median(wide))
    if len(found) > max(1, 0.05 * len(wide)):
        return []
    around = np.lib.stride_tricks.sliding_window_view(np.pad(wide, 3, mode="reflect"), 7)
    usual = np.median(around[found], axis=1) if len(found) else np.zeros(0)
    clear = found[wide[found] > _WIDE * usual]
    return [(float(steps[at]), float(steps[at + 1])) for at in clear]


def told(name: str, done: Mended) -> tuple[list[Event], list[str]]:
    """Events and notes about the main curve: what was mended, in words."""
    events = [
        Event(back, "restart", f"back to step {back:g} from {reached:g}; the later rows count")
        for back, reached in done.restarts
    ]
    notes = []
    if len(done.restarts):
        again = "; ".join(f"{back:g} (had reached {far:g})" for back, far in done.restarts[:4])
        notes.append(f"{_many(len(done.restarts), 'restart')}, at step {again}; later rows count")
    if len(done.faults):
        first, last = done.faults[0], done.faults[-1]
        where = f"step {first:g}" if first == last else f"steps {first:g} to {last:g}"
        notes.append(
            f"{_many(len(done.faults), 'row')} with NaN or infinite {name} left out ({where})"
        )
        events += _fault_events(done)
    if done.unordered:
        notes.append(f"rows out of order {done.unordered} times; sorted by step")
    if done.duplicates:
        notes.append(f"{_many(done.duplicates, 'duplicate row')} left out")
    if done.repeated:
        averaged = done.repeated > len(done.steps) / 2
        how = "their mean counts" if averaged else "the last one counts"
        notes.append(f"{_many(done.repeated, 'row')} repeat a step with another value; {how}")
    return events, notes


def told_gaps(steps: Float64[np.ndarray, " points"]) -> tuple[list[Event], list[str]]:
    """Events and notes about gaps and the usual distance of rows."""
    notes, found = [], gaps(steps)
    events = [
        Event(first, "gap", f"no rows from step {first:g} to {last:g}", last)
        for first, last in sorted(found, key=lambda gap: gap[0] - gap[1])[:_MOST_GAPS]
    ]
    if found:
        widest = max(last - first for first, last in found)
        notes.append(f"{_many(len(found), 'gap')} without rows, the widest of {widest:g} steps")
    usual = float(np.median(np.diff(steps))) if len(steps) > 1 else 1.0
    if usual > 1:
        notes.append(f"one row in {usual:g} steps; whether it is an average is not in the log")
    return events, notes


def _fault_events(done: Mended) -> list[Event]:
    """One event per run of faults, whose rows are next to each other."""
    places = np.searchsorted(done.steps, done.faults)  # faults between the same rows are one run
    parts = np.split(done.faults, np.flatnonzero(np.diff(places)) + 1)
    many = [(float(p[0]), float(p[-1])) for p in parts][:_MOST_GAPS]
    return [
        Event(first, "fault", "NaN or infinite loss", last if last > first else None)
        for first, last in many
    ]


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
