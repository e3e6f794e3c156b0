"""A whole clip and every token the model gets of it, one above the other on one axis of seconds."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.media.clock import seconds
from omni_lab.plots.data.cells import (
    BAR,
    Piece,
    colours_of,
    draw_cell,
    draw_legend,
    flow,
    in_words,
    token_pieces,
)
from omni_lab.plots.data.strips import bare, name_strip
from omni_lab.plots.data.timeline import WIDE, Strip, over_time
from omni_lab.plots.data.tokens import unit_length
from omni_lab.plots.palette import FAINT, LINE
from omni_lab.plots.style import styled
from omni_lab.sequences.items import KINDS, Sequence
from omni_lab.sequences.tokens import Tokens
from omni_lab.triplets.record import Triplet

_CELLS = (
    0.16,
    0.13,
    0.11,
    0.095,
    0.08,
    0.065,
    0.05,
    0.04,
)  # widths of a cell to choose from, inches
_SPACE = 0.25  # between cells, of a cell's width
_HEAD = 0.22  # where the number of a unit stands, inches
_TALLEST = 1.4  # of all rows of cells, inches
_NUMBER = 0.55  # from one number of a unit to the next, inches, at least


@styled
def draw_sample(triplet: Triplet, sequence: Sequence, tokens: Tokens) -> Figure:
    """Draw a clip over time and its whole stream below: what is seen, heard and said, and the tokens that came of it.

    Each unit's tokens stand under its own second, row by row in their order; a new row begins where somebody takes a
    turn. The colour of a cell is its modality, full where it is supervised and pale where it is given; the bar below
    has the colour of the role that says it. What the stream lacks is said under the title. `draw_stream` shows some
    of the units with their words.

    Parameters
    ----------
    sequence : the omni stream of the clip
    tokens : the same, tokenized
    """
    unit = unit_length(triplet, tokens)
    units = int(tokens.unit.max()) + 1
    length = max(seconds(triplet.duration), seconds(unit * units))
    column = seconds(unit) * WIDE / length  # inches
    cell, placed = _fitted(tokens, units, column)
    every = math.ceil(_NUMBER / column)
    rows = 1 + max(row for places in placed.values() for row, _ in places)
    colours = colours_of(tokens, *dict.fromkeys(cue.role for cue in triplet.cues))
    lacks = f"not in the stream: {'; '.join(sequence.missing)}" if sequence.missing else ""
    counts = in_words(tokens)
    note = "\n".join([counts, *textwrap.wrap(lacks, 150)])

    def draw(ax: Axes) -> None:
        bare(ax)
        name_strip(ax, "tokens")
        ax.set_ylim(_HEAD + rows * _pitch(cell), 0)
        per_s = length / WIDE  # seconds per inch
        for number, places in placed.items():
            start = seconds(unit * number)
            ax.axvline(start, color=LINE, linewidth=min(0.8, 4 * column)).set_gid(f"unit:{number}")
            if number % every == 0:
                ax.text(
                    start + 0.04 * per_s,
                    0.1,
                    f"unit {number}",
                    color=FAINT,
                    fontsize=7,
                    va="center",
                )
            for token, (row, x) in zip(np.flatnonzero(tokens.unit == number), places, strict=True):
                left, top = start + (x + _edge(column)) * per_s, _HEAD + row * _pitch(cell)
                draw_cell(ax, tokens, int(token), left, top, cell * per_s, cell, colours=colours)
        ax.axvline(seconds(unit * units), color=LINE, linewidth=0.8)

    told = f" Below, its stream of {counts}.{' ' + lacks[0].upper() + lacks[1:] + '.' if lacks else ''}"
    strip = Strip(_HEAD + rows * _pitch(cell), draw)
    picture = over_time(triplet, length, [strip], note, told, foot=0.8)
    draw_legend(picture, {KINDS[kind] for kind in tokens.kind}, colours)
    return picture


def _edge(column: float) -> float:
    """Room left free at either side of a unit's column, inches."""
    return min(0.04, column / 8)


def _pitch(cell: float) -> float:
    """From one row of cells to the next, with the bars of roles between."""
    return cell * (1 + BAR + _SPACE)


def _fitted(
    tokens: Tokens, units: int, column: float
) -> tuple[float, dict[int, list[tuple[int, float]]]]:
    """The largest cells with which no unit is too tall, and the row and left edge of every token in them."""
    for most in _CELLS:
        cell = min(most, column - 2 * _edge(column))
        placed = {}
        for unit in range(units):
            mine = np.flatnonzero(tokens.unit == unit)
            pieces: list[Piece] = token_pieces(tokens, mine, [cell] * len(mine))
            placed[unit] = flow(pieces, column - 2 * _edge(column), _SPACE * cell)
        rows = 1 + max((row for places in placed.values() for row, _ in places), default=0)
        if rows * _pitch(cell) <= _TALLEST:
            break
    return cell, placed
