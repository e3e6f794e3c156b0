"""Interleaved image–text sequences as pages: image token grids, marks, prompts, text, in order.

A page is read like a book. `draw_formats` sets several prompt formats of one sample side by side.

Glossary: F frames per unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omni_lab.errors import UsageError
from omni_lab.plots.data.cells import (
    BAR,
    GAP,
    HIGH,
    Piece,
    check_words,
    colours_of,
    counted,
    draw_cell,
    draw_legend,
    flow,
    in_words,
    label,
    width_of,
)
from omni_lab.plots.data.strips import bare, draw_wave
from omni_lab.plots.palette import FAINT, MODALITY_COLOURS, shade
from omni_lab.plots.style import drawable, how_many, new_picture, styled
from omni_lab.sequences.items import KINDS, Sequence
from omni_lab.sequences.tokens import Tokens

_WIDTH, _SIDE = 12.0, 0.25  # of the page, and its margin left and right; inches
_HEAD = 0.35  # above the first line
_LEADING = 0.12  # between lines
_WAVE = 1.1  # width of a sound
_UNDER = 0.17  # below a picture, for the count of its tokens
_MOST_LINES = 30
_FINEST = 12  # limit of legible token cells along an edge of a picture

Sample = tuple[Sequence, Tokens, list[str]]


class _Block(NamedTuple):
    """Block of a page: one token with its word, or all tokens of one image or sound."""

    tokens: range
    width: float
    height: float
    word: str | None  # None for an image or a sound
    item: int


@styled
def draw_document(sequence: Sequence, tokens: Tokens, words: list[str]) -> Figure:
    """Sequence as a page: images with their token grids, marks, prompts and words, in order.

    Full colour is supervised, 35 % is given to the model (loss mask). An image in tiles starts with
    its thumbnail, as in the sequence. A page ends after 30 lines with the number of tokens left.

    Parameters
    ----------
    sequence : the items and their media
    tokens : the same sequence, tokenized
    words : the vocabulary's string of every token, as many as `tokens.ids`

    Raises
    ------
    UsageError
        the number of words differs from the number of tokens
    """
    check_words(tokens, words)
    images = sum(item.kind == "image" for item in sequence.items)
    high = 1.3 if images <= 4 else 0.9 if images <= 12 else 0.6
    blocks = list(_blocks(sequence, tokens, words, high))

    places = flow(_pieces(blocks, sequence), _WIDTH - 2 * _SIDE)
    shown = [
        (block, place)
        for block, place in zip(blocks, places, strict=True)
        if place[0] < _MOST_LINES
    ]
    heights = [0.0] * (shown[-1][1][0] + 1)
    for block, (row, _) in shown:
        heights[row] = max(heights[row], block.height)
    tops = np.cumsum([_HEAD, *(height + _LEADING for height in heights)])

    drawn = len(tokens.kind) - sum(len(block.tokens) for block in blocks[len(shown) :])
    rest = tokens.kind[drawn:]
    notes = [f"… and {how_many(len(rest), 'more token')}: {counted(rest)}"] if len(rest) else []
    notes += (
        wrap(f"not in the sequence: {'; '.join(sequence.missing)}", 150) if sequence.missing else []
    )
    counts = in_words(tokens)
    total = float(tops[-1]) + 0.17 * len(notes) + 0.45
    description = f"{sequence.name} as a page, lines: {len(heights)}; {counts}. {' '.join(notes)}"
    picture = new_picture(_WIDTH, total, description.strip(), layout=None)
    ax = _page(picture, (0, 0, 1, 1), _WIDTH, total)
    ax.text(
        _SIDE, 0.17, f"{drawable(sequence.name)}   {counts}", color=FAINT, fontsize=9, va="center"
    )

    colours = colours_of(tokens)
    for block, (row, x) in shown:
        _draw_block(ax, block, sequence, tokens, _SIDE + x, float(tops[row]), heights[row], colours)
    look = {"color": FAINT, "fontsize": 8.5, "va": "center", "style": "italic"}
    for number, note in enumerate(notes):
        ax.text(_SIDE, tops[-1] + 0.05 + 0.17 * number, note, **look)
    draw_legend(picture, {KINDS[kind] for kind in tokens.kind}, colours)
    return picture


@styled
def draw_formats(formats: Mapping[str, Sample]) -> Figure:
    """Prompt formats of one sample: the beginning of each, and its token counts on one scale.

    Parameters
    ----------
    formats : name → the sequence, its tokens, and the vocabulary's string of every token

    Raises
    ------
    UsageError
        there is no format, or the number of words of a format differs from that of its tokens
    """
    if not formats:
        raise UsageError("no format to draw; give at least one")
    for _, tokens, words in formats.values():
        check_words(tokens, words)

    begin, side, after, row = 5.4, 0.75, 1.0, 0.8  # inches
    total = 0.45 + row * len(formats) + 0.95
    counts = {title: len(tokens.ids) for title, (_, tokens, _) in formats.items()}
    description = "; ".join(
        f"{title} {how_many(count, 'token')}" for title, count in counts.items()
    )
    name = next(iter(formats.values()))[0].name
    picture = new_picture(
        _WIDTH, total, f"{name} in {how_many(len(formats), 'format')}: {description}.", layout=None
    )
    wide = _WIDTH - side - begin - 0.3 - after
    longest, shortest = max(counts.values()), min(counts.values())
    for number, (title, (sequence, tokens, words)) in enumerate(formats.items()):
        bottom = total - 0.45 - row * (number + 1)
        left = _page(
            picture, (side / _WIDTH, bottom / total, begin / _WIDTH, row / total), begin, row
        )
        _beginning(left, sequence, tokens, words, begin, row)
        name_look = {"ha": "right", "va": "center", "fontsize": 11, "fontweight": "bold"}
        left.text(-0.12, row / 2, drawable(title), **name_look)

        x, y = (side + begin + 0.3) / _WIDTH, (bottom + row / 2 - 0.15) / total
        right = picture.add_axes((x, y, wide / _WIDTH, 0.3 / total))
        bare(right)
        right.set(xlim=(0, longest), ylim=(0, 1))
        _bar(right, title, tokens)
        more = f"  +{counts[title] / shortest - 1:.0%}" if counts[title] > shortest else ""
        right.text(
            counts[title] + longest / 80, 0.5, f"{counts[title]}{more}", va="center", fontsize=9
        )

    _show_scale(right)
    for x, message in (
        (side, "beginning"),
        (side + begin + 0.3, "whole sequence, with its length"),
    ):
        picture.text(x / _WIDTH, 1 - 0.25 / total, message, color=FAINT, fontsize=9, va="center")
    draw_legend(picture, {KINDS[kind] for _, tokens, _ in formats.values() for kind in tokens.kind})
    return picture


def _show_scale(ax: Axes) -> None:
    """Scale in tokens below the last bar, which holds for all of them."""
    ax.spines["bottom"].set_visible(True)
    ax.spines["bottom"].set_position(("outward", 8))
    ax.tick_params(bottom=True, labelbottom=True)
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("tokens")


def _page(picture: Figure, box: tuple, width: float, height: float) -> Axes:
    """Axis in inches from its upper left corner."""
    ax = picture.add_axes(box)
    bare(ax)
    ax.set(xlim=(0, width), ylim=(height, 0))
    return ax


def _blocks(sequence: Sequence, tokens: Tokens, words: list[str], high: float) -> Iterator[_Block]:
    """Blocks of the page in order: one per word or mark, one per image or sound."""
    seen = iter(sequence.frames)
    for item, run in groupby(range(len(tokens.ids)), key=lambda token: int(tokens.item[token])):
        of_item = list(run)
        # the tokens of one item are contiguous, so a range holds them all
        whole = range(of_item[0], of_item[-1] + 1)
        kind = sequence.items[item].kind

        if kind == "image":
            strip = _side_by_side(next(seen))
            yield _Block(whole, high * strip.shape[1] / strip.shape[0], high + _UNDER, None, item)
        elif kind == "audio":
            yield _Block(whole, _WAVE, 0.5 + _UNDER, None, item)
        else:
            for token in of_item:
                word = label(words[token])
                yield _Block(
                    range(token, token + 1), width_of(word), HIGH * (1 + 1.3 * BAR), word, item
                )


def _pieces(blocks: list[_Block], sequence: Sequence) -> list[Piece]:
    """Pieces to lay out: an image and the marks around it form one group, which stays on a line."""
    units = {item.unit for item in sequence.items if item.kind == "image"}
    pieces, group, before = [], 0, None
    for block in blocks:
        unit = sequence.items[block.item].unit
        group += unit not in units or unit != before
        before = unit
        pieces.append(Piece(block.width, group))
    return pieces


def _side_by_side(
    frames: UInt8[np.ndarray, "F height width 3"],
) -> UInt8[np.ndarray, "height strip 3"]:
    """Frames of one image item side by side, without exact repeats of the previous frame."""
    different = [f for i, f in enumerate(frames) if i == 0 or not np.array_equal(f, frames[i - 1])]
    return np.concatenate(different, axis=1)


def _draw_block(
    ax: Axes, block: _Block, sequence: Sequence, tokens: Tokens, left: float, top: float,
    line: float, colours: dict[str | None, str],
) -> None:  # fmt: skip
    """One block on its line, vertically centred."""
    kind = sequence.items[block.item].kind
    top += (line - block.height) / 2
    if block.word is not None:
        draw_cell(ax, tokens, block.tokens[0], left, top, block.width, HIGH, block.word, colours)
        return

    high = block.height - _UNDER
    box = (left, left + block.width, top + high, top)
    place = sum(item.kind == kind for item in sequence.items[: block.item])  # index of its media
    if kind == "image":
        _draw_image(ax, sequence.frames[place], len(block.tokens), box)
    else:
        within = ax.inset_axes((left, top, block.width, high), transform=ax.transData)
        bare(within)
        draw_wave(within, sequence.waves[place], most=200)

    frame = Rectangle(
        (left, top), block.width, high, fill=False, edgecolor=MODALITY_COLOURS[kind], linewidth=1.6
    )
    frame.set_gid(f"item:{block.item}:{kind}:{len(block.tokens)}")
    ax.add_patch(frame)
    count = how_many(len(block.tokens), "token")
    look = {"ha": "center", "va": "center", "fontsize": 7, "color": FAINT}
    ax.text(left + block.width / 2, top + high + 0.1, count, **look)


def _draw_image(
    ax: Axes, frames: UInt8[np.ndarray, "F height width 3"], count: int, box: tuple
) -> None:
    """Picture with the grid of its tokens, where they form a legible square grid."""
    strip = _side_by_side(frames)
    ax.imshow(strip, extent=box, aspect="auto", interpolation="antialiased", zorder=1)
    side, across = round(count**0.5), strip.shape[1] // frames.shape[2]
    if side**2 != count or side > _FINEST:
        return
    x, y = (
        np.linspace(box[0], box[1], side * across + 1)[1:-1],
        np.linspace(box[3], box[2], side + 1)[1:-1],
    )
    width = 0.9 if side < 4 else 0.4
    ax.vlines(x, box[3], box[2], color="white", linewidth=width, alpha=0.8)
    ax.hlines(y, box[0], box[1], color="white", linewidth=width, alpha=0.8)


def _beginning(
    ax: Axes, sequence: Sequence, tokens: Tokens, words: list[str], room: float, row: float
) -> None:
    """First blocks of a sequence, as many as fit on one line, then an ellipsis."""
    x = 0.0
    for block in _blocks(sequence, tokens, words, 0.45):
        if x + block.width > room - 0.2:
            ax.text(x + 0.02, row / 2, "…", va="center", fontsize=11, color=FAINT)
            return
        _draw_block(ax, block, sequence, tokens, x, 0.0, row, {})
        x += block.width + GAP


def _bar(ax: Axes, title: str, tokens: Tokens) -> None:
    """Bar of all tokens: one segment per run of a modality, full colour where supervised."""
    start = 0
    for (kind, learned), run in groupby(
        zip(tokens.kind.tolist(), tokens.loss.tolist(), strict=True)
    ):
        length = len(list(run))
        name = KINDS[kind]
        patch = Rectangle((start, 0), length, 1, facecolor=shade(name, learned), linewidth=0)
        patch.set_gid(f"run:{title}:{start}:{length}:{name}:{'supervised' if learned else 'given'}")
        ax.add_patch(patch)
        start += length
