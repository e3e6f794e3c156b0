"""Segments of a loss on logarithmic axes: how many breaks, where, how steep, each with its 95 % interval.

The number of breaks is not left to an information criterion, which always likes more of them. A curve is first tested
against a *smooth decay* (power law with offset), then against broken lines with one break, two, and so on: each time
the squared error of the null is compared with those of all richer broken lines (a double-maximum test, Bai & Perron
1998), and the p-value is the fraction of block-bootstrap draws around the null that gain as much. The first null that
is not rejected stands. Intervals come from the same draws around the chosen broken line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from omni_lab.analysis.logs.curve import Curve
from omni_lab.analysis.phases.lines import (
    Breaks,
    by_partition,
    candidates,
    flexible,
    hinges,
    refined,
    searched,
    solved,
)
from omni_lab.analysis.phases.noise import Grid, Noise, described, drawn, gridded, independent
from omni_lab.analysis.phases.rule import RULE, Segment
from omni_lab.analysis.phases.smooth import curve_of, first_fit, fit_smooth

DRAWS = 199
FEWEST_POINTS = 60
KNOTS = (48, 24, 12)  # of the spline that noise is taken around, beside the breaks
PER_KNOT = 5  # independent points that each parameter of that spline needs
PIECE = (
    400  # points of its last piece, at least: fewer may swallow noise that is correlated over 50
)


@dataclass(frozen=True)
class Segments:
    """Broken line through a log-log loss, the tests that chose it, and the noise around it."""

    first: float  # step that the logarithm begins at
    breaks: tuple[tuple[float, float, float], ...]  # step, and its 95 % interval
    segments: tuple[Segment, ...]
    smooth: bool  # whether a smooth decay explains the curve, so that no break is needed
    tests: tuple[tuple[int, float], ...]  # breaks of the null (0: smooth decay), p-value
    steps: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"]  # loss, mean of each bin without spikes
    fitted: Float[np.ndarray, " bins"]  # loss
    decay: Float[np.ndarray, " bins"]  # loss of the best smooth decay
    sigma: float  # noise of one step, in log loss
    correlation_time: float  # steps
    independent: float  # points over that time
    slope_error: float  # 95 % half-width of a slope over the last e-fold of steps


@dataclass(frozen=True)
class Work:
    """What every test and every interval of one curve is made from."""

    grid: Grid
    noise: Noise
    whiten: np.ndarray
    breaks: Breaks
    errors: np.ndarray  # of broken lines with 0, 1, … breaks of the coarse grid
    draws: np.ndarray  # draws of noise, draws × bins


def refusal(curve: Curve) -> str:
    """Why a curve has no segments, in words; empty where it has."""
    if curve.steps.size < FEWEST_POINTS:
        return f"too few points: {curve.steps.size}, of {FEWEST_POINTS} needed"
    if not (curve.values > 0).all():
        return "loss is not positive everywhere, so that it has no logarithm"
    span = np.log((curve.steps[-1] - curve.steps[0] + 1) / (np.median(np.diff(curve.steps)) or 1))
    if span < np.log(40):
        return "steps cover too little of a logarithmic axis"
    return ""


def segment(
    curve: Curve, most: int = 4, seed: int = 0, draws: int = DRAWS, first: float | None = None
) -> Segments:
    """Continuous piecewise-linear fit of log loss over log(step − first + 1), with tested breaks.

    Parameters
    ----------
    most : breaks, at most
    draws : of the bootstrap; p-values are multiples of 1 / (draws + 1)
    first : step at which training of this stretch began; None is the curve's first step

    Raises
    ------
    ValueError
        `refusal(curve)` is not empty
    """
    if why := refusal(curve):
        raise ValueError(f"{curve.name}: {why}")

    work = prepared(curve, most, seed, draws, curve.steps[0] if first is None else first)
    start, smooth_error = first_fit(work.grid.x, work.grid.y, work.whiten)
    p = _test_smooth(work, start, smooth_error)
    tests, count, smooth = [(0, p)], 1, p > RULE.alpha
    while not smooth and count < most:
        p = _test_fewer(work, count)
        tests.append((count, p))
        if p > RULE.alpha:
            break
        count += 1

    decay = curve_of(start[None], work.grid.x)[0]
    return _told(work, 0 if smooth else count, tests, decay)


def prepared(curve: Curve, most: int, seed: int, draws: int, first: float) -> Work:
    """Grid, noise around the richest broken line, and draws of it."""
    grid = gridded(curve.steps, curve.values, first)
    whiten = independent(grid)
    for _ in range(2):  # as if noise were white, then by its colour
        coarse = candidates(grid, whiten, most)
        _, which = searched(coarse, grid.y[None])
        richest = _refined_set(coarse, grid.y[None], which, most)
        noise = _noise_around(grid, whiten, richest[0])
        whiten = noise.whiten
    coarse = candidates(grid, whiten, most)
    errors, _ = searched(coarse, grid.y[None])
    rng = np.random.default_rng(seed)
    return Work(grid, noise, whiten, coarse, errors[:, 0], drawn(grid, noise, draws, rng))


def _noise_around(grid: Grid, whiten: np.ndarray, breaks: np.ndarray) -> Noise:
    """Noise around the richest broken line, or around a spline where there are points enough for it.

    What a few straight pieces cannot follow would else look like noise that is correlated over very long times.
    """
    points, span = grid.log_loss.size, grid.x[-1] - grid.x[0]
    for more in KNOTS:
        if points * (1 - np.exp(-span / (more + 1))) < PIECE:
            continue
        fitted, leverage = flexible(grid, whiten, breaks, more)
        noise = described(grid, fitted, leverage)
        if points / noise.time >= PER_KNOT * leverage.sum():
            return noise
    return described(grid, *flexible(grid, whiten, breaks, 0))


def _refined_set(coarse: Breaks, y: np.ndarray, which: list[np.ndarray], count: int) -> np.ndarray:
    """Breaks of the best set of the coarse grid, refined: curves × breaks."""
    columns = coarse.sets[count][which[count]][:, 2:]
    return refined(coarse.grid, y, coarse.whiten, coarse.places[columns - 2])[0]


def line_through(grid: Grid, whiten: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Broken line with given breaks through one curve."""
    found, _ = solved(grid, grid.y[None], whiten, breaks)
    return (hinges(grid, breaks) @ found[..., None])[0, :, 0]


def _gain(null: np.ndarray, errors: np.ndarray, count: int) -> np.ndarray:
    """Largest gain per added break of richer broken lines over a null, in units of the noise's variance."""
    richer = np.stack([(null - errors[k]) / (k - count) for k in range(count + 1, len(errors))])
    return richer.max(0)


def _test_smooth(work: Work, start: np.ndarray, error: float) -> float:
    """p-value of a smooth decay against broken lines."""
    seen = _gain(np.array([error]), work.errors[:, None], 0)[0]
    rows = curve_of(start[None], work.grid.x) + work.draws
    errors, _ = searched(work.breaks, rows)
    begin = np.repeat(start[None], len(rows), 0)
    _, null = fit_smooth(work.grid.x, rows, work.whiten, begin, 8)
    return p_value(seen, _gain(null, errors, 0))


def _test_fewer(work: Work, count: int) -> float:
    """p-value of a broken line with `count` breaks against those with more."""
    y, most = work.grid.y[None], len(work.errors) - 1
    breaks = _refined_set(work.breaks, y, searched(work.breaks, y)[1], count)
    line = line_through(work.grid, work.whiten, breaks)
    coarse = candidates(work.grid, work.whiten, most, breaks[0])
    errors, _ = searched(coarse, np.concatenate([y, line + work.draws]))
    gains = _gain(errors[count], errors, count)
    return p_value(gains[0], gains[1:])


def p_value(seen: float, under_null: np.ndarray) -> float:
    """Bootstrap p-value, never zero (Davison & Hinkley 1997, Eq. 4.11)."""
    return float((1 + (under_null >= seen).sum()) / (1 + under_null.size))


def best_breaks(work: Work, count: int) -> np.ndarray:
    """Breaks of the curve itself: the better of two refinements, from the coarse grid and from the partition."""
    grid, y = work.grid, work.grid.y[None]
    _, which = searched(work.breaks, y)
    columns = work.breaks.sets[count][which[count]][:, 2:]
    starts = [work.breaks.places[columns - 2][0]]
    if count and (other := by_partition(grid, grid.y, work.whiten, count)) is not None:
        starts.append(other)
    rows = np.repeat(y, len(starts), 0)
    found, errors = refined(grid, rows, work.whiten, np.stack(starts), 20)
    return found[int(errors.argmin())]


def _told(work: Work, count: int, tests: list[tuple[int, float]], decay: np.ndarray) -> Segments:
    """Chosen broken line with intervals, as steps and losses."""
    grid, x, whiten = work.grid, work.grid.x, work.whiten
    breaks = best_breaks(work, count)
    line = line_through(grid, whiten, breaks[None])
    # what the line does not follow makes breaks less certain, as noise does (Birge's ratio)
    left = ((whiten @ (grid.y - line)) ** 2).sum() / max(1, x.size - 2 * count - 2)
    rows = line + work.draws * np.sqrt(max(1.0, left))

    # from the curve's own breaks: of several breaks, one that is idle would wander, and others take its name
    moved, _ = refined(grid, rows, whiten, np.repeat(breaks[None], len(rows), 0), 10)
    slopes = solved(grid, grid.y[None], whiten, breaks[None])[0][0, 1:].cumsum()
    ends = np.percentile(solved(grid, rows, whiten, moved)[0][:, 1:].cumsum(1), (2.5, 97.5), axis=0)
    spans = np.percentile(moved, (2.5, 97.5), axis=0)
    cuts = [x[0], *breaks, x[-1]]
    segments = tuple(
        Segment(
            grid.step(cuts[i]), grid.step(cuts[i + 1]), float(slopes[i]),
            float(min(ends[0, i], slopes[i])), float(max(ends[1, i], slopes[i])),
            float(cuts[i + 1] - cuts[i]), float(-slopes[i] * (cuts[i + 1] - cuts[i])),
            float(((grid.log_steps >= cuts[i]) & (grid.log_steps <= cuts[i + 1])).sum())
            / work.noise.time,
        )
        for i in range(count + 1)
    )  # fmt: skip
    found = tuple(
        (grid.step(b), grid.step(min(b, low)), grid.step(max(b, high)))
        for b, low, high in zip(breaks, *spans, strict=True)
    )
    return Segments(
        float(grid.first), found, segments, count == 0, tuple(tests), np.exp(x) + grid.first - 1, np.exp(grid.y),
        np.exp(line if count else decay), np.exp(decay), float(np.median(work.noise.scale)),
        work.noise.time, grid.log_loss.size / work.noise.time, _slope_error(x, whiten),
    )  # fmt: skip


def _slope_error(x: np.ndarray, whiten: np.ndarray) -> float:
    """95 % half-width of the slope of a straight line over the last e-fold of steps."""
    last = x >= x[-1] - 1
    basis = whiten[:, last] @ np.column_stack([np.ones(last.sum()), x[last]])
    return float(1.96 * np.sqrt(np.linalg.inv(basis.T @ basis)[1, 1]))
