"""Prediction band for the curve of a new run, from recorded seeds.

Curves are averaged in windows that widen with the steps (as a loss falls by powers of the step), in logarithms where
the loss is positive. The band is mean ± c · s · √(1 + 1/n): s is the seeds' standard deviation, averaged over
neighbouring windows; c is Student's t for one new run in all windows at once (Bonferroni, which holds however windows
go together), or the largest deviation of one seed from the others, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import stats

from omni_lab.analysis.logs.curve import Curve

WINDOWS = 48  # at most, over the steps that all curves share
LEAST = 3  # references that make a band; below, only ratios are told
_NEIGHBOURS = 0.1  # of the windows, on each side, over which the spread is averaged
_FLOOR = 1e-3  # least spread of seeds, in logarithms: a tenth of a percent


@dataclass(frozen=True)
class Compared:
    """One curve of a run against the same curve of the references, in windows of steps."""

    name: str
    starts: Float64[np.ndarray, " windows"]  # first step of the run in a window
    ends: Float64[np.ndarray, " windows"]
    run: Float64[np.ndarray, " windows"]  # mean log loss; mean loss where it is not positive
    mean: Float64[np.ndarray, " windows"]  # of the references
    half: Float64[np.ndarray, " windows"] | None  # half width of the band; None: too few references
    spread: Float64[np.ndarray, " windows"] | None  # standard deviation over references
    logs: bool  # whether the scale is logarithmic
    run_loss: Float64[np.ndarray, " windows"]  # mean loss, as it was logged
    mean_loss: Float64[np.ndarray, " windows"]

    @property
    def outside(self) -> np.ndarray:
        """Windows in which the run is outside the band; none where there is no band."""
        if self.half is None:
            return np.zeros(len(self.run), bool)
        return np.abs(self.run - self.mean) > self.half

    @property
    def leaves(self) -> tuple[float, float] | None:
        """First stretch outside the band: its first and last step."""
        if not self.outside.any():
            return None
        first = int(np.argmax(self.outside))
        inside = np.flatnonzero(~self.outside[first:])
        last = first + int(inside[0]) - 1 if len(inside) else len(self.run) - 1
        return float(self.starts[first]), float(self.ends[last])

    @property
    def worst(self) -> float:
        """Largest deviation from the mean: a factor of the loss (a difference where it is not positive)."""
        off = self.run - self.mean
        weight = np.where(self.outside, 1.0, 0.0) if self.outside.any() else 1.0
        value = float(off[np.argmax(np.abs(off) * weight)])
        return float(np.exp(value)) if self.logs else value

    @property
    def final(self) -> float:
        """Deviation over the last fifth of the windows, as a factor (or a difference)."""
        tail = max(1, len(self.run) // 5)
        value = float(np.mean((self.run - self.mean)[-tail:]))
        return float(np.exp(value)) if self.logs else value


def compared(
    name: str, run: Curve, references: Sequence[Curve], alpha: float = 0.05
) -> Compared | None:
    """A curve against references; None where they share too few steps.

    Parameters
    ----------
    alpha : false-alarm rate of this curve over all its windows
    """
    edges = common_windows([run, *references])
    if edges is None:
        return None
    everything = [run, *references]
    logs = all(curve.values.min() > 0 for curve in everything)
    scaled = np.log if logs else np.asarray
    own, *others = (window_means(curve, edges, scaled) for curve in everything)
    seeds = np.stack(others)
    half = spread = None
    if len(references) >= LEAST:
        half, spread = band(seeds, alpha, logs)
    losses = [window_means(curve, edges, np.asarray) for curve in everything]
    return Compared(
        name, _starts(run, edges), _ends(run, edges), own, seeds.mean(0), half, spread, logs,
        losses[0], np.mean(losses[1:], axis=0),
    )  # fmt: skip


def _starts(run: Curve, edges: Float64[np.ndarray, " edges"]) -> Float64[np.ndarray, " windows"]:
    """First step of the run in every window."""
    return run.steps[np.searchsorted(run.steps, edges[:-1])]


def _ends(run: Curve, edges: Float64[np.ndarray, " edges"]) -> Float64[np.ndarray, " windows"]:
    """Last step of the run in every window."""
    return run.steps[np.searchsorted(run.steps, edges[1:]) - 1]


def common_windows(
    curves: Sequence[Curve], most: int = WINDOWS
) -> Float64[np.ndarray, " edges"] | None:
    """Edges of windows that widen with the steps and hold rows of every curve; None for fewer than four.

    A window is from an edge up to, not including, the next.
    """
    first = max(float(curve.steps[0]) for curve in curves)
    last = min(float(curve.steps[-1]) for curve in curves)
    if last <= first:
        return None
    usual = max(float(np.median(np.diff(curve.steps))) for curve in curves)
    # equal steps of log(step + a twelfth of all): the beginning, too, is seen in some windows
    lead = max(usual, (last - first) / 12)
    wished = first + np.geomspace(lead, last - first + lead, most + 1) - lead
    wished[-1] = np.nextafter(last, np.inf)
    edges = [wished[0]]
    for edge in wished[1:]:
        if all(np.diff(np.searchsorted(c.steps, [edges[-1], edge]))[0] >= 1 for c in curves):
            edges.append(edge)
    edges[-1] = wished[-1]
    return np.array(edges) if len(edges) >= 5 else None


def window_means(curve: Curve, edges: Float64[np.ndarray, " edges"], scaled) -> np.ndarray:
    """Mean of the scaled values in every window."""
    sums = np.concatenate([[0.0], np.cumsum(scaled(curve.values))])
    places = np.searchsorted(curve.steps, edges)
    return (sums[places[1:]] - sums[places[:-1]]) / np.diff(places)


def band(
    seeds: Float64[np.ndarray, "runs windows"], alpha: float, logs: bool
) -> tuple[Float64[np.ndarray, " windows"], Float64[np.ndarray, " windows"]]:
    """Half width of the band for a new run, and the seeds' spread, in every window."""
    runs, windows = seeds.shape
    residuals = seeds - seeds.mean(0)
    spread = _spread(residuals, runs - 1, logs)
    length = _correlation_length(residuals / spread)
    beside = 2 * max(1, round(_NEIGHBOURS * windows)) + 1
    freedom = (runs - 1) * max(1.0, beside / length)
    wide = float(stats.t.ppf(1 - alpha / windows / 2, freedom)) * (1 + 1 / runs) ** 0.5
    # one seed against the mean of the others: residual · n / (n − 1)
    left_out = np.abs(residuals) * runs / (runs - 1) / spread
    return np.maximum(wide, left_out.max()) * spread, spread


def _spread(
    residuals: Float64[np.ndarray, "runs windows"], freedom: int, logs: bool
) -> Float64[np.ndarray, " windows"]:
    """Standard deviation over runs, averaged (as a variance) over neighbouring windows."""
    windows = residuals.shape[1]
    beside = max(1, round(_NEIGHBOURS * windows))
    variance = np.pad((residuals**2).sum(0) / freedom, beside, mode="reflect")
    smooth = np.convolve(variance, np.ones(2 * beside + 1) / (2 * beside + 1), mode="valid")
    floor = _FLOOR if logs else 1e-9
    return np.sqrt(np.maximum(smooth, floor**2))


def _correlation_length(residuals: Float64[np.ndarray, "runs windows"]) -> float:
    """Windows that go up and down together: (1 + ρ) / (1 − ρ) of the lag-one autocorrelation."""
    power = float((residuals**2).sum())
    if power == 0 or residuals.shape[1] < 3:
        return 1.0
    rho = float((residuals[:, 1:] * residuals[:, :-1]).sum()) / power
    rho = min(max(rho, 0.0), 0.95)
    return (1 + rho) / (1 - rho)
