"""Continuous broken lines by generalised least squares: search over a grid of breaks, then refinement.

All sets of up to four breaks on a coarse grid are tried, for hundreds of curves at once: the basis
is 1, x and one hinge max(0, x − break) per break, so that every fit is a few rows of one Gram
matrix. Breaks are then refined continuously (Muggeo 2003); for the curve itself the refinement also
begins at the optimal partition by `ruptures` (Truong et al. 2020), which knows no grid.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from omni_lab.analysis.phases.noise import Grid, at_points
from omni_lab.analysis.phases.rule import RULE

PLACES = 16  # candidate breaks of the coarse grid
FEWEST = 4  # bins of a segment, at least
_CHUNK = 200


@dataclass(frozen=True)
class Breaks:
    """Coarse grid of breaks over given bins: which sets of breaks there are, and their Gram matrices."""

    grid: Grid
    whiten: Float[np.ndarray, "bins bins"]
    basis: Float[np.ndarray, "bins columns"]  # 1, x, one hinge per candidate; whitened
    places: Float[np.ndarray, " candidates"]
    sets: list[Int[np.ndarray, "_ _"]]  # columns of the basis, by number of breaks
    inverses: list[Float[np.ndarray, "_ _ _"]]


def candidates(
    grid: Grid,
    whiten: Float[np.ndarray, "bins bins"],
    most: int,
    known: Float[np.ndarray, " breaks"] | None = None,
) -> Breaks:
    """Coarse grid: candidates that are even in bins, and sets of them at least `lasts` apart.

    Parameters
    ----------
    known : breaks of a null hypothesis, which are candidates too; without them its error would be that of the grid
    """
    x = grid.x
    even = np.linspace(FEWEST, x.size - 1 - FEWEST, PLACES)
    own = np.zeros(0) if known is None else np.interp(known, x, np.arange(x.size))
    inner = np.sort(np.concatenate([even, own]))
    places = np.interp(inner, np.arange(x.size), x)
    basis = whiten @ hinges(grid, places[None])[0]
    gram = basis.T @ basis

    sets, inverses = [], []
    for count in range(most + 1):
        some = _combinations(places.size, count)
        columns = np.column_stack(
            [np.zeros(len(some), np.int64), np.ones(len(some), np.int64), 2 + some]
        )[_apart(places[some], inner[some], x[-1])]
        sets.append(columns)
        inverses.append(np.linalg.inv(gram[columns[:, :, None], columns[:, None, :]]))
    return Breaks(grid, whiten, basis, places, sets, inverses)


@functools.cache
def _combinations(places: int, count: int) -> np.ndarray:
    """All sets of so many candidates: sets × candidates."""
    return np.array(list(itertools.combinations(range(places), count)), dtype=np.int64)


def _apart(breaks: np.ndarray, bins: np.ndarray, end: float) -> np.ndarray:
    """Whether every segment, of each set of breaks, lasts long enough in steps, and holds enough bins."""
    lasts = np.log(RULE.lasts)
    apart = (np.diff(breaks) >= lasts).all(1) & (np.diff(bins) >= FEWEST).all(1)
    return apart & (breaks <= end - lasts / 2).all(1)


def searched(
    coarse: Breaks, y: Float[np.ndarray, "curves bins"]
) -> tuple[Float[np.ndarray, "counts curves"], list[Int[np.ndarray, " curves"]]]:
    """Least squared error of every curve with 0, 1, … breaks of the coarse grid, and the sets that give it."""
    white = y @ coarse.whiten.T
    right = coarse.basis.T @ white.T  # columns curves
    total = (white**2).sum(1)
    errors, which = [], []
    for columns, inverses in zip(coarse.sets, coarse.inverses, strict=True):
        best = np.full(len(y), -np.inf)
        index = np.zeros(len(y), dtype=np.int64)
        for start in range(0, len(columns), _CHUNK):
            part = right[columns[start : start + _CHUNK]]  # sets columns curves
            explained = (part * (inverses[start : start + _CHUNK] @ part)).sum(1)
            top = explained.argmax(0)
            value = explained[top, np.arange(len(y))]
            index = np.where(value > best, start + top, index)
            best = np.maximum(best, value)
        errors.append(np.maximum(total - best, 0.0))
        which.append(index)
    return np.stack(errors), which


def broken_line(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], count: int
) -> tuple[list[float], list[float]]:
    """Breaks and slopes of the continuous line with `count` breaks nearest to a smooth curve.

    >>> x = np.linspace(0, 8, 120)
    >>> breaks, slopes = broken_line(x, -0.5 * x + 0.4 * np.maximum(0, x - 5), 1)
    >>> round(breaks[0], 2), [round(slope, 2) for slope in slopes]
    (5.0, [-0.5, -0.1])
    """
    grid, whiten = at_points(x, y), np.eye(x.size)
    coarse = candidates(grid, whiten, count)
    _, which = searched(coarse, y[None])
    start = coarse.places[coarse.sets[count][which[count]][:, 2:] - 2]
    found, _ = refined(grid, y[None], whiten, start, 30)
    slopes, _ = solved(grid, y[None], whiten, found)
    return found[0].tolist(), slopes[0, 1:].cumsum().tolist()


def hinges(
    grid: Grid, breaks: Float[np.ndarray, "curves breaks"]
) -> Float[np.ndarray, "curves bins columns"]:
    """Basis of broken lines: 1, x and one hinge per break, each the mean over what a bin holds.

    A break inside a bin bends only the steps after it: the mean of the hinge over the bin is not that at its centre.
    """
    x = grid.x
    flat = np.broadcast_to(np.stack([np.ones_like(x), x], -1), (len(breaks), x.size, 2))
    off = x[:, None] - breaks[:, None, :]
    after = _after(grid, breaks)
    inside = (x - grid.low)[:, None] * after**2
    return np.concatenate([flat, np.where(after < 1, inside, np.maximum(0, off))], -1)


def _after(grid: Grid, breaks: Float[np.ndarray, "curves breaks"]) -> np.ndarray:
    """Part of each bin that lies after each break, 0 to 1: curves × bins × breaks."""
    width = np.maximum(grid.high - grid.low, 1e-12)
    return np.clip((grid.high[:, None] - breaks[:, None, :]) / width[:, None], 0.0, 1.0)


def solved(
    grid: Grid,
    y: Float[np.ndarray, "curves bins"],
    whiten: Float[np.ndarray, "bins bins"],
    breaks: Float[np.ndarray, "curves breaks"],
) -> tuple[Float[np.ndarray, "curves columns"], Float[np.ndarray, " curves"]]:
    """Coefficients of broken lines with given breaks, and their squared errors."""
    return _least_squares(whiten @ hinges(grid, breaks), y @ whiten.T)


def _least_squares(basis, white):
    """Coefficients and squared errors of whitened curves."""
    normal = basis.transpose(0, 2, 1) @ basis
    size = np.einsum("cii->ci", normal)
    normal = normal + (1e-10 * size + 1e-12)[..., None] * np.eye(basis.shape[-1])
    right = (white[:, None, :] @ basis)[:, 0]
    found = np.linalg.solve(normal, right[..., None])[..., 0]
    return found, ((white - (basis @ found[..., None])[..., 0]) ** 2).sum(1)


def refined(
    grid: Grid,
    y: Float[np.ndarray, "curves bins"],
    whiten: Float[np.ndarray, "bins bins"],
    breaks: Float[np.ndarray, "curves breaks"],
    rounds: int = 7,
) -> tuple[Float[np.ndarray, "curves breaks"], Float[np.ndarray, " curves"]]:
    """Breaks moved to where the squared error is least (Muggeo 2003), and that error."""
    best, count = breaks, breaks.shape[1]
    white = y @ whiten.T
    _, error = _least_squares(whiten @ hinges(grid, best), white)
    if not count:
        return best, error

    here = best
    for turn in range(rounds):
        beside = -_after(grid, here)
        basis = whiten @ np.concatenate([hinges(grid, here), beside], -1)
        found, _ = _least_squares(basis, white)
        slopes, moves = found[:, 2 : 2 + count], found[:, 2 + count :]
        safe = np.where(np.abs(slopes) < 1e-9, 1e-9, slopes)
        here = _ordered(here + np.clip(moves / safe, -0.4, 0.4) * 0.9**turn, grid.x)
        _, new = _least_squares(whiten @ hinges(grid, here), white)
        better = new < error
        best = np.where(better[:, None], here, best)
        error = np.where(better, new, error)
    return best, error


def _ordered(breaks: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Breaks in order, inside the range, and each segment long enough."""
    lasts = np.log(RULE.lasts)
    count = breaks.shape[1]
    breaks = np.sort(breaks, axis=1)
    low, high = x[FEWEST - 1], x[-FEWEST]
    for i in range(count):  # forth: not too near to the one before
        floor = low if i == 0 else breaks[:, i - 1] + lasts
        breaks[:, i] = np.maximum(breaks[:, i], floor)
    for i in reversed(range(count)):  # and back: not beyond the end
        ceiling = high if i == count - 1 else breaks[:, i + 1] - lasts
        breaks[:, i] = np.minimum(breaks[:, i], ceiling)
    return breaks


def flexible(
    grid: Grid,
    whiten: Float[np.ndarray, "bins bins"],
    breaks: Float[np.ndarray, " breaks"],
    knots: int,
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " bins"]]:
    """Cubic regression spline with bends at given breaks, at every step, and the leverage of each bin.

    Without knots it is the broken line with these breaks.
    """
    from scipy.interpolate import BSpline

    degree = 3 if knots else 1
    inner = np.quantile(grid.x, np.arange(1, knots + 1) / (knots + 1))
    ends = grid.log_steps[[0, -1]]
    all_knots = np.repeat([ends[0], *inner, ends[1]], [degree + 1, *[1] * knots, degree + 1])
    splines = BSpline.design_matrix(grid.x, all_knots, degree).toarray()
    basis = np.column_stack([splines, np.maximum(0, grid.x[:, None] - breaks)])
    left, sizes, right = np.linalg.svd(whiten @ basis, full_matrices=False)
    kept = sizes > 1e-8 * sizes[0]
    found = right[kept].T @ ((left[:, kept].T @ (whiten @ grid.y)) / sizes[kept])

    fitted = BSpline(all_knots, found[: knots + degree + 1], degree)(grid.log_steps)
    for at, bend in zip(breaks, found[knots + degree + 1 :], strict=True):
        fitted += bend * np.maximum(0, grid.log_steps - at)
    return fitted, (left[:, kept] ** 2).sum(1)


def by_partition(
    grid: Grid,
    y: Float[np.ndarray, " bins"],
    whiten: Float[np.ndarray, "bins bins"],
    count: int,
) -> Float[np.ndarray, " breaks"] | None:
    """Breaks of the optimal partition into straight pieces that need not meet, by dynamic programming."""
    import ruptures
    from ruptures.exceptions import BadSegmentationParameters

    x = grid.x
    root = np.sqrt((whiten**2).sum(0))
    root /= root.mean()
    signal = np.column_stack([root * y, root, root * x])
    try:
        ends = ruptures.Dynp(model="linear", min_size=FEWEST, jump=2).fit(signal).predict(count)
    except BadSegmentationParameters:
        return None
    return (x[np.array(ends[:-1]) - 1] + x[np.array(ends[:-1])]) / 2
