"""Clocks: how far ways to count time drift, and flash and click of a clapperboard on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.clock import early_or_late
from omni_lab.media.decoding import Film
from omni_lab.plots.palette import FAINT, INK, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, styled

_COLOURS = ("#8C6D31", "#CC79A7", "#6B6ECF", "#56B4E9", INK)
_POINTS = 240  # of a curve
_LEVELS_MS = ((1000 / TICKS_PER_SECOND, "one tick"), (1000 / 29.97, "one picture"), (200, "200 ms"))


@styled
def draw_drift(drift_s: Mapping[str, Sequence[float] | np.ndarray], minutes: float) -> Figure:
    """Error of several ways to count time over a film, on a logarithmic axis in milliseconds.

    A point is the largest error of its part of the film.

    Parameters
    ----------
    drift_s : way of counting → error at each picture, evenly over the film, seconds, ≥ 0
    minutes : length of the film
    """
    ends = "; ".join(f"{way}: {1000 * errors[-1]:.3g} ms" for way, errors in drift_s.items())
    picture = new_picture(8.6, 3.6, f"Error of counting time after {minutes:g} minutes. {ends}.")
    ax = picture.subplots()
    for index, (way, errors) in enumerate(drift_s.items()):
        parts = np.array_split(np.asarray(errors), min(_POINTS, len(errors)))
        times = np.arange(1, len(parts) + 1) * minutes / len(parts)
        highest = 1000 * np.array([part.max() for part in parts])
        colour = _COLOURS[index % len(_COLOURS)]
        ax.plot(times, highest, color=colour, label=way, linewidth=1.6, gid=f"drift:{way}")

    for level, name in _LEVELS_MS:
        ax.axhline(level, color=FAINT, linewidth=0.8, linestyle=":")
        ax.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", color=FAINT,
        )  # fmt: skip
    ax.set(yscale="log", ylim=(0.01, 20_000), xlim=(0, minutes))
    ax.set(xlabel="time into the film (minutes)", ylabel="error (ms)")
    ax.yaxis.set_major_formatter("{x:,g}")
    picture.legend(loc="outside right center")
    return picture


@styled
def draw_claps(
    readings: Mapping[str, Film],
    events: Mapping[str, Sequence[tuple[float, float]]],
    span_s: tuple[float, float],
) -> Figure:
    """Brightness and sound of several readings of one film, a row each, and how far they are apart.

    Parameters
    ----------
    readings : name → the film as it was read
    events : name → flash and click of every clap, ticks
    span_s : start and end of the part that is shown, seconds
    """
    apart = {
        name: float(np.median([click - flash for flash, click in pairs])) / TICKS_PER_SECOND
        for name, pairs in events.items()
    }
    said = "; ".join(f"{name}: sound {early_or_late(late_s)}" for name, late_s in apart.items())
    picture = new_picture(9.6, 1.55 * len(readings) + 0.5, f"Flash and click of one film. {said}.")
    axes = picture.subplots(len(readings), 1, sharex=True, squeeze=False)[:, 0]
    image, audio = MODALITY_COLOURS["image"], MODALITY_COLOURS["audio"]
    for ax, (name, film) in zip(axes, readings.items(), strict=True):
        starts = np.append(film.frame_times, film.picture_end) / TICKS_PER_SECOND
        look = {"color": image, "fill": True, "alpha": 0.45}
        ax.stairs(film.brightness, starts, label="image: brightness (of 1)", **look)
        if film.audio is not None:
            sound_s = (film.audio_start + np.arange(len(film.audio))) / TICKS_PER_SECOND
            look = {"color": audio, "linewidth": 0.9}
            ax.plot(sound_s, film.audio / 32768, label="audio: waveform (of full scale)", **look)
        for flash, click in events[name]:
            later_s = max(flash, click) / TICKS_PER_SECOND
            if span_s[0] <= later_s < span_s[1]:
                text = f"sound {early_or_late((click - flash) / TICKS_PER_SECOND)}"
                ax.text(later_s + 0.05, 0.75, text, size=8)
        ax.set(xlim=span_s, ylim=(-0.9, 1.3), ylabel=name)
    axes[-1].set_xlabel("time from the film's start (s)")
    picture.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return picture
