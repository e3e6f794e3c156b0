"""Audio resampling and placement on the clock: 16 kHz, mono, every sample at the tick of its PTS.

Samples that follow one another in the file follow one another in time: they are counted, and all
timestamps together place them. In a container that writes whole milliseconds each timestamp leaves
half a millisecond open, and what all of them leave open is less. Timestamps that jitter around the
count, however far, move nothing, and are listed as errors. Where they leave the count for good (see
`changepoints`) there is a gap: zeros in the array, and listed. Where they drift away from it (a
recorder whose clock runs fast), the samples are stretched to follow them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int16

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.changepoints import SLACK, STAYS, lasting_moves
from omni_lab.media.clock import seconds
from omni_lab.media.damage import DamageLog
from omni_lab.media.downmix import Downmix

if TYPE_CHECKING:
    import av

LISTED = TICKS_PER_SECOND // 100  # 10 ms: nobody hears less, and block switches often err by 9
STEEPEST = 0.1  # ticks of drift per tick; timestamps that drift faster are no clock
SMOOTH = SLACK / 10  # jitter of a second's mean that is followed
BLOCK = 1 << 20  # samples stretched at a time


@dataclass(frozen=True)
class _Run:
    """Unbroken run of samples, with the timestamps that place it."""

    samples: Int16[np.ndarray, " samples"]
    counted: Float[np.ndarray, " stamps"]  # of each timestamp: ticks since the run began
    offsets: Float[np.ndarray, " stamps"]  # and the timestamp less those ticks
    grain: float  # ticks per unit of the container's time base

    def laid(
        self,
    ) -> tuple[int, Int16[np.ndarray, " laid"], Float[np.ndarray, " stamps"]]:
        """Placed run: the first sample's tick, the samples, and how far off each timestamp is."""
        offsets, samples = self.offsets, self.samples
        if not offsets.size or not samples.size:
            return 0, samples, np.zeros(0)
        if np.ptp(offsets) <= self.grain + 2:  # nothing but rounding
            return self._rounded(), samples, np.zeros(0)

        # Timestamps that jitter, or err for a while (Ogg), say where the run lies, not how long.
        blocks = _blocks(self.counted, TICKS_PER_SECOND)
        jitter = _jitter(offsets, blocks)
        if abs(_drift(offsets, blocks)) <= self.grain + 2 + 9 * jitter:
            middle = float(np.median(offsets))
            return round(middle), samples, offsets - middle

        # else the pitch would follow the jitter
        if jitter > SMOOTH and self.counted[-1] > 2 * STAYS:
            blocks = _blocks(self.counted, STAYS)
        knots = np.array([self.counted[block].mean() for block in blocks])
        shifts = np.array([offsets[block].mean() for block in blocks])
        # Stretching along a steeper slope would squeeze sound to nothing.
        if np.abs(np.diff(shifts) / np.diff(knots)).max(initial=0) > STEEPEST:
            return round(offsets[0]), samples, offsets - offsets[0]
        return *stretch(samples, knots, shifts), offsets - np.interp(self.counted, knots, shifts)

    def _rounded(self) -> int:
        """Start tick where timestamps differ by rounding alone: the first, if the others agree."""
        open_by = (self.grain + 1) / 2  # timestamps are also rounded to ticks
        low, high = self.offsets.max() - open_by, self.offsets.min() + open_by
        first = self.offsets[0]
        return round(float(first if low <= first <= high else (low + high) / 2))


class _Line:
    """Samples in the order of the file, counted, with all of their timestamps."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.length = Fraction(0)  # of the source's samples so far, in ticks
        self.counted: list[float] = []  # of each timestamp: ticks since the line began
        self.offsets: list[float] = []  # and the timestamp less those ticks
        self.cuts: list[int] = []  # timestamps at which another form begins, with its own place
        self.grain = 0.0  # ticks per unit of the container's time base

    def stamp(self, time: int, grain: float) -> None:
        """Take the timestamp (tick) of the next sample."""
        self.counted.append(float(self.length))
        self.offsets.append(time - float(self.length))
        self.grain = max(self.grain, grain)

    def settle(self) -> None:
        """Make the samples so far as many as were counted: a filter's end may be one off."""
        samples = sum(part.size for part in self.parts)
        lacking = round(self.length) - samples
        if lacking > 0:
            self.parts.append(np.zeros(lacking, dtype=np.int16))
        elif lacking < 0:
            self.parts = [np.concatenate(self.parts)[:lacking]]

    def runs(self) -> list[_Run]:
        """Unbroken runs: the samples, cut where the timestamps move for good."""
        samples = np.concatenate(self.parts) if self.parts else np.zeros(0, dtype=np.int16)
        counted, offsets = np.array(self.counted), np.array(self.offsets)
        moves = sorted({*lasting_moves(counted, offsets), *self.cuts} - {0, counted.size})
        starts = [0, *(round(counted[move]) for move in moves)]
        pieces = np.split(samples, starts[1:])
        stamps = np.split(np.arange(counted.size), moves)

        return [
            _Run(piece, counted[own] - start, offsets[own] + start, self.grain)
            for start, piece, own in zip(starts, pieces, stamps, strict=True)
        ]


def _blocks(counted: Float[np.ndarray, " stamps"], length: int) -> list[np.ndarray]:
    """Indices of the timestamps in each `length` ticks of a run."""
    edges = np.flatnonzero(np.diff(counted // length)) + 1
    return np.split(np.arange(counted.size), edges)


def _drift(offsets: Float[np.ndarray, " stamps"], blocks: list[np.ndarray]) -> float:
    """Clock drift (ticks) between the first and the last quarter of a run, by medians."""
    middles = [np.median(offsets[block]) for block in blocks]
    quarter = -(-len(blocks) // 4)
    return np.median(middles[-quarter:]) - np.median(middles[:quarter])


def _jitter(offsets: Float[np.ndarray, " stamps"], blocks: list[np.ndarray]) -> float:
    """Timestamp jitter (ticks): the median standard error of a second's mean."""
    return np.median([offsets[block].std() / np.sqrt(block.size) for block in blocks])


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    """Sample format, channel layout and rate of a frame."""
    return frame.format.name, frame.layout.name, frame.sample_rate


class SoundLine:
    """Audio placement: decoded frames, in order, as 16 kHz mono int16 samples on the clock.

    Parameters
    ----------
    damage : where timestamps that were passed over, and samples laid over others, are listed
    """

    def __init__(self, damage: DamageLog | None = None):
        self._damage = damage or DamageLog()
        self._line = _Line()
        self._downmix = Downmix()
        self._resampler = None
        self._source: tuple | None = None  # form of the newest frame
        self._form: tuple | None = None  # and of what is mixed

    def add(self, frame: av.AudioFrame, time: int | None, grain: float = 0.0) -> None:
        """Place the next frame.

        Parameters
        ----------
        frame : decoded samples of any format, rate and layout
        time : its tick on the clock, None where the container does not say
        grain : ticks per unit of the container's time base

        Raises
        ------
        av.error.FFmpegError
            FFmpeg knows no downmix of the frame's channels to mono
        """
        import av

        line, source = self._line, _form(frame)
        if source != self._source:
            line.cuts.append(len(line.counted))
            self._source = source
        if time is not None:
            line.stamp(time, grain)

        frame.pts = None  # else resamplers would fill gaps: time is kept here, by counting
        length = Fraction(frame.samples * TICKS_PER_SECOND, frame.sample_rate)
        try:
            mixed = self._mixed(frame, time)
            self._begin_form(mixed)
            self._lay(self._resampler.resample(mixed))
        except av.error.FFmpegError:  # unknown downmix: there is nothing to flush later
            self._resampler = self._form = None
            raise
        line.length += length

    def _mixed(self, frame: av.AudioFrame, time: int | None) -> av.AudioFrame:
        """Audio frame whose channels do not cancel in the mix, which is listed where they would."""
        before = self._downmix.alone
        mixed = self._downmix.heard(frame)
        if before is None and self._downmix.alone is not None:
            cancel = "the channels of the sound cancel in the mix to mono"
            self._damage.note(f"{cancel}: the loudest is heard alone", time)
        return mixed

    def _begin_form(self, frame: av.AudioFrame) -> None:
        """Begin a new resampler where the format changes."""
        from av.audio.resampler import AudioResampler

        form = _form(frame)
        if form != self._form:
            if self._resampler is not None:
                self._flush()
                self._line.settle()
            self._resampler = AudioResampler(format="s16", layout="mono", rate=TICKS_PER_SECOND)
            self._form = form

    def finish(
        self, span_end: int | None = None, padding: int = 0, moved: int = 0
    ) -> tuple[np.ndarray | None, int, list[tuple[int, int]]]:
        """Complete sound track: samples, the tick of the first one, and the gaps inside.

        Parameters
        ----------
        span_end : where the container says the sound ends (ticks), None where it does not
        padding : samples an encoder may have added behind that end; more than that is sound,
            whatever the header says
        moved : ticks by which all of it, its end too, belongs later than its times say

        Returns
        -------
        int16 samples (None when there were none), the first one's tick (never before zero), gaps as
        (start, end) in ticks
        """
        self._flush()
        laid = [run.laid() for run in self._line.runs()]
        self._line = _Line()
        self._note_jitter(np.concatenate([np.zeros(0), *(off for _, _, off in laid)]))

        laid = [(at + moved, samples) for at, samples, _ in laid]
        runs = [(max(at, 0), samples[max(0, -at) :]) for at, samples in laid]
        runs = sorted((run for run in runs if run[1].size), key=lambda run: run[0])
        if not runs:
            return None, 0, []

        start = runs[0][0]
        end = max(at + samples.size for at, samples in runs)
        span_end = None if span_end is None else span_end + moved
        if span_end is not None and start < span_end < end <= span_end + padding:
            end = span_end
        return self._joined(runs, start, end)

    def _flush(self) -> None:
        """Fetch the last milliseconds, which the resampler's filter still holds."""
        if self._resampler is not None:
            self._lay(self._resampler.resample(None))

    def _lay(self, frames: list[av.AudioFrame]) -> None:
        self._line.parts.extend(frame.to_ndarray().reshape(-1) for frame in frames)

    def _note_jitter(self, off: Float[np.ndarray, " stamps"]) -> None:
        """List timestamps that lie too far off (ticks) the place of their samples."""
        far = np.abs(off)[np.abs(off) > LISTED]
        if far.size:
            most = seconds(round(1000 * far.max()))
            self._damage.note(
                f"{far.size} timestamps of the sound are off by up to {most:.0f} ms and passed "
                "over: its samples follow one another as counted"
            )

    def _joined(
        self, runs: list[tuple[int, np.ndarray]], start: int, end: int
    ) -> tuple[np.ndarray, int, list[tuple[int, int]]]:
        """One array from `start` to `end` (ticks) of runs in order of time, and the gaps between.

        Runs that overlap by no more than the slack are joined; else the later one is heard.
        """
        audio = np.zeros(end - start, dtype=np.int16)
        heard, gaps = start, []

        for at, samples in runs:
            if 0 < heard - at <= SLACK:
                at = heard
            if at >= end:
                break
            samples = samples[: end - at]
            audio[at - start : at - start + samples.size] = samples
            if at > heard:
                gaps.append((heard, at))
            if at < heard:
                lost = min(heard - at, samples.size)
                twice = f"{seconds(lost):.3f} s of sound are stamped twice: the later is kept"
                self._damage.note(twice, at)
            heard = max(heard, at + samples.size)
        return audio[: heard - start], start, gaps


def stretch(
    samples: Int16[np.ndarray, " samples"],
    knots: Float[np.ndarray, " knots"],
    shifts: Float[np.ndarray, " knots"],
) -> tuple[int, Int16[np.ndarray, " laid"]]:
    """Time stretching: sample `knots[i]` goes to tick `knots[i] + shifts[i]`, evenly in between.

    Values between samples follow the cubic of Catmull and Rom (1974), on four samples at a time.

    Parameters
    ----------
    samples : 16 kHz mono
    knots : places in `samples`, rising, at least two
    shifts : ticks by which each lies later than its place

    Returns
    -------
    the tick of the first sample, and the samples

    >>> start, laid = stretch(np.zeros(32_000, np.int16), np.r_[0.0, 32_000], np.r_[100.0, 132])
    >>> start, laid.size
    (100, 32032)
    """
    # The line through the outermost knots continues to both ends of the samples.
    slopes = np.diff(shifts) / np.diff(knots)
    ends = np.array([0.0, float(samples.size)])
    outer = shifts[[0, -1]] + slopes[[0, -1]] * (ends - knots[[0, -1]])
    inside = (knots > 0) & (knots < ends[1])
    places = np.r_[ends[0], knots[inside], ends[1]]
    ticks = places + np.r_[outer[0], shifts[inside], outer[1]]

    start, end = round(float(ticks[0])), round(float(ticks[-1]))
    laid = np.empty(end - start, dtype=np.int16)
    for first in range(0, laid.size, BLOCK):  # in blocks: an hour of floats would not fit in memory
        wanted = np.arange(start + first, min(start + first + BLOCK, end))
        laid[first : first + BLOCK] = _read_at(samples, np.interp(wanted, ticks, places))
    return start, laid


def _read_at(
    samples: Int16[np.ndarray, " samples"], at: Float[np.ndarray, " places"]
) -> Float[np.ndarray, " places"]:
    """Values between samples, by the cubic of Catmull and Rom, rounded to whole int16 values."""
    base = np.floor(at).astype(np.int64)
    part = (at - base).astype(np.float32)
    a, b, c, d = (samples.take(base + k, mode="clip").astype(np.float32) for k in (-1, 0, 1, 2))
    curve = b + part / 2 * (
        c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a))
    )
    return np.rint(curve).clip(-32768, 32767)
