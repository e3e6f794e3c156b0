"""Downmix to mono in which channels do not cancel: where they would, the loudest is heard alone.

One channel with its polarity inverted (a microphone wired wrongly, a wide effect) is silence in the
sum of both. The power of the sum, over the powers of its parts, tells in any layout: 1 where the
channels have nothing in common, more where they are alike, 0 where they cancel.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32

if TYPE_CHECKING:
    import av

CANCELS, MIXES = 0.1, 0.5  # relative power at which the sum is given up, and taken up again
QUIET = 1e-6  # mean power (full scale 1) below which channels may be what they like: -60 dB
MEMORY_S = 0.1  # seconds for which powers are remembered
BLOCK = 1024  # samples of a whole sound that are watched at a time
PLANES = 8  # PyAV reads beyond the planes of as many channels


class Downmix:
    """Downmix watch: gives of each frame all channels, or the one that is heard alone."""

    def __init__(self) -> None:
        self.alone: int | None = None  # the channel that is heard alone
        self._form: tuple | None = None
        self._weights = np.zeros((0, 0))  # of every two channels in the power of the sum
        self._products = np.zeros((0, 0))  # weighted, over the time that is remembered
        self._samples = 0.0  # in that time

    def heard(self, frame: av.AudioFrame) -> av.AudioFrame:
        """Audio frame for the mix: as it is, or a mono frame of its loudest channel.

        Raises
        ------
        av.error.FFmpegError
            FFmpeg knows no downmix of the frame's channels to mono
        """
        form = (frame.format.name, frame.layout.name)
        if form != self._form:
            # Of layouts that list their channels PyAV frees twice what it makes of their name.
            listed = " (" in frame.layout.name or "ambisonic" in frame.layout.name
            self._begin(np.ones(1) if listed else _weights(frame.layout.name))
            self._form = form
        if self._weights.size == 1:
            return frame

        channels = _channels(frame)
        self._measure(channels, exp(-frame.samples / frame.sample_rate / MEMORY_S))
        return frame if self.alone is None else _mono(channels[self.alone], frame.sample_rate)

    def mean(
        self, wave: Float32[np.ndarray, "samples channels"], rate: int
    ) -> Float32[np.ndarray, " samples"]:
        """Mono of a whole sound: the mean of its channels, or its loudest where they cancel."""
        count = wave.shape[1]
        self._begin(np.full(count, 1 / count))
        out = wave.mean(axis=1)
        for start in range(0, len(wave) if count > 1 else 0, BLOCK):
            block = wave[start : start + BLOCK]
            self._measure(block.T, exp(-len(block) / rate / MEMORY_S))
            if self.alone is not None:
                out[start : start + BLOCK] = block[:, self.alone]
        return out

    def _begin(self, weights: Float[np.ndarray, " channels"]) -> None:
        """Start over with channels that a downmix weights so."""
        self._weights = np.outer(weights, weights)
        self._products, self._samples = np.zeros_like(self._weights), 0.0
        self.alone = None

    def _measure(self, channels: Float32[np.ndarray, "channels samples"], kept: float) -> None:
        """Take one frame into account, beside what is kept of those before, and choose."""
        self._samples = kept * self._samples + channels.shape[1]
        self._products *= kept
        self._products += self._weights * (channels @ channels.T)
        mixed, apart = self._products.sum(), self._products.trace()

        audible = apart > QUIET * self._samples
        if self.alone is None and audible and mixed < CANCELS * apart:
            self.alone = int(self._products.diagonal().argmax())
        elif self.alone is not None and mixed > MIXES * apart:
            self.alone = None


def _weights(layout: str) -> Float[np.ndarray, " channels"]:
    """Weight of each channel in FFmpeg's downmix to mono, heard one after another."""
    import av
    from av.audio.resampler import AudioResampler

    count, length = av.AudioLayout(layout).nb_channels, 64
    samples = np.repeat(np.eye(count), length, axis=0).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="dbl", layout=layout)
    frame.sample_rate = 48_000
    mixed = AudioResampler(format="dblp", layout="mono", rate=48_000).resample(frame)[0]
    return mixed.to_ndarray()[0, length // 2 :: length]


def _channels(frame: av.AudioFrame) -> Float32[np.ndarray, "channels samples"]:
    """Samples of each channel, full scale 1."""
    from av.audio.resampler import AudioResampler

    count = frame.layout.nb_channels
    if count >= PLANES or frame.format.name.startswith("s64"):
        (frame,) = AudioResampler(format="flt").resample(frame)
    samples = frame.to_ndarray()
    kind = samples.dtype
    scale = 1.0 if kind.kind == "f" else 0.5 ** (8 * kind.itemsize - 1)
    floats = np.multiply(samples, scale, dtype=np.float32)
    if kind == np.uint8:
        floats -= 1
    return floats if frame.format.is_planar else floats.reshape(-1, count).T


def _mono(channel: Float32[np.ndarray, " samples"], rate: int) -> av.AudioFrame:
    """Mono frame of one channel."""
    import av

    samples = np.ascontiguousarray(channel[None])
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
    frame.sample_rate = rate
    return frame
