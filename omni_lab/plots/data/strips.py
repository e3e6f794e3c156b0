"""What pictures over time are made of, one strip each: frames at their true times, the waveform, the log-mel.

Glossary: F log-mel frames · x is always seconds from the clip's start.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from matplotlib.axes import Axes

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.triplets.record import Triplet

_WINDOW, _HOP = 512, 160  # samples: 32 ms, every 10 ms
_NARROWEST = 0.45  # of a frame, inches: smaller ones cannot be made out
LOWEST = 0.3  # inches, of a strip of frames however flat they are
_MEL_TICKS_HZ = (250, 1000, 4000)


def _mel(hertz: Float[np.ndarray, " n"] | float) -> Float[np.ndarray, " n"] | float:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def log_mel(
    audio: Float32[np.ndarray, " samples"], bands: int = 64
) -> Float[np.ndarray, "bands F"]:
    """Loudness in mel bands every 10 ms, in dB below the loudest (triangular filters on the HTK mel scale).

    Column i is centred on sample 160 · i. Below −70 dB nothing is told apart.
    """
    padded = np.pad(audio, (_WINDOW // 2, _WINDOW // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = (
        np.abs(np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32))) ** 2
    )  # F × frequencies
    frequencies = _mel(np.fft.rfftfreq(_WINDOW, 1 / TICKS_PER_SECOND))
    edges = np.linspace(0, _mel(TICKS_PER_SECOND / 2), bands + 2)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.clip(np.minimum(rising, falling), 0, None)
    decibels = 10 * np.log10(filters @ power.T + 1e-10)
    return np.clip(decibels - decibels.max(), -70, 0)


def bare(ax: Axes) -> None:
    """Take ticks and frame from an axis that needs none."""
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(bottom=False, labelbottom=False)


def name_strip(ax: Axes, name: str, colour: str = INK) -> None:
    """Write what a strip shows to its left."""
    ax.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=10, color=colour)


def say(ax: Axes, message: str) -> None:
    """Write in an axis, in words, why there is nothing to draw."""
    ax.text(
        0.5,
        0.5,
        message,
        transform=ax.transAxes,
        ha="center",
        va="center",
        color=FAINT,
        style="italic",
    )


def thumbnails(triplet: Triplet, inch_per_s: float, highest_in: float) -> tuple[int, float]:
    """How frames fit on a time axis without overlap: draw every so-manieth of them, so many inches high.

    Where all of them would be narrower than `_NARROWEST`, only every second, third … is drawn.

    Parameters
    ----------
    inch_per_s : how long a second is on the axis
    highest_in : no frame is higher, inches
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
    """Draw every so-manieth frame of a span (s) centred on its own time; a tick marks the time of each frame.

    What of a frame lies outside of the span is cut off.
    """
    times = triplet.frame_times / TICKS_PER_SECOND
    inside = np.flatnonzero((times >= span[0]) & (times < span[1]))
    half = height_in * triplet.frames.shape[2] / triplet.frames.shape[1] / inch_per_s / 2  # seconds
    for index in inside[every // 2 :: every]:
        time, frame = times[index], triplet.frames[index]
        box = (time - half, time + half, 0, 1)
        ax.imshow(frame, extent=box, aspect="auto", interpolation="antialiased")
    ax.plot(
        times[inside],
        np.zeros(len(inside)),
        "|",
        color=MODALITY_COLOURS["image"],
        markersize=7,
        clip_on=False,
    )
    ax.set_ylim(0, max(1, LOWEST / height_in))


def draw_wave(
    ax: Axes, audio: Float32[np.ndarray, " samples"], start_s: float = 0.0, most: int = 1500
) -> None:
    """Draw the waveform as its envelope: the lowest and highest sample of every column."""
    columns = np.array_split(audio, min(len(audio), most))
    low, high = np.array([c.min() for c in columns]), np.array([c.max() for c in columns])
    edges = np.cumsum([len(c) for c in columns]) - len(columns[0]) / 2
    ax.fill_between(
        start_s + edges / TICKS_PER_SECOND,
        low,
        high,
        color=MODALITY_COLOURS["audio"],
        linewidth=0.4,
    )
    reach = max(float(np.abs(audio).max()), 1e-3) * 1.05
    ax.set_ylim(-reach, reach)


def draw_log_mel(ax: Axes, audio: Float32[np.ndarray, " samples"], bands: int = 64) -> None:
    """Draw the log-mel with its frequencies in kHz."""
    mel = log_mel(audio, bands)
    hop_s = _HOP / TICKS_PER_SECOND
    extent = (-hop_s / 2, (mel.shape[1] - 0.5) * hop_s, 0, bands)
    ax.imshow(
        mel, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="nearest"
    )
    places = [float(_mel(hz) / _mel(TICKS_PER_SECOND / 2) * bands) for hz in _MEL_TICKS_HZ]
    ax.set_yticks(places, [f"{hz / 1000:g}" for hz in _MEL_TICKS_HZ])
    ax.spines[["left", "bottom"]].set_color(LINE)
