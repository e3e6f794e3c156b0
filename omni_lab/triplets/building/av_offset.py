"""Audio/video offset of a clip, estimated from flashes, claps or hits; most clips have too few.

Every sudden change of the picture is paired with every onset of sound; if many pairs are the same
time apart, and no other distance has nearly as many, that distance is the offset. Chance alone must
be unlikely to bring so many together. Sound and picture that both repeat in step, such as a
metronome, fit at many distances: then nothing is claimed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int16, Int64

from omni_lab.config import TICKS_PER_SECOND

LONGEST = 3 * TICKS_PER_SECOND  # largest offset searched for, both ways, ticks
WIDTH = TICKS_PER_SECOND * 6 // 100  # 60 ms, ticks: a frame may show an event 40 ms late
APART = TICKS_PER_SECOND // 5  # ticks: an event nearer than this to the one before is the same
CHANCE = 1e-4  # false-alarm rate: probability of a claim for unrelated events
HOP = TICKS_PER_SECOND // 100  # 10 ms, ticks


def av_offset(
    changes: Int64[np.ndarray, " changes"], onsets: Int64[np.ndarray, " onsets"], length: int
) -> tuple[float, float] | None:
    """Audio/video offset in seconds with its sureness, from picture changes and sound onsets.

    Parameters
    ----------
    changes : ticks at which the picture changes suddenly
    onsets : ticks at which a sound begins suddenly
    length : of the clip, ticks

    Returns
    -------
    offset in seconds (positive: the sound is late), and the fraction of the evidence that no rival
    offset has, 0.5 to 1; None where the events do not determine it

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

    usual = changes.size * onsets.size * WIDTH / length  # expected in a window of unrelated events
    # probability that a Poisson variable is so large, over all windows; each window starts at a
    # pair, which is no evidence
    unlikely = pairs.size * gammainc(count - 1, usual) <= CHANCE
    if 2 * count < min(changes.size, onsets.size) or 2 * rival > count or not unlikely:
        return None
    offset = float(np.median(pairs[best : best + count])) / TICKS_PER_SECOND
    return round(offset, 3), round(1 - rival / count, 3)


def onsets_of(audio: Int16[np.ndarray, " samples"]) -> Int64[np.ndarray, " onsets"]:
    """Onset detection in audio: ten times the power of the 50 ms before, and not faint.

    Parameters
    ----------
    audio : 16 kHz mono

    Returns
    -------
    per onset, the index of the first sample at half of the new peak
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
    """Events without those close behind another: a flash comes and goes, but is one event."""
    return events[np.diff(events, prepend=-APART) >= APART]
