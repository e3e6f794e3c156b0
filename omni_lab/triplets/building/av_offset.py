"""How far a clip's sound is from its picture, where flashes, claps or hits let it be known: mostly they do not.

Every sudden change of the picture is paired with every onset of sound; if many pairs are the same time apart, and no
other distance has nearly as many, that distance is the offset. Chance alone must be unlikely to bring so many together.
Sound and picture that both repeat in step, such as a metronome, fit at many distances: then nothing is claimed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int16, Int64

from omni_lab.config import TICKS_PER_SECOND

LONGEST = 3 * TICKS_PER_SECOND  # offsets that are looked for, both ways
WIDTH = (
    TICKS_PER_SECOND * 6 // 100
)  # pairs this near to each other agree: a frame may show an event 40 ms late
APART = TICKS_PER_SECOND // 5  # events nearer than this to the one before belong to it
CHANCE = 1e-4  # how often events that have nothing to do with each other may be believed
HOP = TICKS_PER_SECOND // 100


def av_offset(
    changes: Int64[np.ndarray, " changes"], onsets: Int64[np.ndarray, " onsets"], length: int
) -> tuple[float, float] | None:
    """Tell how much later the sound is than the picture, and how sure that is.

    Parameters
    ----------
    changes : ticks at which the picture changes at once
    onsets : ticks at which a sound begins at once
    length : of the clip, ticks

    Returns
    -------
    seconds (above zero: the sound is late), and the share of the evidence that no other offset has, 0.5 to 1; None
    where it cannot be known

    >>> flashes = np.array([8, 21, 29, 50, 57, 74, 83, 96, 110, 126]) * 1600
    >>> av_offset(flashes, flashes + 4800, 13 * 16000)
    (0.3, 0.8)
    >>> av_offset(flashes, np.arange(10) * 16000, 13 * 16000) is None
    True
    """
    from scipy.special import gammainc

    changes, onsets = _first_of_each(changes), _first_of_each(onsets)
    pairs = np.sort((onsets[:, None] - changes[None]).ravel())
    pairs = pairs[np.abs(pairs) <= LONGEST]
    if not pairs.size:
        return None
    agree = np.searchsorted(pairs, pairs + WIDTH, "right") - np.arange(pairs.size)
    best = int(np.argmax(agree))
    count = int(agree[best])
    rival = int(agree[np.abs(pairs - pairs[best]) > WIDTH].max(initial=0))
    usual = changes.size * onsets.size * WIDTH / length  # pairs in one window if nothing agreed
    # the chance that a Poisson variable is so large; a window starts at a pair: that one is no evidence
    unlikely = pairs.size * gammainc(count - 1, usual) <= CHANCE
    if 2 * count < min(changes.size, onsets.size) or 2 * rival > count or not unlikely:
        return None
    return round(float(np.median(pairs[best : best + count])) / TICKS_PER_SECOND, 3), round(
        1 - rival / count, 3
    )


def onsets_of(audio: Int16[np.ndarray, " samples"]) -> Int64[np.ndarray, " onsets"]:
    """Find where sound begins at once: ten times the power of the 50 ms before, and not faint.

    Returns
    -------
    index of the first sample at half of the new peak
    """
    level = np.abs(audio[: audio.size // HOP * HOP].astype(np.float32)) / 32768
    power = (level.reshape(-1, HOP) ** 2).mean(axis=1)
    total = np.r_[0.0, np.cumsum(power, dtype=np.float64)]
    before = np.maximum(total[5:-1] - total[:-6], 0) / 5
    rises = 5 + np.flatnonzero(power[5:] > 10 * (before + 1e-5))
    rises = _first_of_each(rises * HOP)
    near = [level[start : start + 2 * HOP] for start in rises]
    return np.array(
        [s + int(np.argmax(part >= part.max() / 2)) for s, part in zip(rises, near, strict=True)],
        dtype=np.int64,
    )


def _first_of_each(events: Int64[np.ndarray, " events"]) -> Int64[np.ndarray, " firsts"]:
    """Leave out events that follow the one before so closely that they are one: a flash comes and goes."""
    return events[np.diff(events, prepend=-APART) >= APART]
