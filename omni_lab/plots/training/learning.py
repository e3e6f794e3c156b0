"""Learning over tokens: what each way of training has lost after as many tokens, whatever the length of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import (
    drawable,
    how_many,
    in_few_letters,
    new_picture,
    said_instead,
    styled,
)

# of the arms in their order, none of them a modality's; the dashes tell them apart without colour
_LOOKS = ((INK, "-"), ("#882255", "-"), ("#B8860B", (0, (4, 1.5))), ("#88CCEE", (0, (1.5, 1))))
_LEAST = 1e-4  # nats: what is lost below is drawn here, as a logarithm has no 0
_LETTER = 0.011  # of the picture's width, more than any letter of a stage's name takes


@styled
def draw_learning(
    curves: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
    stages: Sequence[Mapping[str, Any]],
    guesses: int | None = None,
) -> Figure:
    """Draw the loss of every arm over the tokens that it has learned from, with the stages of those that grow.

    A faint line is a seed, a strong one the geometric mean over seeds. Rows of other lengths hold other questions, so
    a loss may jump where a stage begins.

    Parameters
    ----------
    curves : arm → one record per seed: `tokens` learned from so far, rising, and the `loss` there, nats per token
    stages : of the arms that grow, in order, each with `length` (of a row) and `tokens` (learned from in this stage)
    guesses : how many answers an even guess has to choose from; draws what it loses
    """
    shown = {
        arm: [_Curve(seed) for seed in seeds if len(seed["tokens"])]
        for arm, seeds in curves.items()
    }
    shown = {arm: seeds for arm, seeds in shown.items() if seeds}
    if not shown:
        return said_instead("No losses are recorded.")
    said = "; ".join(
        f"{arm}, {how_many(len(seeds), 'seed')}: from {_range([s.loss[0] for s in seeds])} "
        f"to {_range([s.loss[-1] for s in seeds])}"
        for arm, seeds in shown.items()
    )
    picture = new_picture(
        8.4, 3.7, f"Loss in nats per answer token over tokens learned from. {said}."
    )
    ax = picture.subplots()
    for number, (arm, seeds) in enumerate(shown.items()):
        colour, dashes = _LOOKS[number % len(_LOOKS)]
        for seed in seeds if len(seeds) > 1 else []:
            ax.plot(seed.tokens, seed.loss, color=colour, alpha=0.3, linewidth=0.8)
        tokens, loss = _mean(seeds)
        ax.plot(
            tokens,
            loss,
            color=colour,
            linestyle=dashes,
            linewidth=1.8,
            label=drawable(arm),
            gid=f"arm-{arm}",
        )
    if guesses:
        ax.axhline(math.log(guesses), color=FAINT, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
        ax.annotate(
            f"even guess among {guesses}", (1, math.log(guesses)), (0, 2), xycoords=ax.get_yaxis_transform(),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color=FAINT,
        )  # fmt: skip
    ends = [seed.tokens[-1] for seeds in shown.values() for seed in seeds]
    ax.set(
        yscale="log",
        xlabel="tokens learned from",
        ylabel="loss (nats per answer token)",
        xlim=(0, max(ends)),
    )
    _mark_stages(ax, stages, max(ends))
    low, high = ax.get_ylim()
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())
    ax.xaxis.set_major_formatter(lambda tokens, _: in_few_letters(tokens, " "))
    ax.grid(axis="y")
    picture.legend(loc="outside right upper", title="way of training", title_fontsize=8)
    return picture


class _Curve:
    """One seed's losses, none so small that a logarithm could not show it."""

    def __init__(self, record: Mapping[str, Sequence[float]]) -> None:
        self.tokens = np.array(record["tokens"], np.float64)
        self.loss = np.maximum(np.array(record["loss"], np.float64), _LEAST)


def _mean(
    seeds: Sequence[_Curve],
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Geometric mean over seeds, at the points of the first, as far as all of them reach."""
    tokens = seeds[0].tokens
    tokens = tokens[tokens <= min(seed.tokens[-1] for seed in seeds)]
    logs = [np.interp(tokens, seed.tokens, np.log(seed.loss)) for seed in seeds]
    return tokens, np.exp(np.mean(logs, axis=0))


def _mark_stages(ax: Axes, stages: Sequence[Mapping[str, Any]], end: float) -> None:
    """A line where each stage begins, and over the picture how long its rows are, higher where there is no room."""
    filled: list[float] = []  # of every level, to where it is written on
    for stage, first in zip(
        stages, accumulate((stage["tokens"] for stage in stages), initial=0), strict=False
    ):
        if first >= end:
            break
        if first:
            ax.axvline(first, color=LINE, linewidth=1, zorder=0)
        message = f"{stage['length']:,}" if first else f"rows of {stage['length']:,}"
        level = next((number for number, right in enumerate(filled) if right <= first), len(filled))
        filled[level : level + 1] = [first + _LETTER * end * (len(message) + 1)]
        ax.annotate(
            message, (first, 1), (2, 2 + 10 * level), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="left", va="bottom", fontsize=8, color=FAINT, gid=f"stage-{stage['length']}",
        )  # fmt: skip


def _range(losses: Sequence[float]) -> str:
    low, high = (f"{value:.2g}" for value in (min(losses), max(losses)))
    return low if low == high else f"{low}–{high}"
