"""Attention mask of a packed row: causal, block-diagonal over documents, modality strengths.

Glossary: T tokens of the row · M modalities.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from jaxtyping import Float, Float32, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, INK, MODALITY_COLOURS, ink_on, rgb
from omni_lab.plots.style import how_many, new_picture, styled
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.tokens import Tokens

_MAP, _BAND, _TABLE = 4.6, 0.14, 2.4  # inches: map, bands of modalities along it, table
_LEFT, _TOP, _BOTTOM = 1.0, 0.55, 0.6  # inches
_NEVER = 232  # grey of masked pairs
_FINEST = 1024  # points of the map along an edge; a longer row is drawn with a stride


@styled
def draw_mask(row: Tokens, bias: Float32[np.ndarray, "T T"] | None = None) -> Figure:
    """Attention mask of a row: a line per query, in the colour of the modality of each key.

    The stronger the colour, the larger exp(bias); white is strength 0, grey is the future or
    another document. The table gives the strength from each modality to each: the mean of
    exp(bias) over all pairs that causality and documents allow, without the diagonal.

    Parameters
    ----------
    row : one document, or several packed documents, T tokens
    bias : additive attention bias of the row, from `omni_lab.sequences.masking.attention_bias`;
        None for plain causal attention

    Raises
    ------
    UsageError
        the bias does not have this row's length, or allows the future or another document
    """
    length = len(row.ids)
    if bias is not None and bias.shape != (length, length):
        raise UsageError(f"the bias is for {bias.shape[0]} tokens, the row has {length}")

    shown, table, fraction = _strengths(row, bias)
    documents = int(row.document.max()) + 1
    present = [kind for kind in range(len(KINDS)) if (row.kind == kind).any()]
    turned = [
        f"{KINDS[q]} to {KINDS[k]} {table[q, k]:.2f}"
        for q in present
        for k in present
        if not np.isnan(table[q, k]) and table[q, k] < 0.995
    ]

    width, height = _LEFT + _MAP + 1.35 + _TABLE, _TOP + _MAP + _BOTTOM
    of = f"{how_many(length, 'token')} in {how_many(documents, 'document')}"
    description = f"Attention mask of a row of {of}: {fraction:.0%} of the pairs allowed."
    picture = new_picture(
        width, height, f"{description} Turned down: {', '.join(turned) or 'nothing'}.", layout=None
    )
    ax = picture.add_axes((_LEFT / width, _BOTTOM / height, _MAP / width, _MAP / height))
    _draw_map(ax, row, shown)

    side = _TABLE * len(present) / len(KINDS)
    left, bottom = (_LEFT + _MAP + 1.2) / width, (height - _TOP - side) / height
    _draw_table(picture.add_axes((left, bottom, side / width, side / height)), table, present)
    message = "colour: modality of the key\nwhite: strength 0\ngrey: future, or another document"
    picture.text(
        left, bottom - 0.6 / height, message, fontsize=8, color=FAINT, va="top", linespacing=1.5
    )
    return picture


def _strengths(
    row: Tokens, bias: Float32[np.ndarray, "T T"] | None
) -> tuple[UInt8[np.ndarray, "queries keys 3"], Float[np.ndarray, "M M"], float]:
    """Map in colours, mean strength from modality to modality, and fraction of allowed pairs.

    The mean is NaN where no pair is allowed. Queries are processed in blocks, because the full map
    of a long row would not fit in memory.
    """
    length = len(row.ids)
    step, place = _step(length), np.arange(length)
    keys = _colours()[row.kind[::step]]
    one_hot = np.eye(len(KINDS), dtype=np.float32)[row.kind]  # T M
    lines, pairs = [], 0
    total, count = np.zeros((2, len(KINDS), len(KINDS)))

    for queries in np.split(place, range(_FINEST, length, _FINEST)):
        allowed = (queries[:, None] >= place) & (row.document[queries, None] == row.document)
        strength = allowed.astype(np.float32) if bias is None else np.exp(bias[queries])
        if strength[~allowed].any():
            raise UsageError(
                "the bias allows attention to the future or another document; "
                "give all of attention_bias"
            )

        drawn = queries % step == 0
        colours = 255 - strength[drawn, ::step, None] * (255 - keys)
        lines.append(np.where(allowed[drawn, ::step, None], colours, _NEVER).astype(np.uint8))
        pairs += int(allowed.sum())

        # off the diagonal only: a token always attends to itself, whatever the strengths
        allowed &= queries[:, None] != place
        total += one_hot[queries].T @ np.where(allowed, strength, 0) @ one_hot
        count += one_hot[queries].T @ allowed.astype(np.float32) @ one_hot

    table = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return np.concatenate(lines), table, pairs / length**2


def _step(length: int) -> int:
    """Stride of the tokens that are drawn."""
    return -(-length // _FINEST)


def _colours() -> Float32[np.ndarray, "M 3"]:
    """Colours of the modalities, in [0, 255]."""
    return np.array([rgb(MODALITY_COLOURS[kind]) for kind in KINDS], np.float32)


def _draw_map(ax: Axes, row: Tokens, shown: UInt8[np.ndarray, "queries keys 3"]) -> None:
    """Map of pairs, with a band of modalities along both edges and a frame per document."""
    length = len(row.ids)
    ax.imshow(shown, extent=(0, length, length, 0), interpolation="nearest", aspect="auto")

    # the bands lie outside of the axis limits, which is why they are not clipped
    band = length * _BAND / _MAP
    bands = _colours()[row.kind[:: _step(length)]].astype(np.uint8)
    ax.imshow(
        bands[None], extent=(0, length, -0.2 * band, -1.2 * band), aspect="auto", clip_on=False
    )
    ax.imshow(
        bands[:, None], extent=(-1.2 * band, -0.2 * band, length, 0), aspect="auto", clip_on=False
    )
    ax.set(xlim=(0, length), ylim=(length, 0), xlabel="key position (tokens)")
    ax.set_ylabel("query position (tokens)", labelpad=4)
    ax.locator_params(integer=True)
    ax.tick_params(axis="y", pad=0.25 * 72)
    _frame_documents(ax, row, band)


def _frame_documents(ax: Axes, row: Tokens, band: float) -> None:
    """Frame around the block of every document, with its number where there is room."""
    length, start = len(row.ids), 0
    for number, run in groupby(row.document.tolist()):
        end = start + len(list(run))
        size = end - start
        frame = Rectangle((start, start), size, size, fill=False, edgecolor=INK, linewidth=0.8)
        frame.set_clip_on(False)
        frame.set_gid(f"document:{number}:{start}:{end}")
        ax.add_patch(frame)
        if size > length / 16:
            look = {"ha": "center", "va": "bottom", "fontsize": 8}
            ax.text((start + end) / 2, -1.6 * band, f"document {number}", **look)
        start = end


def _draw_table(ax: Axes, table: Float[np.ndarray, "M M"], present: list[int]) -> None:
    """Mean strength from modality to modality, each number on its shade in the map."""
    for r, query in enumerate(present):
        for c, key in enumerate(present):
            value = table[query, key]
            none = np.isnan(value)
            face = np.full(3, _NEVER / 255) if none else 1 - value * (1 - _colours()[key] / 255)
            ax.fill_between([c + 0.02, c + 0.98], r + 0.02, r + 0.98, color=face, linewidth=0)
            message = "–" if none else f"{value:.2f}"
            text = ax.text(
                c + 0.5, r + 0.5, message, ha="center", va="center", color=ink_on(face), fontsize=8
            )
            text.set_gid(f"strength:{KINDS[query]}:{KINDS[key]}")

    names = [KINDS[kind] for kind in present]
    places = np.arange(len(present)) + 0.5
    ax.set(xlim=(0, len(present)), ylim=(len(present), 0))
    ax.set_xticks(places, names)
    ax.set_yticks(places, names)
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlabel("key")
    ax.set_ylabel("query")
    ax.set_title("strength", fontsize=9, color=FAINT)
