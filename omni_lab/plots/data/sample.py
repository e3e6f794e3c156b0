"""Training sample over time: a clip's media and every token of its omni stream, in seconds."""

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

# candidate widths of a cell, inches
_CELLS = (0.16, 0.13, 0.11, 0.095, 0.08, 0.065, 0.05, 0.04)  # fmt: skip
_SPACE = 0.25  # between cells, as a fraction of a cell's width
_HEAD = 0.22  # inches above the cells, for the numbers of units
_TALLEST = 1.4  # of all rows of cells, inches
_NUMBER = 0.55  # least distance between numbers of units, inches


@styled
def draw_sample(triplet: Triplet, sequence: Sequence, tokens: Tokens) -> Figure:
    """Clip over time with its whole omni stream below: frames, audio, cues, and every token.

    The tokens of a unit stand under its time span, row by row in order; a turn of a role begins a
    new row. The colour of a cell is its modality, full where supervised and pale where given (loss
    mask); the bar below has the colour of the role that speaks. Modalities missing in the stream
    are listed under the title. `draw_stream` shows a few units with their words.

    Parameters
    ----------
    triplet : the clip
    sequence : the omni stream of the clip
    tokens : the same sequence, tokenized
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
                look = {"color": FAINT, "fontsize": 7, "va": "center"}
                ax.text(start + 0.04 * per_s, 0.1, f"unit {number}", **look)
            for token, (row, x) in zip(np.flatnonzero(tokens.unit == number), places, strict=True):
                left, top = start + (x + _edge(column)) * per_s, _HEAD + row * _pitch(cell)
                draw_cell(ax, tokens, int(token), left, top, cell * per_s, cell, colours=colours)
        ax.axvline(seconds(unit * units), color=LINE, linewidth=0.8)

    description = f" Below, its stream of {counts}."
    description += f" {lacks[0].upper()}{lacks[1:]}." if lacks else ""
    strip = Strip(_HEAD + rows * _pitch(cell), draw)
    picture = over_time(triplet, length, [strip], note, description, foot=0.8)
    draw_legend(picture, {KINDS[kind] for kind in tokens.kind}, colours)
    return picture


def _edge(column: float) -> float:
    """Margin on either side of a unit's column, inches."""
    return min(0.04, column / 8)


def _pitch(cell: float) -> float:
    """Distance from one row of cells to the next, including the bars of roles; inches."""
    return cell * (1 + BAR + _SPACE)


def _fitted(
    tokens: Tokens, units: int, column: float
) -> tuple[float, dict[int, list[tuple[int, float]]]]:
    """Largest cell size (inches) that fits every unit, and row and left edge of each token."""
    for most in _CELLS:
        cell = min(most, column - 2 * _edge(column))
        placed = {}
        for unit in range(units):
            chosen = np.flatnonzero(tokens.unit == unit)
            pieces: list[Piece] = token_pieces(tokens, chosen, [cell] * len(chosen))
            placed[unit] = flow(pieces, column - 2 * _edge(column), _SPACE * cell)
        rows = 1 + max((row for places in placed.values() for row, _ in places), default=0)
        if rows * _pitch(cell) <= _TALLEST:
            break
    return cell, placed
