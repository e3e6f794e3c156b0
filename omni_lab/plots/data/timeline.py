"""Triplet timeline: frames, waveform, log-mel spectrogram and subtitle cues on one time axis."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omni_lab.media.clock import seconds
from omni_lab.plots.data.strips import (
    LOWEST,
    bare,
    draw_frames,
    draw_log_mel,
    draw_wave,
    name_strip,
    say,
    thumbnails,
)
from omni_lab.plots.palette import FAINT, LINE, role_colours
from omni_lab.plots.style import Picture, drawable, how_many, new_picture, shortened, styled
from omni_lab.triplets.record import Triplet

_WIDTH, _LEFT, _RIGHT = 12.0, 1.15, 0.2  # inches
WIDE = _WIDTH - _LEFT - _RIGHT  # length of the time axis, inches
_HIGHEST = 1.3  # limit of a frame's height, inches
_LETTER = 0.062  # width of a letter of the cue font, inches
_LINE_HEIGHT = 0.135  # of the cue font, inches


class Strip(NamedTuple):
    """Additional strip below those of a clip: height and drawing function."""

    height: float  # inches
    draw: Callable[[Axes], None]  # x is seconds from the clip's start


@styled
def draw_triplet(triplet: Triplet) -> Figure:
    """Clip over time: frames at their true times, waveform, log-mel, and one lane of cues per role.

    A missing modality is named in its strip. The x axis is in seconds from the clip's start.
    """
    return over_time(triplet, seconds(triplet.duration))


def over_time(
    triplet: Triplet,
    length: float,
    below: Sequence[Strip] = (),
    note: str = "",
    description: str = "",
    foot: float = 0.5,
) -> Picture:
    """Strips of a clip on one time axis, with additional strips below them.

    Parameters
    ----------
    triplet : the clip
    length : of the axis in seconds, at least the clip's duration
    below : additional strips
    note : lines under the title
    description : appended to the alternative text
    foot : margin below the axis, inches
    """
    inch_per_s = WIDE / length
    roles = list(dict.fromkeys(cue.role for cue in triplet.cues))
    lanes = {role: _lane_height(triplet, role, inch_per_s) for role in roles}
    seen = "image" in triplet.has and len(triplet.frames) > 0
    every, tall = thumbnails(triplet, inch_per_s, _HIGHEST) if seen else (0, 0.5)
    heights = [
        max(tall, LOWEST),
        0.6,
        0.9,
        *(lanes.values() or [0.5]),
        *(strip.height for strip in below),
    ]
    gap, top = 0.1, 0.42 + 0.16 * note.count("\n") + 0.16 * bool(note)
    total = top + sum(heights) + gap * (len(heights) - 1) + foot

    has = [name for name in ("image", "audio", "text") if name in triplet.has]
    alt = (
        f"Clip {triplet.clip_id}, {seconds(triplet.duration):.2f} seconds over time. "
        f"It has {', '.join(has) or 'nothing'}: {how_many(len(triplet.frames), 'frame')}, "
        f"{how_many(len(triplet.cues), 'cue')} by {how_many(len(roles), 'role')}."
    )
    picture = new_picture(_WIDTH, total, alt + description, layout=None)

    # placed by hand: a layout engine would not keep the shape of frames
    axes, y = [], total - top
    for height in heights:
        y -= height
        box = (_LEFT / _WIDTH, y / total, WIDE / _WIDTH, height / total)
        axes.append(picture.add_axes(box, sharex=axes[0] if axes else None))
        y -= gap

    start, end = seconds(triplet.start), seconds(triplet.end)
    title = f"{triplet.source_id}   {start:.2f} to {end:.2f} s of the film"
    axes[0].set_title(title + (f"\n{note}" if note else ""), color=FAINT, fontsize=9)

    _senses(axes, triplet, inch_per_s, every, tall)
    colours = role_colours(roles)
    for ax, role in zip(axes[3:], roles, strict=False):
        _cues(ax, triplet, role, colours[role], inch_per_s, lanes[role])
    if not roles:
        bare(axes[3])
        name_strip(axes[3], "text")
        say(axes[3], "no cues in this clip" if "text" in triplet.has else "no text in this clip")
    for ax, strip in zip(axes[len(axes) - len(below) :], below, strict=True):
        strip.draw(ax)

    _label_time(axes, length)
    return picture


def _label_time(axes: list[Axes], length: float) -> None:
    """Time axis in seconds, labelled below the last strip only."""
    for ax in axes:
        ax.set_xlim(0, length)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    last = axes[-1]
    last.spines["bottom"].set_visible(True)
    last.tick_params(bottom=True, labelbottom=True)
    last.set_xlabel("time from the clip's start (s)")


def _senses(axes: list[Axes], triplet: Triplet, inch_per_s: float, every: int, tall: float) -> None:
    """Frames, waveform and log-mel, or a message where the modality is missing."""
    name_strip(axes[0], "image" if every < 2 else f"image\n(1 in {every})")
    bare(axes[0])
    if every:
        draw_frames(axes[0], triplet, inch_per_s, every, tall, (0.0, seconds(triplet.duration)))
    else:
        say(axes[0], "no image in this clip")

    name_strip(axes[1], "audio")
    bare(axes[1])
    if "audio" in triplet.has and triplet.audio.size:
        draw_wave(axes[1], triplet.audio)
        draw_log_mel(axes[2], triplet.audio)
        axes[2].set_ylabel("log-mel\n(kHz)", rotation=0, ha="right", va="center", labelpad=14)
    else:
        bare(axes[2])
        say(axes[1], "no audio in this clip")
        say(axes[2], "no log-mel without audio")


def _pieces(triplet: Triplet, role: str | None) -> list[tuple[float, float, str]]:
    """Speech of one role as (start, end, text) in seconds: words if they are timed, else cues."""
    cues = [cue for cue in triplet.cues if cue.role == role]
    pieces = [piece for cue in cues for piece in (cue.words or (cue,))]
    return [(seconds(p.start), seconds(p.end), drawable(" ".join(p.text.split()))) for p in pieces]


def _wrapped(text: str, width_in: float) -> list[str]:
    """Lines of a text wrapped to a width in inches."""
    return textwrap.wrap(
        text, max(1, int((width_in - 0.06) / _LETTER)), break_long_words=False
    ) or [""]


def _upright(text: str, width_in: float) -> bool:
    """Whether a piece is too narrow for its longest word, and is written vertically."""
    return max(map(len, text.split()), default=0) * _LETTER > width_in - 0.06


def _lane_height(triplet: Triplet, role: str | None, inch_per_s: float) -> float:
    """Height of a role's lane; a minority of vertical texts is truncated rather than fitted."""
    sized = [(text, (end - start) * inch_per_s) for start, end, text in _pieces(triplet, role)]
    upright = [len(text) * _LETTER + 0.12 for text, width in sized if _upright(text, width)]
    level = [
        len(_wrapped(text, width)) * _LINE_HEIGHT
        for text, width in sized
        if not _upright(text, width)
    ]
    highest = 1.9 if len(upright) > len(level) else 0.9
    return 0.06 + max(min(max(upright, default=0.3), highest), *level, 0.3)


def _cues(
    ax: Axes, triplet: Triplet, role: str | None, colour: str, inch_per_s: float, height_in: float
) -> None:
    """Lane of cues of one role: a bar per piece with its text."""
    bare(ax)
    name_strip(ax, textwrap.fill(drawable(role or "no role"), 13, max_lines=2, placeholder="…"))
    ax.set_ylim(0, 1)

    for start, end, text in _pieces(triplet, role):
        width = (end - start) * inch_per_s
        ax.add_patch(
            Rectangle((start, 0), end - start, 1, facecolor=colour, alpha=0.45, edgecolor="white")
        )
        upright = _upright(text, width)
        if upright and width < 0.07:
            continue  # too narrow for any letter: the bar alone marks the speech

        size = min(7.5, width * 72 * 0.85) if upright else 7.5
        words = "\n".join(_wrapped(text, width))
        if upright:
            words = shortened(text, max(1, int(height_in / _LETTER)))
        label = ax.text(
            (start + end) / 2, 0.5, words, rotation=90 * upright, fontsize=size, linespacing=1.15
        )
        label.set(ha="center", va="center", clip_on=True)
        label.set_gid(f"cue:{drawable(role or 'no role')}")

    ax.axhline(0, color=LINE, linewidth=0.8)
