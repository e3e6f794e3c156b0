"""Pictures with their captions, each word coloured by its type or by a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from omni_lab.errors import UsageError
from omni_lab.plots.palette import DIVERGING, FAINT, INK, LINE, ink_on
from omni_lab.plots.style import how_many, new_picture, styled

TYPE_COLOURS = {1: "#0072B2", 2: "#999999", 3: "#D55E00"}
TYPE_NAMES = {1: "1 shown", 2: "2 follows", 3: "3 wrong"}
_COLUMN, _LINE = 1.75, 0.2  # inches: a picture, and a line of its caption
_WIDE = 27  # characters that a line holds
_SIGNED = LinearSegmentedColormap.from_list(
    "signed",
    (DIVERGING[0], "#ffffff", DIVERGING[1]),
    N=257,  # odd: zero is white
)


@styled
def draw_captions(
    pictures: UInt8[np.ndarray, "P H W 3"],
    captions: Sequence[Sequence[str]],
    types: Sequence[Sequence[int]] | None = None,
    scores: Sequence[Sequence[float]] | None = None,
    kept: Sequence[Sequence[bool]] | None = None,
) -> Figure:
    """Pictures side by side, below each its caption.

    Words are coloured by type, or stand on the colour of their score: blue below zero, orange above
    it, paler towards zero. Words that are not kept are crossed out.

    Parameters
    ----------
    captions : words of every picture
    types, scores, kept : of every word of every picture

    Raises
    ------
    UsageError
        something has another number of pictures or of words than `captions`
    """
    for name, own in (("types", types), ("scores", scores), ("kept", kept)):
        if own is not None and [*map(len, own)] != [*map(len, captions)]:
            right = f"captions have {[*map(len, captions)]} words"
            raise UsageError(f"{name}: words of {[*map(len, own)]}; {right}")
    if len(pictures) != len(captions):
        raise UsageError(f"{len(pictures)} pictures, but {len(captions)} captions; give one each")

    lines = [_lines(words) for words in captions]
    most = max(map(len, lines))
    picture = new_picture(
        _COLUMN * len(captions) + 0.2, _COLUMN + _LINE * most + 0.5, _told(captions, kept), None
    )
    norm = _norm(scores)
    for at, own in enumerate(lines):
        ax = _place(picture, at, len(captions), most)
        ax[0].imshow(pictures[at])
        for row, places in enumerate(own):
            column = 0
            for place in places:
                word = captions[at][place]
                style = _style(
                    types[at][place] if types else 0,
                    norm(scores[at][place]) if scores else None,
                    kept is None or bool(kept[at][place]),
                )
                _write(ax[1], column, row, word, **style)
                column += len(word) + 1
    _legend(picture, types, scores, norm)
    return picture


def _lines(words: Sequence[str]) -> list[list[int]]:
    """Places of words, line by line; a panel's name begins a new one."""
    lines: list[list[int]] = []
    width = 0
    for place, word in enumerate(words):
        if not lines or "-" in word or width + len(word) > _WIDE:
            lines.append([])
            width = 0
        lines[-1].append(place)
        width += len(word) + 1
    return lines


def _place(picture: Figure, at: int, count: int, lines: int) -> tuple[Axes, Axes]:
    """Axes of a picture, and of the caption below it."""
    wide, tall = picture.get_size_inches()
    left, side = (0.1 + _COLUMN * at) / wide, (_COLUMN - 0.15) / wide
    above = picture.add_axes((left, 1 - _COLUMN / tall, side, (_COLUMN - 0.15) / tall))
    below = picture.add_axes((left, 0.42 / tall, side, _LINE * lines / tall))
    for ax in (above, below):
        ax.axis("off")
    below.set(xlim=(0, _WIDE), ylim=(lines - 0.5, -0.5))
    return above, below


def _style(kind: int, score: float | None, kept: bool) -> dict:
    """Colours of a word."""
    if score is not None:
        face = _SIGNED(score)
        return {"color": ink_on(face[:3]), "face": face, "kept": kept}
    return {"color": TYPE_COLOURS.get(kind, INK), "face": None, "kept": kept}


def _write(ax: Axes, column: int, row: int, word: str, color: str, face, kept: bool) -> None:
    """One word of a caption, crossed out where it is not kept."""
    box = {"facecolor": face, "edgecolor": "none", "pad": 0.8} if face else None
    ax.text(
        column, row, word, fontsize=7, family="DejaVu Sans Mono", va="center", color=color,
        bbox=box, alpha=1 if kept else 0.55,
    )  # fmt: skip
    if not kept:
        ax.plot([column, column + len(word)], [row, row], color=INK, linewidth=1, zorder=5)


def _norm(scores: Sequence[Sequence[float]] | None) -> TwoSlopeNorm | None:
    """Scale of colours, white at 0, both sides as far as the farthest score."""
    if not scores:
        return None
    far = max((abs(score) for own in scores for score in own), default=1.0) or 1.0
    return TwoSlopeNorm(0.0, -far, far)


def _legend(picture: Figure, types, scores, norm: TwoSlopeNorm | None) -> None:
    """What the colours mean, below everything."""
    if scores:
        patches = [
            Patch(
                facecolor=_SIGNED(norm(value)),
                edgecolor=LINE,
                linewidth=0.4,
                label=f"{value:+.1f}" if value else "0",
            )
            for value in np.linspace(norm.vmin, norm.vmax, 5)
        ]
    elif types:
        patches = [
            Patch(facecolor=TYPE_COLOURS[kind], label=TYPE_NAMES[kind]) for kind in (1, 2, 3)
        ]
    else:
        return
    picture.legend(
        handles=patches, loc="lower left", ncols=len(patches), handlelength=1, labelcolor=FAINT
    )


def _told(captions: Sequence[Sequence[str]], kept: Sequence[Sequence[bool]] | None) -> str:
    """Alternative text."""
    words = sum(map(len, captions))
    dropped = "" if kept is None else f", {words - sum(map(sum, kept))} of them crossed out"
    return f"{how_many(len(captions), 'picture')} with captions of {words} words{dropped}."
