"""Decoded sound laid onto the clock: 16 kHz, mono, every sample at the tick its PTS says.

Within an unbroken run of frames the samples are counted, not their time stamps, which containers round; where the
stamps leave the count by more than `SLACK` (a gap, a jump, a late start), the resampler is flushed and laying goes on
at the stamp. Gaps stay gaps: they are zeros in the array and are listed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from omni_lab.config import TICKS_PER_SECOND

if TYPE_CHECKING:
    import av

SLACK = TICKS_PER_SECOND // 100  # 10 ms: more than any container's rounding, less than anybody hears


class SoundLine:
    """Take decoded audio frames in order and lay them as int16 samples onto the clock."""

    def __init__(self):
        self._runs: list[tuple[int, list[np.ndarray]]] = []  # where each unbroken run starts (ticks), and its samples
        self._resampler = None
        self._form: tuple | None = None
        self._counted = Fraction(0)  # samples of the source since the run began, in seconds

    def add(self, frame: av.AudioFrame, time: int | None) -> None:
        """Lay the next frame; `time` is its tick on the clock, None where the container does not say."""
        from av.audio.resampler import AudioResampler

        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        expected = self._runs[-1][0] + self._counted * TICKS_PER_SECOND if self._runs else 0
        at = round(expected) if time is None else time
        if self._resampler is None or form != self._form or abs(at - expected) > SLACK:
            self._flush()
            self._resampler = AudioResampler(format="s16", layout="mono", rate=TICKS_PER_SECOND)
            self._form, self._counted = form, Fraction(0)
            self._runs.append((at, []))
        frame.pts = None  # time is kept here, by counting
        self._lay(self._resampler.resample(frame))
        self._counted += Fraction(frame.samples, frame.sample_rate)

    def finish(
        self, span_end: int | None = None, padding: int = 0
    ) -> tuple[np.ndarray | None, int, list[tuple[int, int]]]:
        """Flush, and return samples, the tick of the first one, and the gaps inside.

        Parameters
        ----------
        span_end : where the container says the sound ends (ticks), None where it does not
        padding : samples an encoder may have added behind that end; anything longer is sound, whatever the header says

        Returns
        -------
        int16 samples (None when there were none), the first one's tick (never before zero), gaps as (start, end)
        """
        self._flush()
        runs = [(at, np.concatenate(parts)) for at, parts in self._runs if parts]
        runs = [(max(at, 0), samples[max(0, -at) :]) for at, samples in runs]
        runs = [(at, samples) for at, samples in runs if samples.size]
        if not runs:
            return None, 0, []
        start = min(at for at, _ in runs)
        end = max(at + samples.size for at, samples in runs)
        if span_end is not None and start < span_end < end <= span_end + padding:
            end = span_end
        audio = np.zeros(end - start, dtype=np.int16)
        heard, gaps = start, []
        for at, samples in runs:
            samples = samples[: max(0, end - at)]
            audio[at - start : at - start + samples.size] = samples
            if at > heard:
                gaps.append((heard, at))
            heard = max(heard, at + samples.size)
        return audio, start, gaps

    def _flush(self) -> None:
        """Fetch what the resampler's filter still holds: without it the last milliseconds are lost."""
        if self._resampler is not None:
            self._lay(self._resampler.resample(None))

    def _lay(self, frames: list[av.AudioFrame]) -> None:
        self._runs[-1][1].extend(frame.to_ndarray().reshape(-1) for frame in frames)
