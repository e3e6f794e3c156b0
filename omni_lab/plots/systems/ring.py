"""Ring attention as pictures: who holds which tokens, who computes which pairs in which step, what the keys' way costs.

Everywhere a rank has its number and its colour; a block of keys has the colour of the rank that it belongs to.

Glossary: W ranks · S steps · T tokens of the row.
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

MOST_RANKS, MOST_TOKENS = 8, 1024  # beyond that nobody can read it
_MAP, _WIDTH = 4.3, 11.5  # inches: a map of pairs, all panels of a pass
_EMPTY = np.array((243, 244, 246)) / 255  # of pairs that nobody computes
_PALER = 0.22  # how much paler the map's colours become from the first step to the last, per step of four
_IDLE = {"facecolor": "white", "edgecolor": LINE, "hatch": "////", "linewidth": 0.6}


@styled
def draw_ring_pairs(
    holders: Mapping[str, Int64[np.ndarray, " T"]], ranks: int, cu_seqlens: Sequence[int]
) -> Figure:
    """Draw the causal pairs of a row, layout by layout, in the colour of the rank that computes them.

    The bands along both edges show who holds which token. A block's number is the step in which it is computed: 0 with
    the rank's own keys, 1 with those of the rank before it. The later, the paler. Documents are framed; of what lies
    outside them nothing is computed.

    Parameters
    ----------
    holders : name of a layout → the rank that holds each token
    ranks : how many there are, also those that hold none
    cu_seqlens : where documents begin, and where the last ends

    Raises
    ------
    UsageError
        there is no layout, they differ in length, the row or the ring is too long to be read, or documents or ranks do
        not fit it

    >>> draw_ring_pairs({"contiguous": np.array([0, 0, 1, 1])}, 2, [0, 4]).alt
    'Pairs of a row of 4 tokens on 2 ranks. contiguous: rank 0 3, rank 1 7; the busiest has 1.40 of the mean.'
    """
    lengths = {len(holder) for holder in holders.values()}
    if len(lengths) != 1 or not 1 <= (tokens := lengths.pop()) <= MOST_TOKENS:
        raise UsageError(
            f"who holds each token of one row of at most {MOST_TOKENS:,} is to be given, once per layout"
        )
    if cu_seqlens[0] != 0 or cu_seqlens[-1] > tokens or any(a > b for a, b in pairwise(cu_seqlens)):
        raise UsageError(
            f"cu_seqlens {list(cu_seqlens)}: they rise from 0 to at most the row's {tokens} tokens"
        )
    _few_enough(ranks)
    if any(holder.min() < 0 or holder.max() >= ranks for holder in holders.values()):
        raise UsageError(f"a token is held by no rank of {ranks}: they are counted from 0")
    allowed = _allowed(tokens, cu_seqlens)
    work = {
        name: np.bincount(holder, allowed.sum(1), ranks).astype(int)
        for name, holder in holders.items()
    }
    told = {
        name: f"the busiest has {pairs.max() * ranks / max(1, pairs.sum()):.2f} of the mean"
        for name, pairs in work.items()
    }
    counts = {
        name: ", ".join(f"rank {rank} {count}" for rank, count in enumerate(pairs))
        for name, pairs in work.items()
    }
    message = "; ".join(f"{name}: {counts[name]}; {told[name]}" for name in holders)
    alt = f"Pairs of a row of {how_many(tokens, 'token')} on {how_many(ranks, 'rank')}. {message}."
    picture = new_picture((_MAP + 0.7) * len(holders) + 0.6, _MAP + 1.5, alt)
    axes = picture.subplots(1, len(holders), squeeze=False)[0]
    for ax, (name, holder) in zip(axes, holders.items(), strict=True):
        _draw_pairs(ax, holder, ranks, allowed)
        for start, end in pairwise(cu_seqlens):
            frame = Rectangle(
                (start, start), end - start, end - start, fill=False, edgecolor=INK, linewidth=1.0
            )
            frame.set_gid(f"document:{start}:{end}")
            ax.add_patch(frame)
        _number_blocks(ax, holder, ranks, cu_seqlens)
        ax.set_title(f"{drawable(name)}: {told[name]}", pad=20)
        ax.set_xlabel("key (is looked at), token")
    axes[0].set_ylabel("query (looks), token", labelpad=12)
    _rank_legend(picture, ranks)
    return picture


@styled
def draw_ring_steps(work: Mapping[str, Int64[np.ndarray, "W W"]]) -> Figure:
    """Draw a forward pass step by step: whose keys each rank holds, where they go next, and how many pairs it computes.

    A step lasts as long as its busiest rank; the time that others wait for it is hatched.

    Parameters
    ----------
    work : name of a layout → pairs that every rank computes in every step, as `attention.simulate.by_step` orders them

    Raises
    ------
    UsageError
        there is no layout, they are not over the same ranks, or over too many to be read
    """
    shapes = {pairs.shape for pairs in work.values()}
    if len(shapes) != 1:
        raise UsageError(
            "pairs of every rank in every step are to be given, once per layout, over the same ranks"
        )
    ranks = shapes.pop()[0]
    _few_enough(ranks)
    told = {name: pairs.sum() / max(1, ranks * pairs.max(0).sum()) for name, pairs in work.items()}
    said = "; ".join(
        f"{name}: ranks are at work {share:.0%} of the time" for name, share in told.items()
    )
    alt = f"A ring of {how_many(ranks, 'rank')} in {how_many(ranks, 'step')}. {said}."
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
        axes[row, 0].set_ylabel(f"{drawable(name)}\npairs ({told[name]:.0%} at work)")
    for ax in axes[-1]:
        ax.set_xlabel("rank")
    handles = [Rectangle((0, 0), 1, 1, **_IDLE, label="waits for the busiest rank of this step")]
    handles.append(
        Rectangle((0, 0), 1, 1, facecolor=LINE, label="K0: the keys and values of rank 0's tokens")
    )
    picture.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=1.3)
    return picture


def _few_enough(ranks: int) -> None:
    if not 1 <= ranks <= MOST_RANKS:
        raise UsageError(
            f"a ring of {ranks} ranks cannot be read as a picture; draw 1 to {MOST_RANKS}"
        )


def _allowed(tokens: int, cu_seqlens: Sequence[int]) -> np.ndarray:
    """Which pairs of query and key order and documents allow, T T; behind the last document is padding."""
    place = np.arange(tokens)
    document = np.searchsorted(cu_seqlens, place, side="right")
    return (document[:, None] == document) & (place[:, None] >= place) & (place < cu_seqlens[-1])


def _draw_pairs(ax: Axes, holder: Int64[np.ndarray, " T"], ranks: int, allowed: np.ndarray) -> None:
    """The map of pairs, and who holds which token along its edges."""
    tokens = len(holder)
    faded = np.array(
        [[_faded(rank, step, ranks) for step in range(ranks)] for rank in range(ranks)]
    )  # W S 3
    shown = faded[holder[:, None], (holder[:, None] - holder) % ranks]
    shown[~allowed] = _EMPTY
    ax.imshow(shown, extent=(0, tokens, tokens, 0), interpolation="nearest")
    colours = faded[holder, 0]
    band = 0.03 * tokens
    look = {"interpolation": "nearest", "clip_on": False}
    ax.imshow(colours[None], extent=(0, tokens, -0.4 * band, -1.4 * band), **look)
    ax.imshow(colours[:, None], extent=(-1.4 * band, -0.4 * band, tokens, 0), **look)
    ax.set(xlim=(0, tokens), ylim=(tokens, 0))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.locator_params(integer=True)
    ax.tick_params(axis="y", pad=14)


def _faded(rank: int, step: int, ranks: int) -> list[float]:
    """A rank's colour, the paler the later the step, as red, green and blue in [0, 1]."""
    strength = 1 - _PALER * 4 * step / max(4, ranks)
    return [1 - strength * (1 - part / 255) for part in rgb(rank_colour(rank))]


def _number_blocks(
    ax: Axes, holder: Int64[np.ndarray, " T"], ranks: int, cu_seqlens: Sequence[int]
) -> None:
    """Write its step into every block of pairs that has room for it."""
    turns = np.flatnonzero(np.diff(holder)) + 1
    runs = [
        list(pairwise(sorted({start, end, *turns[(turns > start) & (turns < end)].tolist()})))
        for start, end in pairwise(cu_seqlens)
    ]
    for of_document in runs:
        for number, (first, last) in enumerate(of_document):
            for start, end in of_document[: number + 1]:
                itself = start == first
                rank, step = int(holder[first]), int((holder[first] - holder[start]) % ranks)
                points = (
                    min(last - first, end - start)
                    / len(holder)
                    * _MAP
                    * 72
                    * (0.7 if itself else 1)
                )
                if points < 7:
                    continue
                middle = 1 / 3 if itself else 1 / 2  # of a triangle, of a rectangle
                x, y = start + middle * (end - start), last - middle * (last - first)
                look = {
                    "fontsize": min(9.0, 0.85 * points),
                    "color": ink_on(_faded(rank, step, ranks)),
                }
                text = ax.text(x, y, str(step), ha="center", va="center", **look)
                text.set_gid(f"step:{first}:{start}:{rank}:{step}")


def _draw_ring(ax: Axes, ranks: int, step: int) -> None:
    """Ranks on a circle, each with the block of keys that it holds, and arrows along which the blocks go on."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(ranks) / ranks
    x, y = np.cos(angle), np.sin(angle)
    size = 0.26 if ranks < 6 else 0.2
    for rank in range(ranks):
        colour = rank_colour(rank)
        ax.add_patch(Circle((x[rank], y[rank]), size, facecolor=colour, edgecolor="none"))
        message = {"ha": "center", "va": "center", "fontsize": 9 if ranks < 6 else 8}
        ax.text(x[rank], y[rank], f"{rank}", color=_ink(colour), fontweight="bold", **message)
        owner = (rank - step) % ranks
        far = 0.47 if ranks < 6 else 0.56
        block = Rectangle(
            (far * x[rank] - 0.17, far * y[rank] - 0.12), 0.34, 0.24, facecolor=rank_colour(owner)
        )
        block.set_gid(f"holds:{step}:{rank}:{owner}")
        ax.add_patch(block)
        ax.text(
            far * x[rank],
            far * y[rank],
            f"K{owner}",
            color=_ink(rank_colour(owner)),
            **{**message, "fontsize": 7},
        )
        if step < ranks - 1:
            after = (rank + 1) % ranks
            room = (
                size / 2.64 * _WIDTH / max(4, ranks) * 72
            )  # points from the middle of a disc to its edge
            arrow = FancyArrowPatch(
                (x[rank], y[rank]), (x[after], y[after]), connectionstyle=f"arc3,rad={-0.9 / ranks}",
                arrowstyle="-|>", mutation_scale=9, color=FAINT, shrinkA=room, shrinkB=room,
            )  # fmt: skip
            arrow.set_gid(f"goes:{step}:{rank}:{after}")
            ax.add_patch(arrow)
    ax.set(xlim=(-1.32, 1.32), ylim=(-1.32, 1.32), aspect="equal")
    ax.axis("off")


def _draw_work(ax: Axes, name: str, pairs: Int64[np.ndarray, " W"], step: int) -> None:
    """What each rank computes in a step, and how long it waits for the busiest."""
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
    return ink_on(part / 255 for part in rgb(colour))


def _rank_legend(picture: Figure, ranks: int) -> None:
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=rank_colour(rank), label=f"rank {rank}")
        for rank in range(ranks)
    ]
    handles.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=INK, label="a document"))
    picture.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.3
    )
