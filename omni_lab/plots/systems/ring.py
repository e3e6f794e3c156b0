"""Ring attention (context parallel): token layout, attention pairs by rank and step, load balance.

In every figure a rank has its number and its colour; a block of keys has the colour of the rank
that owns it.

Glossary: W ranks · T tokens of the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, INK, LINE, ink_on, rank_colour, rgb
from omni_lab.plots.style import drawable, how_many, new_picture, styled

MOST_RANKS, MOST_TOKENS = 8, 1024  # limits of legibility
_MAP, _WIDTH = 4.3, 11.5  # inches: a map of pairs, all panels of a pass
_EMPTY = np.array((243, 244, 246)) / 255  # colour of masked pairs, which no rank computes
_PALER = 0.22  # fading of a rank's colour per step in a ring of four
_IDLE = {"facecolor": "white", "edgecolor": LINE, "hatch": "////", "linewidth": 0.6}


@styled
def draw_ring_pairs(
    holders: Mapping[str, Int64[np.ndarray, " T"]], ranks: int, cu_seqlens: Sequence[int]
) -> Figure:
    """Causal attention pairs of a row, layout by layout, in the colour of the rank computing them.

    The bands along both edges show which rank holds which token. A block's number is the step in
    which it is computed: 0 with the rank's own keys, 1 with those of the rank before it; later
    steps are paler. Documents are framed; pairs outside them are masked.

    Parameters
    ----------
    holders : name of a layout → the rank that holds each token
    ranks : number of ranks W, including those that hold no token
    cu_seqlens : token offsets at which documents begin, and at which the last one ends

    Raises
    ------
    UsageError
        there is no layout, the layouts differ in length, the row or the ring is too large to be
        legible, or documents or ranks do not match the row

    >>> print(draw_ring_pairs({"contiguous": np.array([0, 0, 1, 1])}, 2, [0, 4]).alt)
    Pairs of a row of 4 tokens on 2 ranks. contiguous: rank 0 3, rank 1 7; busiest rank / mean 1.40.
    """
    tokens = _check_row(holders, ranks, cu_seqlens)
    allowed = _allowed(tokens, cu_seqlens)
    work = {
        name: np.bincount(holder, allowed.sum(1), ranks).astype(int)
        for name, holder in holders.items()
    }
    summaries = {
        name: f"busiest rank / mean {pairs.max() * ranks / max(1, pairs.sum()):.2f}"
        for name, pairs in work.items()
    }
    counts = {
        name: ", ".join(f"rank {rank} {count}" for rank, count in enumerate(pairs))
        for name, pairs in work.items()
    }
    message = "; ".join(f"{name}: {counts[name]}; {summaries[name]}" for name in holders)
    alt = f"Pairs of a row of {how_many(tokens, 'token')} on {how_many(ranks, 'rank')}. {message}."

    picture = new_picture((_MAP + 0.7) * len(holders) + 0.6, _MAP + 1.5, alt)
    axes = picture.subplots(1, len(holders), squeeze=False)[0]
    for ax, (name, holder) in zip(axes, holders.items(), strict=True):
        _draw_pairs(ax, holder, ranks, allowed)
        _frame_documents(ax, cu_seqlens)
        _number_blocks(ax, holder, ranks, cu_seqlens)
        ax.set_title(f"{drawable(name)}: {summaries[name]}", pad=20)
        ax.set_xlabel("key position (tokens)")
    axes[0].set_ylabel("query position (tokens)", labelpad=12)
    _rank_legend(picture, ranks)
    return picture


@styled
def draw_ring_steps(work: Mapping[str, Int64[np.ndarray, "W W"]]) -> Figure:
    """Ring attention forward pass, step by step: keys per rank, next hop, pairs computed.

    A step lasts as long as its busiest rank; the time that the other ranks wait is hatched.

    Parameters
    ----------
    work : name of a layout → pairs computed per rank and step, in the order of
        `omni_lab.planner.simulate.by_step`

    Raises
    ------
    UsageError
        there is no layout, the layouts differ in ranks, or the ring is too large to be legible
    """
    shapes = {pairs.shape for pairs in work.values()}
    if len(shapes) != 1:
        raise UsageError(
            f"work of {len(work)} layouts has {len(shapes)} different shapes; "
            "give pairs per rank and step, once per layout, over the same ranks"
        )
    ranks = shapes.pop()[0]
    _few_enough(ranks)

    busy = {name: pairs.sum() / max(1, ranks * pairs.max(0).sum()) for name, pairs in work.items()}
    described = "; ".join(f"{name}: utilisation {value:.0%}" for name, value in busy.items())
    alt = (
        f"Ring attention (context parallel) of {how_many(ranks, 'rank')} "
        f"in {how_many(ranks, 'step')}. {described}."
    )

    side = _WIDTH / max(4, ranks)  # of the panel of a ring
    picture = new_picture(_WIDTH, side + 1.45 * len(work) + 0.5, alt)
    heights = [side, *[1.35] * len(work)]
    highest = max(int(pairs.max()) for pairs in work.values())
    axes = picture.subplots(
        1 + len(work), ranks, squeeze=False, gridspec_kw={"height_ratios": heights}
    )

    for step in range(ranks):
        _draw_ring(axes[0, step], ranks, step)
        axes[0, step].set_title(f"step {step}", loc="center")
    for row, (name, pairs) in enumerate(work.items(), 1):
        for step in range(ranks):
            _draw_work(axes[row, step], name, pairs[:, step], step)
            axes[row, step].set_ylim(0, 1.28 * highest)
            if step:
                axes[row, step].tick_params(left=False, labelleft=False)
        axes[row, 0].set_ylabel(f"{drawable(name)}\npairs ({busy[name]:.0%} utilised)")
    for ax in axes[-1]:
        ax.set_xlabel("rank")

    handles = [Rectangle((0, 0), 1, 1, **_IDLE, label="waiting for the busiest rank of this step")]
    handles.append(
        Rectangle((0, 0), 1, 1, facecolor=LINE, label="K0: the keys and values of rank 0's tokens")
    )
    picture.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=1.3)
    return picture


def _check_row(
    holders: Mapping[str, Int64[np.ndarray, " T"]], ranks: int, cu_seqlens: Sequence[int]
) -> int:
    """Refuse layouts, documents or ranks that do not match one row; returns its tokens T."""
    lengths = {len(holder) for holder in holders.values()}
    if len(lengths) != 1 or not 1 <= (tokens := lengths.pop()) <= MOST_TOKENS:
        raise UsageError(
            f"holders of {len(holders)} layouts: give the rank of each token of one row of at most "
            f"{MOST_TOKENS:,} tokens, once per layout"
        )
    if cu_seqlens[0] != 0 or cu_seqlens[-1] > tokens or any(a > b for a, b in pairwise(cu_seqlens)):
        raise UsageError(
            f"cu_seqlens {list(cu_seqlens)}: offsets must rise from 0 to at most the row's "
            f"{tokens} tokens"
        )
    _few_enough(ranks)
    for name, holder in holders.items():
        if holder.min() < 0 or holder.max() >= ranks:
            wrong = int(holder.min() if holder.min() < 0 else holder.max())
            raise UsageError(f"{name}: a token is held by rank {wrong}; ranks are 0 to {ranks - 1}")
    return tokens


def _few_enough(ranks: int) -> None:
    """Refuse a ring that is too large to be legible."""
    if not 1 <= ranks <= MOST_RANKS:
        raise UsageError(f"a ring of {ranks} ranks is not legible; draw 1 to {MOST_RANKS} ranks")


def _allowed(tokens: int, cu_seqlens: Sequence[int]) -> np.ndarray:
    """Causal, block-diagonal attention mask, T T; tokens after the last document are padding."""
    place = np.arange(tokens)
    document = np.searchsorted(cu_seqlens, place, side="right")
    return (document[:, None] == document) & (place[:, None] >= place) & (place < cu_seqlens[-1])


def _draw_pairs(ax: Axes, holder: Int64[np.ndarray, " T"], ranks: int, allowed: np.ndarray) -> None:
    """Map of pairs in the colours of ranks, with the layout of tokens along both edges."""
    tokens = len(holder)
    faded = np.array(
        [[_faded(rank, step, ranks) for step in range(ranks)] for rank in range(ranks)]
    )  # W steps 3
    shown = faded[holder[:, None], (holder[:, None] - holder) % ranks]
    shown[~allowed] = _EMPTY
    ax.imshow(shown, extent=(0, tokens, tokens, 0), interpolation="nearest")

    # the bands lie outside of the axis limits, which is why they are not clipped
    colours = faded[holder, 0]
    band = 0.03 * tokens
    look = {"interpolation": "nearest", "clip_on": False}
    ax.imshow(colours[None], extent=(0, tokens, -0.4 * band, -1.4 * band), **look)
    ax.imshow(colours[:, None], extent=(-1.4 * band, -0.4 * band, tokens, 0), **look)

    ax.set(xlim=(0, tokens), ylim=(tokens, 0))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.locator_params(integer=True)
    ax.tick_params(axis="y", pad=14)


def _frame_documents(ax: Axes, cu_seqlens: Sequence[int]) -> None:
    """Frame around the block of every document on the diagonal."""
    for start, end in pairwise(cu_seqlens):
        size = end - start
        frame = Rectangle((start, start), size, size, fill=False, edgecolor=INK, linewidth=1.0)
        frame.set_gid(f"document:{start}:{end}")
        ax.add_patch(frame)


def _faded(rank: int, step: int, ranks: int) -> list[float]:
    """Colour of a rank, paler in later steps, as red, green and blue in [0, 1]."""
    strength = 1 - _PALER * 4 * step / max(4, ranks)
    return [1 - strength * (1 - part / 255) for part in rgb(rank_colour(rank))]


def _number_blocks(
    ax: Axes, holder: Int64[np.ndarray, " T"], ranks: int, cu_seqlens: Sequence[int]
) -> None:
    """Number of the step in every block of pairs that has room for it."""
    turns = np.flatnonzero(np.diff(holder)) + 1
    runs = [
        list(pairwise(sorted({start, end, *turns[(turns > start) & (turns < end)].tolist()})))
        for start, end in pairwise(cu_seqlens)
    ]

    for of_document in runs:
        for number, queries in enumerate(of_document):
            for keys in of_document[: number + 1]:
                _number_block(ax, holder, ranks, queries, keys)


def _number_block(
    ax: Axes,
    holder: Int64[np.ndarray, " T"],
    ranks: int,
    queries: tuple[int, int],
    keys: tuple[int, int],
) -> None:
    """Number of the step in one block of pairs: a rectangle, or a triangle on the diagonal."""
    (first, last), (start, end) = queries, keys
    diagonal = start == first
    rank, step = int(holder[first]), int((holder[first] - holder[start]) % ranks)
    points = min(last - first, end - start) / len(holder) * _MAP * 72 * (0.7 if diagonal else 1)
    if points < 7:
        return

    middle = 1 / 3 if diagonal else 1 / 2  # centre of a triangle, of a rectangle
    x, y = start + middle * (end - start), last - middle * (last - first)
    look = {"fontsize": min(9.0, 0.85 * points), "color": ink_on(_faded(rank, step, ranks))}
    text = ax.text(x, y, str(step), ha="center", va="center", **look)
    text.set_gid(f"step:{first}:{start}:{rank}:{step}")


def _draw_ring(ax: Axes, ranks: int, step: int) -> None:
    """Ranks on a circle, each with the block of keys it holds, and arrows to the next hop."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(ranks) / ranks
    x, y = np.cos(angle), np.sin(angle)
    size = 0.26 if ranks < 6 else 0.2
    far = 0.47 if ranks < 6 else 0.56
    message = {"ha": "center", "va": "center", "fontsize": 9 if ranks < 6 else 8}

    for rank in range(ranks):
        colour = rank_colour(rank)
        ax.add_patch(Circle((x[rank], y[rank]), size, facecolor=colour, edgecolor="none"))
        ax.text(x[rank], y[rank], f"{rank}", color=_ink(colour), fontweight="bold", **message)

        owner = (rank - step) % ranks
        left, bottom = far * x[rank] - 0.17, far * y[rank] - 0.12
        block = Rectangle((left, bottom), 0.34, 0.24, facecolor=rank_colour(owner))
        block.set_gid(f"holds:{step}:{rank}:{owner}")
        ax.add_patch(block)
        look = {**message, "fontsize": 7, "color": _ink(rank_colour(owner))}
        ax.text(far * x[rank], far * y[rank], f"K{owner}", **look)

        if step < ranks - 1:  # after the last step the blocks stay: W − 1 hops
            after = (rank + 1) % ranks
            radius = size / 2.64 * _WIDTH / max(4, ranks) * 72  # of a disc, points
            arrow = FancyArrowPatch(
                (x[rank], y[rank]), (x[after], y[after]),
                connectionstyle=f"arc3,rad={-0.9 / ranks}", arrowstyle="-|>", mutation_scale=9,
                color=FAINT, shrinkA=radius, shrinkB=radius,
            )  # fmt: skip
            arrow.set_gid(f"goes:{step}:{rank}:{after}")
            ax.add_patch(arrow)

    ax.set(xlim=(-1.32, 1.32), ylim=(-1.32, 1.32), aspect="equal")
    ax.axis("off")


def _draw_work(ax: Axes, name: str, pairs: Int64[np.ndarray, " W"], step: int) -> None:
    """Bars of pairs computed per rank in a step, and hatched bars of waiting for the busiest."""
    for rank, count in enumerate(pairs.tolist()):
        (bar,) = ax.bar(rank, count, 0.72, color=rank_colour(rank))
        bar.set_gid(f"work:{name}:{step}:{rank}")
        idle = int(pairs.max()) - count
        if idle:
            (rest,) = ax.bar(rank, idle, 0.72, bottom=count, **_IDLE)
            rest.set_gid(f"waits:{name}:{step}:{rank}")
        if len(pairs) < 6:
            ax.text(rank, pairs.max(), f"{count:,}", ha="center", va="bottom", fontsize=7)
    ax.set_xticks(range(len(pairs)))
    ax.tick_params(axis="x", length=0)
    ax.locator_params(axis="y", nbins=3)


def _ink(colour: str) -> str:
    """Text colour on a `#rrggbb` colour."""
    return ink_on(part / 255 for part in rgb(colour))


def _rank_legend(picture: Figure, ranks: int) -> None:
    """Legend of rank colours and document frames."""
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=rank_colour(rank), label=f"rank {rank}")
        for rank in range(ranks)
    ]
    handles.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=INK, label="a document"))
    picture.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.3
    )
