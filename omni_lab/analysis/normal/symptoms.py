"""Symptoms of one log, measured without references: spikes, a rise, held-out loss that parts from training, stairs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.logs.curve import Curve, Log

_SPIKE, _LEAST_SPIKE = 6.0, 0.15  # robust standard deviations above the running median; logarithms
_PASS = 0.05  # in logarithms: a fall or rise of 5 %


def spikes(curve: Curve) -> int:
    """Number of separate spikes: rows far above the running median of the loss."""
    if len(curve.values) < 20 or curve.values.min() <= 0:
        return 0
    from scipy.ndimage import median_filter

    wide = max(9, len(curve.values) // 50) | 1
    values = np.log(curve.values)
    off = values - median_filter(values, min(wide, 501), mode="nearest")
    usual = 1.4826 * float(np.median(np.abs(off)))
    high = off > max(_SPIKE * usual, _LEAST_SPIKE)
    return int(high[0]) + int(np.sum(high[1:] & ~high[:-1]))


def rise(log: Log) -> tuple[float, float, float | None]:
    """Rise of the loss from its lowest to its end, in logarithms; the step of the lowest; the rate there, of its peak.

    None at a switch of stage or data, which may raise a loss, nor where the rate has come down.
    """
    curve = log.curves[log.main]
    if len(curve.values) < 20 or curve.values.min() <= 0:
        return 0.0, 0.0, None
    parts = np.array_split(np.arange(len(curve.values)), 20)
    level = np.array([np.median(np.log(curve.values[part])) for part in parts])
    low = int(np.argmin(level))
    step = float(curve.steps[parts[low][-1]])
    since = curve.steps[parts[max(low - 1, 0)][0]]
    begun = float(curve.steps[0])
    switched = any(
        e.kind in ("stage", "data") and e.step >= since and e.step > begun for e in log.events
    )
    rate = None
    if log.rates is not None:
        peak = float(log.rates.values.max())
        rate = (
            float(np.interp(step, log.rates.steps, log.rates.values)) / peak if peak > 0 else None
        )
    if switched or low >= 18 or (rate is not None and rate < 0.5):
        return 0.0, step, rate
    return float(level[-2:].mean() - level[low]), step, rate


def parting(log: Log, held: Curve) -> tuple[float, float, float] | None:
    """Step of the lowest held-out loss, its rise since and the training loss's fall, where both are clear."""
    if len(held.values) < 5 or held.values.min() <= 0:
        return None
    values = np.log(held.values)
    low = int(np.argmin(values))
    up = float(np.median(values[-3:]) - values[low])
    train = log.curves[log.main]
    after = np.log(np.maximum(train.values[train.steps >= held.steps[low]], 1e-12))
    tenth = max(1, len(after) // 5)
    down = float(after[:tenth].mean() - after[-tenth:].mean()) if len(after) >= 10 else 0.0
    steady = low <= len(values) - 4 and np.mean(np.diff(values[low:]) > 0) > 0.6
    return (float(held.steps[low]), up, down) if up > _PASS and down > _PASS and steady else None


def epoch_drops(log: Log) -> Float64[np.ndarray, " drops"]:
    """Drops of the loss, in logarithms, at the beginnings of passes over the data; empty where they are not clear."""
    curve = log.curves[log.main]
    begins = [e.step for e in log.events if e.kind == "data" and "pass over the data" in e.what]
    none = np.zeros(0)
    if not begins or curve.values.min() <= 0:
        return none
    values = np.log(curve.values)
    places = np.searchsorted(curve.steps, begins)
    wide = int(max(5, min(np.diff(np.append(0, places)).min() // 4, 50)))
    if len(values) < 6 * wide:
        return none
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(wide, len(values) - wide)
    drop = (2 * sums[at] - sums[at - wide] - sums[at + wide]) / wide
    here = drop[[p - wide for p in places if wide <= p < len(values) - wide]]
    elsewhere = drop[np.min(np.abs(at[:, None] - places[None]), axis=1) > wide]
    if not len(here) or len(elsewhere) < 5:
        return none
    usual = float(np.median(elsewhere))
    noise = 1.4826 * float(np.median(np.abs(elsewhere - usual)))
    clear = here - usual > max(_PASS, 5 * noise)
    return here[clear] if clear.mean() >= 0.5 else none
