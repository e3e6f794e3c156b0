"""Logged causes of bends in a loss: learning rate, data, restarts, and stages, which begin a new curve.

A decay of the learning rate imitates a second drop, a warm-up a plateau before the first. A verdict is therefore made
on the stretch before the rate decays, and breaks near a switch do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omni_lab.analysis.logs.curve import Curve, Event, Log
from omni_lab.analysis.phases.rule import RULE


@dataclass(frozen=True)
class Cause:
    """Something logged that bends a loss: from a step, to a step, in words."""

    start: float
    end: float
    what: str


@dataclass(frozen=True)
class Stretch:
    """Part of a run between two stages: what it is called, and its steps."""

    name: str
    start: float
    end: float

    def at(self, step: float) -> str:
        """A step in words, counted from the beginning of the stage.

        >>> Stretch("omni", 820, 1229).at(839), Stretch("", 0, 99).at(19)
        ('step 19 of the stage', 'step 19')
        """
        return f"step {step - self.start:.0f}{' of the stage' if self.start else ''}"

    def of(self, curve: Curve) -> Curve:
        """The part of a curve that lies in the stretch, its last step included."""
        inside = (curve.steps >= self.start) & (curve.steps <= self.end)
        return Curve(curve.name, curve.steps[inside], curve.values[inside])


def stretches(log: Log, curve: Curve) -> list[Stretch]:
    """Stretches of a run: one per stage, since a stage has its own data and loss; one if there are none."""
    first, last = float(curve.steps[0]), float(curve.steps[-1])
    stages = sorted((e for e in log.events if e.kind == "stage"), key=lambda event: event.step)
    inner = [event for event in stages if first < event.step <= last]
    before = [event for event in stages if event.step <= first]
    names = [before[-1].what if before else "", *(event.what for event in inner)]
    starts = [first, *(event.step for event in inner)]
    ends = [*(float(np.nextafter(event.step, -np.inf)) for event in inner), last]
    return [Stretch(*part) for part in zip(names, starts, ends, strict=True)]


def full_rate_until(log: Log, stretch: Stretch) -> tuple[float, str]:
    """Step from which the learning rate decays for the first time, and what decays; infinite if it does not."""
    if log.rates is not None and (rates := stretch.of(log.rates)).steps.size:
        low = rates.values < RULE.full_rate * np.maximum.accumulate(rates.values)
        if low.any():
            step = float(rates.steps[low.argmax()])
            return step, f"learning-rate decay from {stretch.at(step)}"
        return np.inf, ""
    decays = [
        event for event in log.events
        if event.kind == "rate" and not _is_warmup(event)
        and stretch.start < event.step <= stretch.end and event.end is not None
    ]  # fmt: skip
    first = min(decays, key=lambda event: event.step, default=None)
    return (first.step, first.what) if first else (np.inf, "")


def causes_in(log: Log, stretch: Stretch) -> list[Cause]:
    """Logged causes within a stretch, but for decay: warm-up, jumps of the rate, data, restarts."""
    found = [
        Cause(event.step, event.end if event.end is not None else event.step, event.what)
        for event in log.events
        if event.kind in ("data", "restart") or (event.kind == "rate" and event.end is None)
    ]
    if log.rates is None:  # else warm-up is read off the rates, once
        found += [
            Cause(event.step, event.end, event.what)
            for event in log.events
            if event.kind == "rate" and event.end is not None and _is_warmup(event)
        ]
    elif (rates := stretch.of(log.rates)).steps.size:
        high = rates.values >= RULE.full_rate * rates.values.max()
        end = float(rates.steps[high.argmax()])
        if end > stretch.start:
            found.append(
                Cause(
                    stretch.start,
                    end,
                    f"learning-rate warm-up until {stretch.at(end)}",
                )
            )
    inside = [c for c in found if c.end > stretch.start and c.start <= stretch.end]
    return sorted(inside, key=lambda cause: cause.start)


def _is_warmup(event: Event) -> bool:
    return "warm" in event.what.lower()


def cause_of(low: float, high: float, causes: Sequence[Cause], first: float = 0.0) -> str:
    """What explains a break whose interval is `low` to `high`, in words; empty where nothing does.

    Parameters
    ----------
    first : step at which the stage began, since nearness is a factor in steps of the stage

    >>> cause_of(480, 520, [Cause(500, 500, "new data")]), cause_of(600, 700, [Cause(500, 500, "new data")])
    ('new data', '')
    >>> warm_up = [Cause(1000, 1019, "warm-up")]
    >>> cause_of(1060, 1080, warm_up, 1000), cause_of(1060, 1080, warm_up)
    ('', 'warm-up')
    """
    start, end = (low - first + 1) / RULE.near, (high - first + 1) * RULE.near
    for cause in causes:
        if start <= cause.end - first + 1 and cause.start - first + 1 <= end:
            return cause.what
    return ""
