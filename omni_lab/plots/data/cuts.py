"""Film segmentation: candidate cut points by kind and cost, and the clips of several cuttings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int16
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from omni_lab.media.clock import seconds
from omni_lab.media.subtitles.reader import Cue
from omni_lab.plots.data.strips import bare, draw_wave, name_strip, say
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS, role_colours
from omni_lab.plots.style import new_picture, styled
from omni_lab.triplets.cutting.cut import COSTS, Clip

_WIDTH = 12.0  # inches
# colour of the modality that a cut point comes from; black is a cut through speech
_COLOURS = {
    "scene": MODALITY_COLOURS["image"],
    "sentence": MODALITY_COLOURS["text"],
    "silence": MODALITY_COLOURS["audio"],
    "cue": MODALITY_COLOURS["text"],
    "grid": MODALITY_COLOURS["control"],
    "word": INK,
    "hard": INK,
}


@styled
def draw_cuts(
    duration: int,
    places: Mapping[int, str],
    cuttings: Mapping[str, Sequence[Clip]],
    cues: Sequence[Cue] = (),
    audio: Int16[np.ndarray, " samples"] | None = None,
    audio_start: int = 0,
) -> Figure:
    """Candidate cut points of a film by kind, over its audio and speech, and each cutting below.

    A cutting is a row of clips over the speech, each with its length in seconds. The line at a cut
    has the colour of its kind; a black one goes through speech.

    Parameters
    ----------
    duration : of the film, ticks at 16 kHz
    places : tick → kind, a key of `omni_lab.triplets.cutting.cut.COSTS`
    cuttings : name → the clips, in order of time
    cues : subtitle cues, in ticks
    audio : 16 kHz mono
    audio_start : tick of the first sample
    """
    kinds = [kind for kind in COSTS if kind in set(places.values())]
    heights = [0.5, 0.22, 0.18 * max(1, len(kinds)), *[0.5] * len(cuttings)]
    description = "; ".join(
        f"{' '.join(name.split())}: {_in_words(clips)}" for name, clips in cuttings.items()
    )
    picture = new_picture(
        _WIDTH,
        sum(heights) + 0.08 * len(heights) + 0.9,
        f"Cutting a film of {seconds(duration):.1f} s. {description}.",
    )
    column = picture.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    axes = column[:, 0]

    colours = role_colours([cue.role for cue in cues])
    _sound(axes[0], audio, audio_start)
    _speech(axes[1], cues, colours)
    _places(axes[2], places, kinds)
    for ax, (name, clips) in zip(axes[3:], cuttings.items(), strict=True):
        _cutting(ax, name, clips, cues, colours)

    for ax in axes[:-1]:
        ax.tick_params(bottom=False, labelbottom=False)
    axes[-1].set_xlim(0, seconds(duration))
    axes[-1].spines["bottom"].set_visible(True)
    axes[-1].tick_params(bottom=True, labelbottom=True)
    axes[-1].set_xlabel("time from the film's start (s)")

    handles = [
        Patch(facecolor=colour, alpha=0.45, label=role or "no role")
        for role, colour in colours.items()
    ]
    if handles:
        picture.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return picture


def _in_words(clips: Sequence[Clip]) -> str:
    """Number of clips and of cuts through speech, for the alternative text."""
    through = sum(clip.reason in ("word", "hard") for clip in clips)
    return f"{len(clips)} clips, {through} cut{'' if through == 1 else 's'} through speech"


def _sound(ax: Axes, audio: np.ndarray | None, start: int) -> None:
    """Waveform of the film, or a message where it has no audio."""
    name_strip(ax, "audio")
    bare(ax)
    if audio is None or not audio.size:
        say(ax, "no audio in this film")
    else:
        draw_wave(ax, audio.astype(np.float32) / 32768, seconds(start))


def _speech(
    ax: Axes, cues: Sequence[Cue], colours: Mapping[str | None, str], high: float = 1.0
) -> None:
    """Speech over time in the colours of roles, as bars up to the fraction `high` of the axis."""
    name_strip(ax, "speech")
    bare(ax)
    ax.set_ylim(0, 1)
    for cue in cues:
        start, length = seconds(cue.start), seconds(cue.end - cue.start)
        ax.add_patch(
            Rectangle(
                (start, 0), length, high, facecolor=colours[cue.role], alpha=0.45, edgecolor="white"
            )
        )
    if not cues:
        say(ax, "no text in this film")


def _places(ax: Axes, places: Mapping[int, str], kinds: list[str]) -> None:
    """Candidate cut points, a row of ticks per kind with the cost of a cut there."""
    bare(ax)
    ax.set_ylim(max(1, len(kinds)) - 0.5, -0.5)
    if not kinds:
        say(ax, "no place to cut at")
        return

    for row, kind in enumerate(kinds):
        times = [seconds(time) for time, here in places.items() if here == kind]
        ax.vlines(times, row - 0.38, row + 0.38, color=_COLOURS[kind], linewidth=1.3).set_gid(
            f"places:{kind}"
        )
    ax.set_yticks(range(len(kinds)), [f"{kind} · {COSTS[kind]:,g}" for kind in kinds])
    ax.tick_params(axis="y", length=0, labelcolor=FAINT)
    between = np.arange(len(kinds) - 1) + 0.5
    ax.hlines(between, 0, 1, transform=ax.get_yaxis_transform(), color=LINE, linewidth=0.4)


def _cutting(
    ax: Axes,
    name: str,
    clips: Sequence[Clip],
    cues: Sequence[Cue],
    colours: Mapping[str | None, str],
) -> None:
    """One cutting: lengths of its clips over the speech, and a line at every cut by kind."""
    _speech(ax, cues, colours, high=0.45)
    name_strip(ax, name)
    for clip in clips:
        start, end = seconds(clip.start), seconds(clip.end)
        ax.text(
            (start + end) / 2, 0.73, f"{end - start:.1f} s", ha="center", va="center", fontsize=7.5
        )
    for clip in clips[:-1]:
        line = ax.axvline(seconds(clip.end), color=_COLOURS[clip.reason], linewidth=2.2)
        line.set_gid(f"cut:{clip.reason}")
    ax.axhline(0, color=LINE, linewidth=0.8)
