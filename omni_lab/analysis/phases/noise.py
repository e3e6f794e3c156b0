"""Log loss on an even grid of log steps, and its noise: scale, colour, and block-bootstrap draws of it.

Steps are averaged within bins of equal width in log step, so that a million steps cost as much as a thousand. Noise is
described at the level of steps, where it is stationary but for its scale: white noise and red (AR(1)) noise together.
From them follows the covariance of the bins' means, which makes all fits generalised least squares: the first steps of
a run, one a bin, count for little where noise is red. Spikes are taken out by Hampel's identifier (Davies & Gather
1993). Draws are made of blocks of neighbouring residuals (circular block bootstrap, Politis & Romano 1992), which keep
whatever colour the noise really has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BINS = 120  # over the whole range of log steps; at its beginning a bin is a single step
CLIP, SPIKE = 3.0, 5.0  # residuals beyond `CLIP` scales are clipped, beyond `SPIKE` left out
POOLED = 40  # steps that the scale of noise is taken over, at least
SMALLEST = 1e-4  # scale of noise in log loss that is never undercut
REDDEST = 0.999  # correlation of noise from step to step, at most
LAGS = 300  # of the autocorrelation, at most
SURELY_RED = 9.0  # χ² by which red noise must explain more than white
FINEST = 5000  # blocks of one draw, at most


@dataclass(frozen=True)
class Grid:
    """Log loss in bins of log steps: means, with the residual-free part of what a bin holds.

    `x` is the mean of log(step − first + 1) in each bin, `y` the mean of log loss without spikes.
    """

    first: float  # step that the logarithm begins at: x = log(step - first + 1)
    x: Float[np.ndarray, " bins"]
    low: Float[np.ndarray, " bins"]  # log step that a bin begins at
    high: Float[np.ndarray, " bins"]  # and that it ends at
    y: Float[np.ndarray, " bins"]
    counts: Int[np.ndarray, " bins"]
    scale: Float[np.ndarray, " bins"]  # of the noise of one step
    log_steps: Float[np.ndarray, " points"]
    log_loss: Float[np.ndarray, " points"]  # without spikes

    def step(self, x: float) -> float:
        """Step at a place on the axis of log steps."""
        return float(np.exp(x) + self.first - 1)


@dataclass(frozen=True)
class Noise:
    """Noise of a curve: standardised residuals, how long they are correlated, and what whitens the bins."""

    residuals: Float[np.ndarray, " points"]  # over their scale, mean zero
    scale: Float[np.ndarray, " bins"]  # of the noise of one step
    time: float  # integrated autocorrelation time (steps): 1 for white noise
    whiten: Float[
        np.ndarray, "bins bins"
    ]  # makes the noise of the bins' means white, of variance 1


def gridded(
    steps: Float[np.ndarray, " points"], values: Float[np.ndarray, " points"], first: float
) -> Grid:
    """Log loss on an even grid of log(step − first + 1), with spikes left out."""
    x, y = np.log(steps - first + 1), np.log(values)
    width = max(x[-1] - x[0], 1e-9) / BINS
    places = np.minimum(((x - x[0]) / width).astype(np.int64), BINS - 1)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(places)) + 1])
    counts = np.diff(np.append(edges, x.size))

    centres = np.add.reduceat(x, edges) / counts
    rough = _running_median([float(np.median(part)) for part in np.split(y, edges[1:])])
    base = _interpolated(x, centres, rough)
    scale = _scales(y - base, counts, POOLED)

    each = np.repeat(scale, counts)
    off = y - base
    off = np.where(np.abs(off) > SPIKE * each, 0.0, np.clip(off, -CLIP * each, CLIP * each))
    clean = base + off
    means = np.add.reduceat(clean, edges) / counts
    low, high = x[edges], x[edges + counts - 1]
    return Grid(first, centres, low, high, means, counts, scale, x, clean)


def at_points(x: Float[np.ndarray, " bins"], y: Float[np.ndarray, " bins"]) -> Grid:
    """Grid whose bins are single points at log steps `x`: for a curve without noise, or a small example.

    >>> at_points(np.log([1.0, 2.0, 4.0]), np.zeros(3)).counts
    array([1, 1, 1])
    """
    return Grid(1.0, x, x, x, y, np.ones(x.size, np.int64), np.ones(x.size), x, y)


def _interpolated(x: np.ndarray, centres: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation, which goes on straight beyond the first and the last bin's centre."""
    if centres.size < 2:
        return np.full(x.size, values[0])
    slopes = np.diff(values)[[0, -1]] / np.diff(centres)[[0, -1]]
    inside = np.interp(x, centres, values)
    early, late = np.minimum(x - centres[0], 0), np.maximum(x - centres[-1], 0)
    return inside + slopes[0] * early + slopes[1] * late


def _running_median(medians: list[float]) -> np.ndarray:
    """Running median over five bins."""
    from scipy.ndimage import median_filter

    return median_filter(np.array(medians), 5, mode="nearest")


def _scales(
    off: Float[np.ndarray, " points"], counts: Int[np.ndarray, " bins"], pooled: int
) -> Float[np.ndarray, " bins"]:
    """Scale of noise around each bin: median absolute deviation over at least `pooled` steps."""
    scales, start = [], 0
    for count in counts:
        more = max(0, pooled - count + 1) // 2
        low = max(0, min(start - more, off.size - pooled))
        part = off[low : max(start + count + more, low + pooled)]
        scales.append(1.4826 * np.median(np.abs(part - np.median(part))))
        start += count
    return np.maximum(scales, SMALLEST)


def independent(grid: Grid) -> Float[np.ndarray, "bins bins"]:
    """What whitens the bins' means if every step's noise is independent and of one scale."""
    return np.diag(np.sqrt(grid.counts) / np.median(grid.scale))


def described(
    grid: Grid, fitted: Float[np.ndarray, " points"], leverage: Float[np.ndarray, " bins"]
) -> Noise:
    """Noise around a fitted curve, enlarged by what the fit took of its freedom and of its colour.

    Each residual is divided by √(1 − leverage) (MacKinnon & White 1985): early steps pull the fit most. Residuals also
    look whiter than the noise was: their autocorrelation is too small by about parameters × (1 + it) over points (after
    Marriott & Pope 1954).

    Parameters
    ----------
    leverage : of each bin on the fit; their sum is the number of parameters
    """
    parameters = float(leverage.sum())
    pulled = np.repeat(np.sqrt(np.maximum(1 - leverage / grid.counts, 0.1)), grid.counts)
    off = (grid.log_loss - fitted) / pulled
    # what rounding leaves of a curve without noise has no colour
    red, share = red_noise(autocorrelation(off), off.size) if off.std() > SMALLEST else (0.0, 0.0)
    red = min(REDDEST, red + share * parameters * (1 + red) / off.size)
    time = 1 + 2 * share * red / (1 - red)
    scale = _scales(off, grid.counts, min(off.size // 2, max(2 * POOLED, round(20 * time))))

    off = off / np.repeat(scale, grid.counts)
    off -= off.mean()
    free = max(off.size / time, parameters + 5.0)
    off *= np.sqrt(free / (free - parameters) * (1 - parameters / off.size))
    spread = float(off.var()) or 1.0  # a curve that never moves has only the smallest scale
    covariance = _covariance(grid.counts, red, share) * np.outer(scale, scale) * spread
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    return Noise(off, scale, time, whiten)


def autocorrelation(values: Float[np.ndarray, " points"]) -> Float[np.ndarray, " lags"]:
    """Autocorrelation at lags 1, 2, … up to a quarter of the points, at most `LAGS`."""
    size = values.size
    spectrum = np.fft.rfft(values - values.mean(), 2 * size)
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[: min(size // 4, LAGS) + 1]
    return raw[1:] / raw[0] if raw[0] > 0 else np.zeros(raw.size - 1)


def red_noise(lags: Float[np.ndarray, " lags"], points: int) -> tuple[float, float]:
    """Red noise beside white: its correlation from step to step, and its share of the variance.

    The autocorrelation of AR(1) plus white noise is share · red^lag; both are least squares over
    the lags. Noise is called white, 0 and 0, unless that explains more than chance would: points ×
    what it explains is χ² under white noise.
    """
    red = np.concatenate([np.linspace(0.0, 0.95, 39)[1:], 1 - np.geomspace(0.04, 2e-3, 16)])
    powers = red[:, None] ** np.arange(1, lags.size + 1)
    share = np.clip((powers @ lags) / (powers**2).sum(1), 0.0, 1.0)
    errors = ((lags - share[:, None] * powers) ** 2).sum(1)
    best = int(errors.argmin())
    if points * ((lags**2).sum() - errors[best]) < SURELY_RED:
        return 0.0, 0.0
    return float(red[best]), float(share[best])


def _covariance(
    counts: Int[np.ndarray, " bins"], red: float, share: float
) -> Float[np.ndarray, "bins bins"]:
    """Covariance of the means of neighbouring stretches of white and red noise, of variance 1 a step."""
    white = np.diag((1 - share) / counts)
    if not share:
        return white
    sums = (1 - red**counts) / (1 - red)
    start = np.cumsum(counts) - counts
    gap = np.maximum(start[None, :] - (start + counts - 1)[:, None], 0)
    above = np.triu(red**gap * np.outer(sums, sums), 1)
    own = counts * (1 + red) / (1 - red) - 2 * red * (1 - red**counts) / (1 - red) ** 2
    return white + share * (above + above.T + np.diag(own)) / np.outer(counts, counts)


def drawn(
    grid: Grid, noise: Noise, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws bins"]:
    """Block-bootstrap draws of the noise of every bin's mean.

    A block is long enough for the colour of the noise to fit in; sums over whole blocks come from cumulative sums.
    Residuals of a fit sum up to less than the noise did, and blocks forget what reaches beyond them: where blocks vary
    less than the noise's correlation time says, draws are enlarged to that.
    """
    size = noise.residuals.size
    block = int(min(max(10, np.ceil(6 * noise.time), size // FINEST), max(1, size // 6)))
    sums = np.concatenate([[0.0], np.cumsum(np.tile(noise.residuals, 2))])
    varied = float((sums[block : block + size] - sums[:size]).var()) / block
    enlarged = np.sqrt(max(1.0, noise.residuals.var() * noise.time / varied)) if varied else 1.0

    starts = rng.integers(0, size, (draws, size // block + 1))
    whole = np.zeros((draws, starts.shape[1] + 1))
    np.cumsum(sums[starts + block] - sums[starts], axis=1, out=whole[:, 1:])
    edges = np.concatenate([[0], np.cumsum(grid.counts)])
    at, rest = np.divmod(edges, block)
    begun = starts[:, np.minimum(at, starts.shape[1] - 1)]
    upto = whole[:, at] + sums[begun + rest] - sums[begun]
    return np.diff(upto, axis=1) / grid.counts * noise.scale * enlarged
