"""Bootstrap of totals: 95 % percentile intervals of any statistic of sums over units.

A unit is what was drawn from the world: a question, or an item with all its questions (a cluster).
Units with the same tallies are one pattern, so that a million units are a few dozen patterns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Integer, Real

ONE_BY_ONE = 10_000  # units; of more, patterns are drawn instead
_AT_ONCE = 4_000_000  # counts of patterns in memory

Totals = Float64[np.ndarray, "draws cells"]


def bootstrap(
    patterns: Real[np.ndarray, "patterns cells"],
    units: Integer[np.ndarray, " units"],
    statistic: Callable[[Totals], np.ndarray],
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval (Efron 1979) of a statistic of totals, units with replacement.

    Up to `ONE_BY_ONE` units are drawn one by one. Of more, how often each pattern comes is drawn
    from the multinomial distribution: the same law, in time that does not grow with the units.

    Parameters
    ----------
    patterns : tallies of every kind of unit
    units : pattern of every unit
    statistic : totals of all draws → one value, or an array of them, per draw; NaN leaves one out

    Returns
    -------
    low, high : the 2.5th and 97.5th percentile over `resamples` draws

    >>> low, high = bootstrap(np.eye(2), np.arange(100) % 2, lambda totals: totals[:, 0] / 100)
    >>> round(float(low), 2), round(float(high), 2)
    (0.4, 0.6)
    """
    rng, drawn = np.random.default_rng(seed), []
    per_piece = max(1, _AT_ONCE // len(patterns))
    for first in range(0, resamples, per_piece):
        counts = _counts(rng, units, len(patterns), min(per_piece, resamples - first))
        drawn.append(counts @ patterns.astype(np.float64))
    return _percentiles(np.asarray(statistic(np.concatenate(drawn))))


def patterned(
    tallies: Real[np.ndarray, "units cells"],
) -> tuple[Real[np.ndarray, "patterns cells"], Integer[np.ndarray, " units"]]:
    """Different rows of tallies, and which of them every unit is.

    >>> patterns, units = patterned(np.array([[2, 0], [0, 1], [2, 0]]))
    >>> patterns.tolist(), units.tolist()
    ([[0, 1], [2, 0]], [1, 0, 1])
    """
    patterns, units = np.unique(tallies, axis=0, return_inverse=True)
    return patterns, units.reshape(-1)


def _counts(
    rng: np.random.Generator, units: Integer[np.ndarray, " units"], patterns: int, draws: int
) -> Float64[np.ndarray, "draws patterns"]:
    """How often every pattern comes in each draw of as many units as there are."""
    if len(units) > ONE_BY_ONE:
        chances = np.bincount(units, minlength=patterns) / len(units)
        return rng.multinomial(len(units), chances, draws).astype(np.float64)
    own = (units[rng.integers(0, len(units), len(units))] for _ in range(draws))
    return np.stack([np.bincount(one, minlength=patterns) for one in own]).astype(np.float64)


def _percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 2.5th and 97.5th percentile over draws; NaN where no draw has a value."""
    if not np.isnan(values).any():
        low, high = (np.percentile(values, share, axis=0) for share in (2.5, 97.5))
        return np.asarray(low), np.asarray(high)
    flat = values.reshape(len(values), -1)
    ends = np.full((2, flat.shape[1]), np.nan)
    for place, column in enumerate(flat.T):
        known = column[~np.isnan(column)]
        if len(known):
            ends[:, place] = np.percentile(known, [2.5, 97.5])
    low, high = ends.reshape(2, *values.shape[1:])
    return np.asarray(low), np.asarray(high)
