"""Smooth-decay null: a power law with offset, loss = a + b (t + t0)^-c, fitted to log loss.

The form of scaling laws of training (Hestness et al. 2017; Kaplan et al. 2020): no phase begins or ends in it. Many
curves are fitted at once by Levenberg–Marquardt, since the bootstrap needs hundreds of fits.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_BOUNDS = np.array([[-40.0, 40.0], [-60.0, 60.0], [-4.6, 1.8], [-3.0, 30.0]])  # log a, b, c, t0


def curve_of(
    parameters: Float[np.ndarray, "fits 4"], x: Float[np.ndarray, " bins"]
) -> Float[np.ndarray, "fits bins"]:
    """Log loss of power laws with offset at log steps `x`; parameters are log a, log b, log c, log t0."""
    offset, size, exponent, shift = parameters.T[..., None]
    return np.logaddexp(offset, size - np.exp(exponent) * np.logaddexp(x, shift))


def _jacobian(
    parameters: Float[np.ndarray, "fits 4"], x: Float[np.ndarray, " bins"]
) -> Float[np.ndarray, "fits bins 4"]:
    offset, size, exponent, shift = parameters.T[..., None]
    log_time, c = np.logaddexp(x, shift), np.exp(exponent)
    share = np.exp(offset - np.logaddexp(offset, size - c * log_time))
    rest = 1 - share
    by_shift = -rest * c * np.exp(shift - log_time)
    return np.stack([share, rest, -rest * c * log_time, by_shift], -1)


def fit_smooth(
    x: Float[np.ndarray, " bins"],
    y: Float[np.ndarray, "fits bins"],
    whiten: Float[np.ndarray, "bins bins"],
    start: Float[np.ndarray, "fits 4"],
    rounds: int,
) -> tuple[Float[np.ndarray, "fits 4"], Float[np.ndarray, " fits"]]:
    """Generalised least squares of power laws with offset to every row of `y`, and their squared errors."""
    here = np.clip(start, *_BOUNDS.T)
    off = (y - curve_of(here, x)) @ whiten.T
    error = (off**2).sum(1)
    damping = np.full(len(here), 1e-2)
    for _ in range(rounds):
        slopes = whiten @ _jacobian(here, x)
        normal = slopes.transpose(0, 2, 1) @ slopes
        right = (off[:, None, :] @ slopes)[:, 0]
        diagonal = np.einsum("fii->fi", normal)
        lift = damping[:, None] * diagonal + 1e-9 * diagonal.max(1, keepdims=True) + 1e-12
        stepped = np.linalg.solve(normal + lift[..., None] * np.eye(4), right[..., None])[..., 0]
        tried = np.clip(here + np.clip(stepped, -2, 2), *_BOUNDS.T)
        off_new = (y - curve_of(tried, x)) @ whiten.T
        new = (off_new**2).sum(1)
        better = new < error
        off = np.where(better[:, None], off_new, off)
        here = np.where(better[:, None], tried, here)
        error = np.where(better, new, error)
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-9, 1e6)
    return here, error


def first_fit(
    x: Float[np.ndarray, " bins"],
    y: Float[np.ndarray, " bins"],
    whiten: Float[np.ndarray, "bins bins"],
) -> tuple[Float[np.ndarray, " 4"], float]:
    """Best power law with offset of one curve, over many beginnings, and its squared error."""
    low = float(y[-5:].mean())
    starts = []
    for c in (0.05, 0.15, 0.4, 0.8, 1.5, 3.0):
        for shift in (-2.0, 1.0, x[-1] / 2, x[-1] - 1):
            for offset in (low - 6, low - 0.7, low - 0.1):
                size = np.log(max(np.exp(y[0]) - np.exp(offset), 1e-12)) + c * np.logaddexp(
                    x[0], shift
                )
                starts.append((offset, size, np.log(c), shift))
    rows = np.broadcast_to(y, (len(starts), y.size))
    found, errors = fit_smooth(x, rows, whiten, np.array(starts), 12)
    keep = np.argsort(errors)[:3]
    found, errors = fit_smooth(x, rows[:3], whiten, found[keep], 40)
    best = int(errors.argmin())
    return found[best], float(errors[best])
