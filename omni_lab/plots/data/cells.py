"""Token cells: modality colour, loss mask, role bar, layout over rows, and their legend.

Full colour is supervised, 35 % is given to the model; a bar below a cell has the colour of the role
that speaks. Lengths are in inches, so that words fit their cells at any size of the figure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.textpath import TextPath

from omni_lab.errors import UsageError
from omni_lab.plots.palette import (
    INK,
    MODALITY_COLOURS,
    MODALITY_ORDER,
    UNSUPERVISED,
    ink,
    role_colours,
    shade,
)
from omni_lab.plots.style import drawable, how_many, shortened
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.tokens import NO_ROLE, Tokens

SIZE = 8  # of the words, points
GAP = 0.05  # between cells that hold words
HIGH = 0.29  # height of a cell that holds a word
_LONGEST = 24  # letters of a word, so that no cell is wider than its column
BAR = 0.16  # height of the role's bar, as a fraction of its cell


class Piece(NamedTuple):
    """Layout item of a row: width, group, and whether it begins a new row."""

    width: float
    group: int  # neighbours of one group stay in one row, where it is wide enough
    opens: bool = False  # begins a new row


def flow(pieces: Sequence[Piece], room: float, gap: float = GAP) -> list[tuple[int, float]]:
    """Flow layout of pieces in rows of width `room`, like words on a page: row, left edge.

    >>> flow([Piece(2, 0), Piece(2, 1), Piece(2, 1), Piece(1, 2, opens=True)], room=5, gap=0)
    [(0, 0.0), (1, 0.0), (1, 2.0), (2, 0.0)]
    """
    placed: list[tuple[int, float]] = []
    row, x = 0, 0.0

    for _, run in groupby(pieces, key=lambda piece: piece.group):
        together = list(run)
        whole = sum(piece.width + gap for piece in together) - gap
        for place, piece in enumerate(together):
            needs = whole if place == 0 else piece.width
            if x > 0 and (piece.opens or x + needs > room):
                row, x = row + 1, 0.0
            placed.append((row, x))
            x += piece.width + gap
    return placed


def token_pieces(
    tokens: Tokens, chosen: Int64[np.ndarray, " chosen"], widths: Iterable[float]
) -> list[Piece]:
    """Layout items of tokens: one group per image or sound; a turn of a role begins a new row."""
    kinds = [KINDS[kind] for kind in tokens.kind[chosen]]
    pieces, group = [], 0
    for place, (kind, width) in enumerate(zip(kinds, widths, strict=True)):
        group += place > 0 and (kind not in ("image", "audio") or kinds[place - 1] != kind)
        pieces.append(
            Piece(width, group, kind == "control" and kinds[place + 1 : place + 2] == ["text"])
        )
    return pieces


def label(word: str) -> str:
    """Cell label of a token: long words are truncated, white space alone is shown as ␣ or ↵."""
    return shortened(drawable(word.strip()), _LONGEST) or ("↵" if "\n" in word else "␣")


@functools.lru_cache(maxsize=4096)  # measuring is slower than drawing, and words repeat
def width_of(word: str) -> float:
    """Width of the cell that holds a word, inches."""
    return TextPath((0, 0), word, size=SIZE).get_extents().width / 72 + 0.16


def draw_cell(
    ax: Axes, tokens: Tokens, token: int, left: float, top: float, width: float, high: float,
    word: str | None = None, colours: dict[str | None, str] | None = None,
) -> None:  # fmt: skip
    """Cell of one token: modality colour, loss mask, word, and the bar of its role below.

    Parameters
    ----------
    token : its index in the sequence
    left, top, width, high : in data units, the y axis pointing down
    word : text of the cell; None draws a small plain cell
    colours : of roles; None draws no bar
    """
    kind, supervised = KINDS[tokens.kind[token]], bool(tokens.loss[token])
    look = {"facecolor": shade(kind, supervised), "edgecolor": MODALITY_COLOURS[kind]}

    if word is not None:
        style = "round,pad=0,rounding_size=0.05"
        cell = FancyBboxPatch((left, top), width, high, boxstyle=style, linewidth=0.8, **look)
        text = ax.text(
            left + width / 2, top + high / 2, word, fontsize=SIZE, color=ink(kind, supervised)
        )
        text.set(ha="center", va="center_baseline")
    else:
        cell = Rectangle((left, top), width, high, linewidth=0.4, **look)
    cell.set_gid(f"token:{token}:{kind}:{'supervised' if supervised else 'given'}")
    ax.add_patch(cell)

    if colours and tokens.role[token] != NO_ROLE:
        role = tokens.roles[tokens.role[token]]
        bar = Rectangle(
            (left, top + 1.04 * high), width, BAR * high, facecolor=colours[role], linewidth=0
        )
        bar.set_gid(f"role:{token}:{drawable(role)}")
        ax.add_patch(bar)


def draw_legend(
    picture: Figure, kinds: Iterable[str], roles: dict[str | None, str] | None = None
) -> None:
    """Legend below a figure: modalities, loss mask, and as many roles as fit.

    Parameters
    ----------
    kinds : modalities that are drawn
    roles : role → colour of its bar
    """
    present = set(kinds)
    patches = [
        Patch(facecolor=MODALITY_COLOURS[kind], edgecolor=MODALITY_COLOURS[kind], label=kind)
        for kind in MODALITY_ORDER
        if kind in present
    ]
    # in ink, the colour of no modality: every modality is full or pale
    patches += [
        Patch(facecolor=to_rgba(INK, opacity), edgecolor=INK, label=message)
        for opacity, message in (
            (1.0, "full: supervised (loss)"),
            (UNSUPERVISED, "pale: given (no loss)"),
        )
    ]
    bars = [
        Patch(facecolor=colour, label=f"bar: {shortened(drawable(role), 11)}")
        for role, colour in (roles or {}).items()
        if role
    ]

    # roles come from other people's subtitles, in any number: those without room are counted
    rest: list[Patch] = []
    shown = bars.copy()
    while shown and sum(map(_taken, [*patches, *shown, *rest])) > picture.get_figwidth():
        shown.pop()
        rest = [Patch(alpha=0, label=f"and {how_many(len(bars) - len(shown), 'more role')}")]

    patches += shown + rest
    picture.legend(
        handles=patches, loc="lower center", ncols=len(patches), handlelength=1.3, columnspacing=1.4
    )


def _taken(patch: Patch) -> float:
    """Width of a legend entry in inches: patch, text, and the space around them."""
    return width_of(patch.get_label()) + 0.24


def colours_of(tokens: Tokens, *more: str | None) -> dict[str | None, str]:
    """Colours of the roles in a sequence, those in `more` first."""
    return role_colours([*more, *tokens.roles])


def counted(kinds: Int64[np.ndarray, " T"]) -> str:
    """Token counts by modality, as text.

    >>> counted(np.array([0, 0, 4]))
    '2 image, 1 control'
    """
    return ", ".join(f"{n} {KINDS[kind]}" for kind, n in enumerate(np.bincount(kinds)) if n)


def in_words(tokens: Tokens) -> str:
    """Token count of a sequence, by modality, and the supervised fraction, as text."""
    total, learned = len(tokens.ids), int(tokens.loss.sum())
    supervised = f"{learned} supervised ({learned / total:.0%})"
    return f"{how_many(total, 'token')}: {counted(tokens.kind)}; {supervised}"


def check_words(tokens: Tokens, words: list[str]) -> None:
    """Check that there is one word for each token.

    Raises
    ------
    UsageError
        the number of words differs from the number of tokens
    """
    if len(words) != len(tokens.ids):
        raise UsageError(
            f"words: {len(words)} strings for {len(tokens.ids)} tokens; give one for each"
        )
