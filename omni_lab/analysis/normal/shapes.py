"""One-number explanations of why a curve lies off its references: a factor, an offset, a stretch of time.

Each has a sentence behind it: a loss that is wrongly normalised is off by a factor, a target that is never learned by
an offset, a rate that is too low by a stretch of time. The one that leaves least unexplained counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.normal.band import Compared

_EXPLAINED = 0.4  # of the deviation may be left, root mean square, for an explanation to count
_CLEAR = 0.8  # of what the next best explanation leaves
_STRETCHES = np.geomspace(1 / 16, 16, 321)


@dataclass(frozen=True)
class Explanation:
    """A one-number account of the deviation of a curve from its references."""

    kind: str  # "factor" | "offset" | "stretch"
    value: float  # factor of the loss; nats; times as fast as the references
    left: float  # fraction of the deviation that it leaves, root mean square
    clear: bool  # whether the next best leaves clearly more


def explained(curve: Compared, noise: float = 0.0) -> Explanation | None:
    """The best one-number account of a deviation; None where none explains most of it.

    Parameters
    ----------
    noise : root mean square that is left between runs that are alike, in logarithms
    """
    if not curve.logs:
        return None
    off = curve.run - curve.mean
    size = float(np.sqrt(np.mean(off**2)))
    if size == 0:
        return None
    fits = {
        "factor": _factor(curve, off),
        "offset": _offset(curve),
        "stretch": _stretch(curve),
    }
    ranked = sorted(fits, key=lambda kind: fits[kind][1])
    value, residual = fits[ranked[0]]
    if residual > max(_EXPLAINED * size, noise):
        return None
    return Explanation(ranked[0], value, residual / size, residual < _CLEAR * fits[ranked[1]][1])


def _factor(curve: Compared, off: Float64[np.ndarray, " windows"]) -> tuple[float, float]:
    level = float(np.median(off))
    return float(np.exp(level)), float(np.sqrt(np.mean((off - level) ** 2)))


def _offset(curve: Compared) -> tuple[float, float]:
    """Offset in nats over all but the first quarter, where the references have not learned the target either."""
    late = slice(len(curve.run) // 4, None)
    level = float(np.median((curve.run_loss - curve.mean_loss)[late]))
    raised = curve.mean_loss[late] + level
    if np.any(raised <= 0):
        return level, float("inf")
    left = np.log(curve.run_loss[late]) - np.log(raised)
    return level, float(np.sqrt(np.mean(left**2)))


def _stretch(curve: Compared) -> tuple[float, float]:
    """Times as fast as the references: run(step) = references(step · times), from the beginning of the log."""
    middle = (curve.starts + curve.ends) / 2
    time = middle - curve.starts[0] + 1
    best = (1.0, float("inf"))
    for times in _STRETCHES:
        inside = (time * times >= time[0]) & (time * times <= time[-1])
        if inside.sum() < max(4, len(time) // 3):
            continue
        model = np.interp(time[inside] * times, time, curve.mean)
        left = float(np.sqrt(np.mean((curve.run[inside] - model) ** 2)))
        if left < best[1]:
            best = (float(times), left)
    return best
