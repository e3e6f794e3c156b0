"""Switches of a run: changes of the learning rate, of stage and of data, as events.

A break in a loss curve at such a step has a known cause, so that no analysis should call it a phase of learning.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.logs.curve import Curve, Event

_LEAST_JUMP = 0.1  # of the peak rate within one row
_CLEAR = 5.0  # times the changes around it: a jump
_AT_PEAK = 0.999  # of the peak rate: still constant
_FELL = 0.9  # of the peak rate: less is a decay, or the start of a warm-up
_SHAPES = {
    "linear": lambda u: 1 - u,
    "cosine": lambda u: 0.5 * (1 + np.cos(np.pi * u)),
    "square-root": lambda u: 1 - np.sqrt(u),
    "exponential": lambda u: (np.exp(-5 * u) - np.exp(-5)) / (1 - np.exp(-5)),
}
_FITS = 0.03  # root mean square from a shape, as a fraction of the fall
_MOST = 50  # switches of one column; more are no stages but a column that alternates


def rate_events(rates: Curve, breaks: list[float]) -> list[Event]:
    """Warm-up, jumps and decay of a learning rate, piece by piece between `breaks` (stages, restarts).

    Parameters
    ----------
    breaks : steps at which a new schedule may begin
    """
    events: list[Event] = []
    places = np.searchsorted(rates.steps, sorted({*breaks}))
    for piece in np.split(np.arange(len(rates.steps)), places):
        if len(piece):
            events += _schedule(rates.steps[piece], rates.values[piece])
    return events


def _schedule(
    steps: Float64[np.ndarray, " rows"], rates: Float64[np.ndarray, " rows"]
) -> list[Event]:
    """Events of one stage: split at jumps, then a warm-up, a plateau and a decay in every part."""
    jumps = _jumps(rates)
    events = [
        Event(
            float(steps[at]), "rate", f"learning rate {_from_to(rates[at - 1], rates[at])} at once"
        )
        for at in jumps
    ]
    for part in np.split(np.arange(len(steps)), jumps):
        events += _ramps(steps[part], rates[part])
    return events


def _jumps(rates: Float64[np.ndarray, " rows"]) -> list[int]:
    """Rows at which the rate leaves its course: a change far above those around it."""
    change = np.abs(np.diff(rates))
    peak = np.abs(rates).max()
    found = []
    for at in np.flatnonzero(change > _LEAST_JUMP * peak):
        # the three changes on each side; a short warm-up is as steep throughout
        before, after = change[max(at - 3, 0) : at], change[at + 1 : at + 4]
        around = [part.max() for part in (before, after) if len(part)]
        if around and change[at] > _CLEAR * max(around):
            found.append(int(at) + 1)
    # a warm-up that takes a row or two is no jump
    return [at for at in found if at > 2 or rates[at] < rates[at - 1]][:_MOST]


def _ramps(steps: Float64[np.ndarray, " rows"], rates: Float64[np.ndarray, " rows"]) -> list[Event]:
    """Warm-up and decay of a part without jumps."""
    peak = float(rates.max())
    if peak <= 0 or len(rates) < 3:
        return []
    at_peak = np.flatnonzero(rates >= _AT_PEAK * peak)
    first, last = int(at_peak[0]), int(at_peak[-1])
    events = []
    if first and rates[0] < _FELL * peak:
        what = f"warm-up of the learning rate, {_from_to(rates[0], peak)}"
        events.append(Event(float(steps[0]), "rate", what, float(steps[first])))
    end = last + int(np.argmin(rates[last:]))
    if rates[end] < _FELL * peak:
        constant = float(steps[last] - steps[first])
        stable = constant > 0.1 * (steps[end] - steps[0])
        after = f" after {constant:g} constant steps" if stable else ""
        shape = _shape(steps[last : end + 1], rates[last : end + 1])
        what = f"{shape}decay of the learning rate, {_from_to(peak, rates[end])}{after}"
        events.append(Event(float(steps[last]), "rate", what, float(steps[end])))
    return events


def _shape(steps: Float64[np.ndarray, " rows"], rates: Float64[np.ndarray, " rows"]) -> str:
    """Name of the decay's shape with a blank, or nothing where it is like none."""
    if len(steps) < 5:
        return ""
    time = (steps - steps[0]) / (steps[-1] - steps[0])
    level = (rates - rates[-1]) / (rates[0] - rates[-1])
    off = {name: float(np.sqrt(np.mean((level - f(time)) ** 2))) for name, f in _SHAPES.items()}
    best = min(off, key=lambda name: off[name])
    return f"{best} " if off[best] < _FITS else ""


def _from_to(before: float, after: float) -> str:
    return f"{before:.3g} → {after:.3g}"


def word_events(
    steps: Float64[np.ndarray, " rows"], codes: np.ndarray, words: list[str], name: str, kind: str
) -> tuple[list[Event], str | None]:
    """Events where a column of words changes, and a note where it alternates; a stage has its name, the first one too.

    Parameters
    ----------
    codes : word of every row, −1 where the row has none
    kind : "stage" or "data"
    """
    there = (codes >= 0) & np.isfinite(steps)
    steps, codes = steps[there], codes[there]
    order = np.argsort(steps, kind="stable")
    steps, codes = steps[order], codes[order]
    changes = np.flatnonzero(np.diff(codes)) + 1
    if len(changes) > min(_MOST, max(3, len(codes) // 4)):
        return (
            [],
            f"column {name!r} changes {len(changes):,} times: taken as mixed, not as switches",
        )
    if kind == "stage":
        return [
            Event(float(steps[at]), kind, words[codes[at]])
            for at in ([0, *changes] if len(codes) else [])
        ], None
    return [
        Event(float(steps[at]), kind, f"{name}: {words[codes[at - 1]]} → {words[codes[at]]}")
        for at in changes
    ], None


def epoch_events(
    steps: Float64[np.ndarray, " rows"], epochs: Float64[np.ndarray, " rows"]
) -> list[Event]:
    """Events where a new pass over the data begins; none where there is one only, or very many."""
    there = np.isfinite(steps) & np.isfinite(epochs)
    steps, epochs = steps[there], epochs[there]
    order = np.argsort(steps, kind="stable")
    steps, passes = steps[order], np.floor(epochs[order] + 1e-6)
    begins = np.flatnonzero(np.diff(passes) > 0) + 1
    if len(begins) > min(_MOST, len(steps) // 4):
        return []
    what = "the next pass over the data begins (epoch {:g})"
    return [Event(float(steps[at]), "data", what.format(passes[at])) for at in begins]
