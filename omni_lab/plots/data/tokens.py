"""Omni stream (time-division multiplexing): units of a clip with frames, log-mel, and tokens."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import UsageError
from omni_lab.plots.data.cells import (
    HIGH,
    check_words,
    draw_cell,
    draw_legend,
    flow,
    label,
    token_pieces,
    width_of,
)
from omni_lab.plots.data.strips import LOWEST, bare, draw_frames, draw_log_mel, say, thumbnails
from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import how_many, new_picture, styled
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.tokens import AUDIO_KIND, CONTROL_KIND, IMAGE_KIND, Tokens
from omni_lab.triplets.record import Triplet

_COLUMN, _LEFT, _RIGHT = 3.2, 0.95, 0.2  # inches: one unit, and the margins beside all of them
_SENSE_CELL, _ROW = 0.35, 0.36  # inches
_HEADER = 0.3  # inches
_TALLEST = 1.5  # of a frame, inches
_NARROWEST = 7.5  # of a picture, inches: its legend has to fit
_MOST_ROWS = 40


@styled
def draw_stream(
    triplet: Triplet, tokens: Tokens, words: list[str], first_unit: int = 0, units: int = 3
) -> Figure:
    """Omni stream of a clip: frames and log-mel over time, and under each unit its tokens in order.

    A column is one unit, read row by row. The colour of a cell is its token's modality; full colour
    is supervised, 35 % is given to the model (loss mask). An image cell shows the patch of the
    frame that its token encodes, an audio cell its piece of the waveform. A column ends after 40
    rows with the number of tokens left.

    Parameters
    ----------
    triplet : the clip
    tokens : its omni stream, tokenized
    words : the vocabulary's string of every token, as many as `tokens.ids`
    first_unit, units : the first unit drawn, and how many

    Raises
    ------
    UsageError
        the number of words differs from the number of tokens, or the clip has no such unit
    """
    check_words(tokens, words)
    chosen = [u for u in range(first_unit, first_unit + units) if (tokens.unit == u).any()]
    if not chosen:
        raise UsageError(
            f"first_unit={first_unit}: this stream has units 0 to {int(tokens.unit.max())}"
        )

    unit_s = unit_length(triplet, tokens) / TICKS_PER_SECOND
    placed = {u: _placed(tokens, words, u) for u in chosen}
    rows = min(_MOST_ROWS + 1, 1 + max(row for cells in placed.values() for _, row, _, _ in cells))
    inch_per_s = _COLUMN / unit_s
    seen = "image" in triplet.has and len(triplet.frames) > 0
    every, tall = thumbnails(triplet, inch_per_s, _TALLEST) if seen else (0, 0.4)
    heights = (max(tall, LOWEST), 0.6 if triplet.audio.size else 0.3, _HEADER + rows * _ROW)
    width = max(_LEFT + _COLUMN * len(chosen) + _RIGHT, _NARROWEST)
    total = 0.15 + sum(heights) + 0.55 + 0.4

    here = np.isin(tokens.unit, chosen)
    alt = (
        f"The omni stream of clip {triplet.clip_id}, units {chosen[0]} to {chosen[-1]}: frames, "
        f"log-mel, and {how_many(int(here.sum()), 'token')} coloured by modality, "
        f"{int(tokens.loss[here].sum())} of them supervised."
    )
    picture = new_picture(width, total, alt, layout=None)

    # placed by hand: a layout engine would not keep cells in inches and columns in step
    span = (chosen[0] * unit_s, (chosen[-1] + 1) * unit_s)
    axes, y = [], total - 0.15
    for height, gap in zip(heights, (0.1, 0.45, 0), strict=True):
        y -= height
        box = (_LEFT / width, y / total, _COLUMN * len(chosen) / width, height / total)
        axes.append(picture.add_axes(box))
        y -= gap

    _senses(axes[0], axes[1], triplet, inch_per_s, every, tall, span, unit_s / 2)
    bare(axes[2])
    axes[2].set(xlim=(0, _COLUMN * len(chosen)), ylim=(heights[2], 0))  # inches
    axes[2].set_ylabel("tokens", rotation=0, ha="right", va="center", labelpad=10)
    for column, unit in enumerate(chosen):
        left, look = column * _COLUMN + 0.04, {"color": FAINT, "va": "center", "fontsize": 8}
        title = f"unit {unit}    {unit * unit_s:g} to {(unit + 1) * unit_s:g} s"
        axes[2].text(left, 0.12, title, **look)
        _cells(axes[2], triplet, tokens, words, placed[unit], left, unit_s)
        if rest := sum(row >= _MOST_ROWS for _, row, _, _ in placed[unit]):
            below = _HEADER + (_MOST_ROWS + 0.4) * _ROW
            axes[2].text(left, below, f"… and {how_many(rest, 'more token')}", **look)

    for column in range(1, len(chosen)):
        if seen:
            axes[0].axvline((chosen[0] + column) * unit_s, color=LINE, linewidth=0.8)
        axes[1].axvline((chosen[0] + column) * unit_s, color="white", linewidth=0.8)
        axes[2].axvline(column * _COLUMN - 0.03, color=LINE, linewidth=0.8)

    draw_legend(picture, {KINDS[kind] for kind in tokens.kind[here]})
    return picture


def unit_length(triplet: Triplet, tokens: Tokens) -> int:
    """Unit length of a clip's omni stream in ticks at 16 kHz, from the times of its tokens."""
    units = np.unique(tokens.unit)
    if len(units) > 1:
        first = [int(tokens.time[tokens.unit == unit][0]) for unit in units]
        return int(np.median(np.diff(first)))

    # a single unit: its <listen> token stands at its end
    ends = tokens.time[(tokens.kind == CONTROL_KIND) & (tokens.time > 0)]
    return int(ends[0]) if len(ends) else max(triplet.duration, 1)


def _placed(tokens: Tokens, words: list[str], unit: int) -> list[tuple[int, int, float, float]]:
    """Layout of a unit's tokens: (token, row, left, width), inches from the column's left edge."""
    of_unit = np.flatnonzero(tokens.unit == unit)
    senses = (IMAGE_KIND, AUDIO_KIND)
    widths = [
        _SENSE_CELL if tokens.kind[token] in senses else width_of(label(words[token]))
        for token in of_unit
    ]
    places = flow(token_pieces(tokens, of_unit, widths), _COLUMN - 0.1)
    return [
        (int(token), *place, wide)
        for token, place, wide in zip(of_unit, places, widths, strict=True)
    ]


def _senses(
    top: Axes,
    middle: Axes,
    triplet: Triplet,
    inch_per_s: float,
    every: int,
    tall: float,
    span: tuple,
    tick_s: float,
) -> None:
    """Frames and log-mel of a span in seconds, or a message where the modality is missing."""
    bare(top)
    top.set_ylabel("image", rotation=0, ha="right", va="center", labelpad=10)
    if every:
        draw_frames(top, triplet, inch_per_s, every, tall, span)
    else:
        say(top, "no image in this clip")

    middle.set_ylabel("audio\n(kHz)", rotation=0, ha="right", va="center", labelpad=14)
    if "audio" in triplet.has and triplet.audio.size:
        draw_log_mel(middle, triplet.audio)
        middle.xaxis.set_major_locator(MultipleLocator(tick_s))
        middle.xaxis.set_major_formatter("{x:g}")
        middle.set_xlabel("time from the clip's start (s)", labelpad=1, fontsize=8)
    else:
        bare(middle)
        say(middle, "no audio in this clip")

    for ax in (top, middle):
        ax.set_xlim(*span)


def _cells(
    ax: Axes,
    triplet: Triplet,
    tokens: Tokens,
    words: list[str],
    placed: list,
    left: float,
    unit_s: float,
) -> None:
    """Token cells of one unit, up to the row limit; image and audio cells show their input."""
    of_kind: dict[str, list[int]] = {}
    for token, *_ in placed:
        of_kind.setdefault(KINDS[tokens.kind[token]], []).append(token)

    for token, row, x, wide in placed:
        if row >= _MOST_ROWS:
            break
        kind = KINDS[tokens.kind[token]]
        sense = kind in ("image", "audio")
        y = _HEADER + row * _ROW
        draw_cell(ax, tokens, token, left + x, y, wide, HIGH, "" if sense else label(words[token]))
        # a margin, so that the colour of the modality stays visible around the input
        inner = (left + x + 0.05, left + x + wide - 0.05, y + HIGH - 0.04, y + 0.04)
        if kind == "image":
            _seen(ax, triplet, tokens, token, of_kind[kind], unit_s, inner)
        elif kind == "audio":
            _heard(ax, triplet, tokens, token, of_kind[kind], unit_s, inner)


def _seen(
    ax: Axes,
    triplet: Triplet,
    tokens: Tokens,
    token: int,
    run: list[int],
    unit_s: float,
    box: tuple,
) -> None:
    """Patch of the frame that an image token encodes, where the tokens form a square grid."""
    side = round(len(run) ** 0.5)
    if side**2 != len(run) or not len(triplet.frames):
        return
    middle = (int(tokens.unit[token]) + 0.5) * unit_s * TICKS_PER_SECOND
    frame = triplet.frames[np.abs(triplet.frame_times - middle).argmin()]
    down, right = divmod(run.index(token), side)
    high, wide = frame.shape[0] // side, frame.shape[1] // side
    part = frame[down * high : (down + 1) * high, right * wide : (right + 1) * wide]
    ax.imshow(part, extent=box, aspect="auto", interpolation="antialiased", zorder=3)


def _heard(
    ax: Axes,
    triplet: Triplet,
    tokens: Tokens,
    token: int,
    run: list[int],
    unit_s: float,
    box: tuple,
) -> None:
    """Piece of the waveform that an audio token encodes."""
    first = int(tokens.unit[token]) * unit_s * TICKS_PER_SECOND
    length = unit_s * TICKS_PER_SECOND / len(run)
    piece = triplet.audio[
        int(first + run.index(token) * length) : int(first + (run.index(token) + 1) * length)
    ]
    if not len(piece):
        return

    # one amplitude scale for the whole clip, so that quiet and loud tokens differ
    columns = np.array_split(piece, min(60, len(piece)))
    loudest = max(float(np.abs(triplet.audio).max()), 1e-3)
    low, high = (
        np.array([f(c) for c in columns]) / loudest * (box[2] - box[3]) / 2
        for f in (np.min, np.max)
    )
    x, middle = np.linspace(box[0], box[1], len(columns)), (box[2] + box[3]) / 2
    ax.fill_between(x, middle - high, middle - low, color=INK, linewidth=0.5, zorder=3)
