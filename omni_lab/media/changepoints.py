"""Change-point detection in timestamps: where the time of a sound moves for good.

A timestamp less the samples counted before it is an offset. Offsets that jitter come back: block
switches in Vorbis, recorders that stamp frames on arrival, one broken stamp. An offset that moves
and stays is a gap in the recording (a rise), or a clock that was set back (a fall).

Two scales are looked at. A sharp move lies above all stamps of some seconds before it and below all
of some seconds after, and is found exactly, however close to the next one. What jitter hides is
looked for again in running medians, over as many stamps as bring the jitter down.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from omni_lab.config import TICKS_PER_SECOND

SLACK = TICKS_PER_SECOND // 200  # 5 ms: more than containers round, less than recordings lose
STAYS = 4 * TICKS_PER_SECOND  # what comes back within 4 s of sound has never moved
BACK = TICKS_PER_SECOND // 100  # samples cannot overlap: a fall is not believed as easily
STILL = SLACK / 5  # jitter that hides nothing
FEWEST, SMOOTH = 9, 6  # stamps of a running median: the fewest; and what divides the jitter
SURE = 3  # standard errors by which a move in the running medians exceeds the slack


def lasting_moves(
    counted: Float[np.ndarray, " stamps"], offsets: Float[np.ndarray, " stamps"]
) -> list[int]:
    """Change points of the offsets: index of the first stamp after each move that stays.

    Parameters
    ----------
    counted : ticks of sound before each timestamp, rising
    offsets : each timestamp less those ticks

    >>> lasting_moves(np.arange(7) * 320.0, np.array([0.0, 0, 200, 0, 0, 400, 400]))
    [5]
    """
    from scipy.ndimage import median_filter

    if offsets.size < 2 or np.ptp(offsets) <= SLACK:
        return []
    reach = max(1, round(STAYS / max(1.0, float(np.median(np.diff(counted))))))

    # The median of three leaves a staircase as it is, and passes over one broken stamp. A lone
    # stamp at an end may tell of a gap, which costs no sample, but not of a clock set back.
    rises = _rises(median_filter(offsets, 3, mode="nearest"), reach)
    falls = _rises(-median_filter(offsets, 3, mode="mirror"), reach)
    noise = _noise(offsets)
    sharp = np.flatnonzero((rises > SLACK + noise) | (falls > BACK + noise)) + 1

    hidden = []
    for piece in np.split(np.arange(offsets.size), sharp):
        hidden += [int(piece[0]) + cut for cut in _hidden_rises(offsets[piece], reach)]
    return sorted([*sharp.tolist(), *hidden])


def _noise(offsets: Float[np.ndarray, " stamps"]) -> float:
    """Jitter of the offsets (ticks): their usual step back, since gaps only move them forth."""
    return float(np.percentile(np.maximum(-np.diff(offsets), 0), 75))


def _rises(
    levels: Float[np.ndarray, " levels"], reach: int, lag: int = 1
) -> Float[np.ndarray, " places"]:
    """Rise (ticks) of `reach` levels, the lowest of them, above the highest of as many before.

    Place `i` compares the levels from `i + lag` on with those up to `i`.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    highest = maximum_filter1d(levels, reach, mode="nearest", origin=(reach - 1) // 2)
    lowest = minimum_filter1d(levels, reach, mode="nearest", origin=-(reach // 2))
    return lowest[lag:] - highest[:-lag]


def _hidden_rises(offsets: Float[np.ndarray, " stamps"], reach: int) -> list[int]:
    """Change points that jitter hides: the clearest rise of running medians, then either side."""
    from scipy.ndimage import median_filter

    if offsets.size < 4 * FEWEST or (noise := _noise(offsets)) <= STILL:
        return []
    enough = min((SMOOTH * noise / SLACK) ** 2, reach, offsets.size / 4)
    half = int(max(FEWEST, enough)) // 2
    width = 2 * half + 1

    medians = median_filter(offsets, width)[half:-half]
    rises = _rises(medians, width, lag=width)  # medians that share no stamp
    drift = max(0.0, float(np.percentile(medians[width:] - medians[:-width], 25)))
    place = int(rises.argmax())
    if rises[place] <= SLACK + drift + SURE * 1.5 * noise / np.sqrt(width):
        return []

    levels = medians[[place, place + width]]
    cut = place + _nearest_split(offsets[place : place + 2 * width], *levels)
    later = _hidden_rises(offsets[cut:], reach)
    return [*_hidden_rises(offsets[:cut], reach), cut, *(cut + place for place in later)]


def _nearest_split(offsets: Float[np.ndarray, " stamps"], before: float, after: float) -> int:
    """Split that leaves the least distance of all stamps to the level before and after it."""
    nearer = np.abs(offsets[:-1] - before) - np.abs(offsets[:-1] - after)
    return 1 + int(nearer.cumsum().argmin())
