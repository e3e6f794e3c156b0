"""Strips of a time axis: frames at their true times, waveform envelope, log-mel spectrogram.

The x axis of every strip is in seconds from the clip's start.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from matplotlib.axes import Axes

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.triplets.record import Triplet

_WINDOW, _HOP = 512, 160  # samples: 32 ms, every 10 ms
_NARROWEST = 0.45  # of a frame, inches: the limit of legibility
LOWEST = 0.3  # height of a strip of frames, inches, even if the frames are flatter
_MEL_TICKS_HZ = (250, 1000, 4000)


def _mel(hertz: Float[np.ndarray, " n"] | float) -> Float[np.ndarray, " n"] | float:
    """HTK mel scale: 2595 · log10(1 + f / 700), f in Hz."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def log_mel(
    audio: Float32[np.ndarray, " samples"], bands: int = 64
) -> Float[np.ndarray, "bands columns"]:
    """Log-mel spectrogram in dB below its maximum, clipped at −70 dB (triangular HTK mel filters).

    Hann windows of 32 ms every 10 ms; column i is centred on sample 160 · i.

    Parameters
    ----------
    audio : 16 kHz mono
    bands : number of mel filters up to 8 kHz
    """
    padded = np.pad(audio, (_WINDOW // 2, _WINDOW // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    spectrum = np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32))
    power = np.abs(spectrum) ** 2  # columns × frequencies

    frequencies = _mel(np.fft.rfftfreq(_WINDOW, 1 / TICKS_PER_SECOND))
    edges = np.linspace(0, _mel(TICKS_PER_SECOND / 2), bands + 2)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.clip(np.minimum(rising, falling), 0, None)

    decibels = 10 * np.log10(filters @ power.T + 1e-10)
    return np.clip(decibels - decibels.max(), -70, 0)


def bare(ax: Axes) -> None:
    """Axis without ticks and frame."""
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(bottom=False, labelbottom=False)


def name_strip(ax: Axes, name: str, colour: str = INK) -> None:
    """Name of a strip, to its left."""
    ax.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=10, color=colour)


def say(ax: Axes, message: str) -> None:
    """Message in an axis in place of data that is missing."""
    look = {"ha": "center", "va": "center", "color": FAINT, "style": "italic"}
    ax.text(0.5, 0.5, message, transform=ax.transAxes, **look)


def thumbnails(triplet: Triplet, inch_per_s: float, highest_in: float) -> tuple[int, float]:
    """Stride and height (inches) of frames that fit on a time axis without overlap.

    The stride is the smallest at which frames are at least 0.45 inches wide.

    Parameters
    ----------
    triplet : the clip
    inch_per_s : length of a second on the axis, inches
    highest_in : upper limit of a frame's height, inches
    """
    aspect = triplet.frames.shape[2] / triplet.frames.shape[1]
    gaps = np.diff(triplet.frame_times)
    if not len(gaps):
        return 1, highest_in
    gap = max(float(gaps.min()) / TICKS_PER_SECOND * inch_per_s, 1e-3)  # inches
    every = max(1, int(np.ceil(min(_NARROWEST, highest_in * aspect) / gap)))
    return every, min(0.96 * gap * every / aspect, highest_in)


def draw_frames(
    ax: Axes,
    triplet: Triplet,
    inch_per_s: float,
    every: int,
    height_in: float,
    span: tuple[float, float],
) -> None:
    """Frames of a span, each centred on its own time; a tick marks the time of every frame.

    Frames are clipped at the ends of the span.

    Parameters
    ----------
    inch_per_s : length of a second on the axis, inches
    every : stride of the frames that are drawn, see `thumbnails`
    height_in : of a frame, inches
    span : start and end, seconds
    """
    times = triplet.frame_times / TICKS_PER_SECOND
    inside = np.flatnonzero((times >= span[0]) & (times < span[1]))

    half = height_in * triplet.frames.shape[2] / triplet.frames.shape[1] / inch_per_s / 2  # seconds
    for index in inside[every // 2 :: every]:
        time, frame = times[index], triplet.frames[index]
        box = (time - half, time + half, 0, 1)
        ax.imshow(frame, extent=box, aspect="auto", interpolation="antialiased")

    look = {"color": MODALITY_COLOURS["image"], "markersize": 7, "clip_on": False}
    ax.plot(times[inside], np.zeros(len(inside)), "|", **look)
    ax.set_ylim(0, max(1, LOWEST / height_in))


def draw_wave(
    ax: Axes, audio: Float32[np.ndarray, " samples"], start_s: float = 0.0, most: int = 1500
) -> None:
    """Waveform envelope: minimum and maximum of the samples in each of up to `most` columns.

    Parameters
    ----------
    audio : 16 kHz mono
    start_s : time of the first sample, seconds
    most : limit of the columns
    """
    columns = np.array_split(audio, min(len(audio), most))
    low, high = np.array([c.min() for c in columns]), np.array([c.max() for c in columns])
    edges = np.cumsum([len(c) for c in columns]) - len(columns[0]) / 2
    times = start_s + edges / TICKS_PER_SECOND
    ax.fill_between(times, low, high, color=MODALITY_COLOURS["audio"], linewidth=0.4)

    reach = max(float(np.abs(audio).max()), 1e-3) * 1.05
    ax.set_ylim(-reach, reach)


def draw_log_mel(ax: Axes, audio: Float32[np.ndarray, " samples"], bands: int = 64) -> None:
    """Log-mel spectrogram of 16 kHz mono audio, with frequencies in kHz."""
    mel = log_mel(audio, bands)
    hop_s = _HOP / TICKS_PER_SECOND
    extent = (-hop_s / 2, (mel.shape[1] - 0.5) * hop_s, 0, bands)
    ax.imshow(
        mel, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="nearest"
    )
    places = [float(_mel(hz) / _mel(TICKS_PER_SECOND / 2) * bands) for hz in _MEL_TICKS_HZ]
    ax.set_yticks(places, [f"{hz / 1000:g}" for hz in _MEL_TICKS_HZ])
    ax.spines[["left", "bottom"]].set_color(LINE)
