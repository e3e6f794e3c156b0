"""Decoded sound laid onto the clock: 16 kHz, mono, every sample at the tick its PTS says.

Within an unbroken run of frames the samples are counted, and all time stamps together say where the run lies: in a
container that writes whole milliseconds each leaves half of one open, what all of them leave open is less. Where the
stamps wander off the count (a recorder whose clock runs fast), the run is stretched after them. Where they leave it
at once by more than `SLACK` (a gap, a jump), the resampler is flushed and a new run begins. Gaps stay gaps: they are
zeros in the array and are listed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int16

from omni_lab.config import TICKS_PER_SECOND

if TYPE_CHECKING:
    import av

SLACK = (
    TICKS_PER_SECOND // 100
)  # 10 ms: more than any container's rounding, less than anybody hears
RECENT = 16  # stamps whose middle says where the next frame should lie
STEEPEST = 0.1  # ticks by which a clock may go wrong in a tick; stamps that err more are no clock
BLOCK = 1 << 20  # samples stretched at a time


class _Run:
    """Samples without a break, and what the stamps say about where they lie."""

    def __init__(self, at: float):
        self.at = at  # ticks, where the run begins if no stamp says so
        self.parts: list[np.ndarray] = []
        self.length = Fraction(0)  # of the source's samples so far, in ticks
        self.counted: list[float] = []  # of each stamp: ticks since the run began
        self.offsets: list[float] = []  # and the stamp less those ticks
        self.grain = 0.0  # ticks between two stamps that the container can tell apart

    def awaited(self) -> tuple[float, float]:
        """Give the ticks at which the next frame should lie: by the recent stamps' middle, and by the newest alone."""
        recent = self.offsets[-RECENT:] or [self.at]
        return float(self.length) + sum(recent) / len(recent), float(self.length) + recent[-1]

    def laid(self) -> tuple[int, Int16[np.ndarray, " samples"]]:
        """Give the tick of the first sample, and the samples, stretched if need be."""
        samples = np.concatenate(self.parts) if self.parts else np.zeros(0, dtype=np.int16)
        if not self.offsets or not samples.size:
            return round(self.at), samples
        offsets = np.array(self.offsets)
        if (
            np.ptp(offsets) <= self.grain + 2
        ):  # nothing but rounding: the first stamp, if the others allow it
            open_by = (self.grain + 1) / 2  # stamps are also rounded to ticks
            first, last = offsets.max() - open_by, offsets.min() + open_by
            return round(
                float(offsets[0] if first <= offsets[0] <= last else (first + last) / 2)
            ), samples
        counted = np.array(self.counted)
        blocks = np.split(
            np.arange(offsets.size), np.flatnonzero(np.diff(counted // TICKS_PER_SECOND)) + 1
        )
        knots = np.array([counted[block].mean() for block in blocks])
        shifts = np.array([offsets[block].mean() for block in blocks])
        middles = [np.median(offsets[block]) for block in blocks]
        shaking = np.median([offsets[block].std() / np.sqrt(block.size) for block in blocks])
        quarter = -(-len(blocks) // 4)
        wander = np.median(middles[-quarter:]) - np.median(middles[:quarter])
        if (
            abs(wander) <= self.grain + 2 + 6 * shaking
        ):  # stamps that shake, or err for a while (Ogg)
            return round(float(np.median(offsets))), samples
        if (
            np.abs(np.diff(shifts) / np.diff(knots)).max() > STEEPEST
        ):  # stretched so far, sound would be lost
            return round(self.offsets[0]), samples
        return stretch(samples, knots, shifts)


class SoundLine:
    """Take decoded audio frames in order and lay them as int16 samples onto the clock."""

    def __init__(self):
        self._runs: list[_Run] = []
        self._resampler = None
        self._form: tuple | None = None

    def add(self, frame: av.AudioFrame, time: int | None, grain: float = 0.0) -> None:
        """Lay the next frame.

        Parameters
        ----------
        frame : decoded samples of any format, rate and layout
        time : its tick on the clock, None where the container does not say
        grain : ticks between two times that the container can tell apart

        Raises
        ------
        av.error.FFmpegError
            the frame's channels cannot be mixed to one
        """
        import av
        from av.audio.resampler import AudioResampler

        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        awaited = self._runs[-1].awaited() if self._runs else (0.0, 0.0)
        jumps = time is not None and min(abs(time - tick) for tick in awaited) > SLACK
        if not self._runs or form != self._form or jumps:
            self._flush()
            self._resampler = AudioResampler(format="s16", layout="mono", rate=TICKS_PER_SECOND)
            self._form = form
            self._runs.append(_Run(awaited[0]))
        run = self._runs[-1]
        if time is not None:
            run.counted.append(float(run.length))
            run.offsets.append(time - float(run.length))
            run.grain = max(run.grain, grain)
        frame.pts = None  # time is kept here, by counting
        try:
            self._lay(self._resampler.resample(frame))
        except av.error.FFmpegError:  # channels that cannot be mixed: nothing to flush later
            self._resampler = self._form = None
            raise
        run.length += Fraction(frame.samples * TICKS_PER_SECOND, frame.sample_rate)

    def finish(
        self, span_end: int | None = None, padding: int = 0, moved: int = 0
    ) -> tuple[np.ndarray | None, int, list[tuple[int, int]]]:
        """Flush, and return samples, the tick of the first one, and the gaps inside.

        Parameters
        ----------
        span_end : where the container says the sound ends (ticks), None where it does not
        padding : samples an encoder may have added behind that end; anything longer is sound, whatever the header says
        moved : ticks by which all of it, its end too, belongs later than its times say

        Returns
        -------
        int16 samples (None when there were none), the first one's tick (never before zero), gaps as (start, end)
        """
        self._flush()
        laid = ((at + moved, samples) for at, samples in (run.laid() for run in self._runs))
        runs = [(max(at, 0), samples[max(0, -at) :]) for at, samples in laid]
        self._runs = []
        span_end = None if span_end is None else span_end + moved
        runs = sorted((run for run in runs if run[1].size), key=lambda run: run[0])
        if not runs:
            return None, 0, []
        start = runs[0][0]
        end = max(at + samples.size for at, samples in runs)
        if span_end is not None and start < span_end < end <= span_end + padding:
            end = span_end
        audio = np.zeros(end - start, dtype=np.int16)
        heard, gaps = start, []
        for at, samples in runs:
            if at >= end:
                break
            samples = samples[: end - at]
            audio[at - start : at - start + samples.size] = samples
            if at > heard:
                gaps.append((heard, at))
            heard = max(heard, at + samples.size)
        return audio[: heard - start], start, gaps

    def _flush(self) -> None:
        """Fetch what the resampler's filter still holds: without it the last milliseconds are lost."""
        if self._resampler is not None:
            self._lay(self._resampler.resample(None))

    def _lay(self, frames: list[av.AudioFrame]) -> None:
        self._runs[-1].parts.extend(frame.to_ndarray().reshape(-1) for frame in frames)


def stretch(
    samples: Int16[np.ndarray, " samples"],
    knots: Float[np.ndarray, " knots"],
    shifts: Float[np.ndarray, " knots"],
) -> tuple[int, Int16[np.ndarray, " laid"]]:
    """Lay samples so that sample `knots[i]` comes to lie at tick `knots[i] + shifts[i]`, evenly in between.

    Values between samples are read off Catmull and Rom's cubic (1974), four samples at a time.

    Parameters
    ----------
    samples : 16 kHz mono
    knots : places in `samples`, rising, at least two
    shifts : ticks by which each lies later than its place

    Returns
    -------
    the tick of the first sample, and the samples

    >>> start, laid = stretch(np.zeros(32_000, dtype=np.int16), np.array([0.0, 32_000.0]), np.array([100.0, 132.0]))
    >>> start, laid.size
    (100, 32032)
    """
    slopes = np.diff(shifts) / np.diff(knots)
    ends = np.array([0.0, float(samples.size)])
    outer = shifts[[0, -1]] + slopes[[0, -1]] * (ends - knots[[0, -1]])
    inside = (knots > 0) & (knots < ends[1])
    places = np.r_[ends[0], knots[inside], ends[1]]
    ticks = places + np.r_[outer[0], shifts[inside], outer[1]]
    start, end = round(float(ticks[0])), round(float(ticks[-1]))
    laid = np.empty(end - start, dtype=np.int16)
    for first in range(0, laid.size, BLOCK):
        wanted = np.arange(start + first, min(start + first + BLOCK, end))
        at = np.interp(wanted, ticks, places)
        base = np.floor(at).astype(np.int64)
        part = (at - base).astype(np.float32)
        a, b, c, d = (samples.take(base + k, mode="clip").astype(np.float32) for k in (-1, 0, 1, 2))
        curve = b + part / 2 * (
            c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a))
        )
        laid[first : first + BLOCK] = np.rint(curve).clip(-32768, 32767)
    return start, laid
