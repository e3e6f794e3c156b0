"""Log loss on an even grid of log steps, and its noise: scale, colour, and block-bootstrap draws of it.

Steps are averaged within bins of equal width in log step, so that a million steps cost as much as a thousand. Noise is
described at the level of steps, where it is stationary but for its scale: a bin of many steps has less of it, by how
much follows from the autocorrelation. Spikes are taken out by Hampel's identifier (Davies & Gather 1993). Draws are
made of blocks of neighbouring residuals (circular block bootstrap, Politis & Romano 1992), which keep their colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BINS = 120  # over the whole range of log steps; at its beginning a bin is a single step
CLIP, SPIKE = 3.0, 5.0  # residuals beyond `CLIP` scales are clipped, beyond `SPIKE` left out
POOLED = 40  # steps that the scale of noise is taken over, at least
SMALLEST = 1e-4  # scale of noise in log loss that is never undercut
FINEST = 5000  # blocks of one draw, at most


@dataclass(frozen=True)
class Grid:
    """Log loss in bins of log steps: means, with the residual-free part of what a bin holds.

    `x` is the mean of log(step − first + 1) in each bin, `y` the mean of log loss without spikes.
    """

    first: float  # step that the logarithm begins at: x = log(step - first + 1)
    x: Float[np.ndarray, " bins"]
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
    """Noise of a curve: standardised residuals, how long they are correlated, variance per bin."""

    residuals: Float[np.ndarray, " points"]  # over their scale, mean zero
    time: float  # integrated autocorrelation time (steps): 1 for white noise
    variance: Float[np.ndarray, " bins"]  # of a bin's mean


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
    base = np.interp(x, centres, rough)
    scale = _scales(y - base, edges, counts)

    each = np.repeat(scale, counts)
    off = y - base
    off = np.where(np.abs(off) > SPIKE * each, 0.0, np.clip(off, -CLIP * each, CLIP * each))
    clean = base + off
    means = np.add.reduceat(clean, edges) / counts
    return Grid(first, centres, means, counts, scale, x, clean)


def _running_median(medians: list[float]) -> np.ndarray:
    """Running median over five bins."""
    from scipy.ndimage import median_filter

    return median_filter(np.array(medians), 5, mode="nearest")


def _scales(
    off: Float[np.ndarray, " points"], edges: Int[np.ndarray, " bins"], counts: Int[np.ndarray, " bins"]
) -> Float[np.ndarray, " bins"]:
    """Scale of noise around each bin: median absolute deviation over at least `POOLED` steps."""
    scales = []
    for start, count in zip(edges, counts, strict=True):
        more = max(0, POOLED - count + 1) // 2
        low = max(0, min(start - more, off.size - POOLED))
        part = off[low : max(start + count + more, low + POOLED)]
        scales.append(1.4826 * np.median(np.abs(part - np.median(part))))
    return np.maximum(scales, SMALLEST)


def described(grid: Grid, fitted: Float[np.ndarray, " bins"], parameters: int) -> Noise:
    """Noise around a fitted curve, larger by what `parameters` took from its degrees of freedom."""
    each = np.repeat(grid.scale, grid.counts)
    off = (grid.log_loss - np.interp(grid.log_steps, grid.x, fitted)) / each
    off -= off.mean()
    correlation = autocorrelation(off)
    time = 1 + 2 * float(correlation.sum())

    independent = max(off.size / time, parameters + 10.0)
    off *= np.sqrt(independent / (independent - parameters))
    power = float(off.var())
    shares = {int(m): _mean_variance(int(m), correlation) for m in np.unique(grid.counts)}
    variance = power * grid.scale**2 * np.array([shares[int(m)] for m in grid.counts])
    return Noise(off, time, variance)


def autocorrelation(values: Float[np.ndarray, " points"]) -> Float[np.ndarray, " lags"]:
    """Autocorrelation from lag 1 to the last before it first falls within its error, 2 / √points."""
    size = values.size
    spectrum = np.fft.rfft(values, 2 * size)
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[: size // 4]
    if raw.size < 2 or raw[0] <= 0:
        return np.zeros(0)
    lags = raw[1:] / raw[0]
    small = np.flatnonzero(lags < 2 / np.sqrt(size))
    return lags[: small[0]] if small.size else lags


def _mean_variance(count: int, correlation: Float[np.ndarray, " lags"]) -> float:
    """Variance of the mean of `count` neighbours whose variance is 1."""
    lags = np.arange(1, min(count, correlation.size + 1))
    return float(1 + 2 * ((1 - lags / count) * correlation[: lags.size]).sum()) / count


def drawn(
    grid: Grid, noise: Noise, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws bins"]:
    """Block-bootstrap draws of the noise of every bin's mean.

    A block is long enough for the colour of the noise to fit in; sums over whole blocks come from cumulative sums.
    """
    size = noise.residuals.size
    block = int(min(max(10, np.ceil(6 * noise.time), size // FINEST), max(1, size // 6)))
    sums = np.concatenate([[0.0], np.cumsum(np.tile(noise.residuals, 2))])
    starts = rng.integers(0, size, (draws, size // block + 1))
    whole = np.zeros((draws, starts.shape[1] + 1))
    np.cumsum(sums[starts + block] - sums[starts], axis=1, out=whole[:, 1:])

    edges = np.concatenate([[0], np.cumsum(grid.counts)])
    at, rest = np.divmod(edges, block)
    begun = starts[:, np.minimum(at, starts.shape[1] - 1)]
    upto = whole[:, at] + sums[begun + rest] - sums[begun]
    return np.diff(upto, axis=1) / grid.counts * grid.scale
