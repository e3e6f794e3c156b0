"""Learning curves over tokens: loss of curriculum and baseline arms at equal token counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import (
    drawable,
    how_many,
    in_few_letters,
    logarithmic,
    new_picture,
    notice,
    styled,
)

# colour and dashes of the arms in order; no modality's colour, and distinct without colour too
_LOOKS = ((INK, "-"), ("#882255", "-"), ("#B8860B", (0, (4, 1.5))), ("#88CCEE", (0, (1.5, 1))))
_LEAST = 1e-4  # nats: smaller losses are drawn here, because a logarithmic axis has no 0
_LETTER = 0.011  # fraction of the axis width: upper bound for a letter of a stage's name


@styled
def draw_learning(
    curves: Mapping[str, Sequence[Mapping[str, Sequence[float]]]],
    stages: Sequence[Mapping[str, Any]],
    guesses: int | None = None,
) -> Figure:
    """Loss of every arm over the tokens trained on, with the stages of the growing-context arms.

    A faint line is a seed, a strong one the geometric mean over seeds. Rows of different lengths
    hold different questions, so the loss may jump where a stage begins.

    Parameters
    ----------
    curves : arm → one record per seed: `tokens` trained on so far, rising, and the `loss` there
        (nats per token)
    stages : stages of the growing arms in order, each with `length` (tokens of a row) and `tokens`
        (trained on in this stage)
    guesses : number of equally likely answers; draws the loss of a uniform guess, ln(guesses)
    """
    shown = {
        arm: [_Curve(seed) for seed in seeds if len(seed["tokens"])]
        for arm, seeds in curves.items()
    }
    shown = {arm: seeds for arm, seeds in shown.items() if seeds}
    if not shown:
        return notice("No losses are recorded.")

    described = "; ".join(
        f"{arm}, {how_many(len(seeds), 'seed')}: from {_range([s.loss[0] for s in seeds])} "
        f"to {_range([s.loss[-1] for s in seeds])}"
        for arm, seeds in shown.items()
    )
    picture = new_picture(
        8.4, 3.7, f"Loss in nats per answer token over tokens trained on. {described}."
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
        _draw_chance(ax, guesses)

    ends = [seed.tokens[-1] for seeds in shown.values() for seed in seeds]
    ax.set(
        yscale="log",
        xlabel="tokens trained on",
        ylabel="loss (nats per answer token)",
        xlim=(0, max(ends)),
    )
    _mark_stages(ax, stages, max(ends))

    logarithmic(ax)
    ax.xaxis.set_major_formatter(lambda tokens, _: in_few_letters(tokens, " "))
    picture.legend(loc="outside right upper", title="training arm", title_fontsize=8)
    return picture


def _draw_chance(ax: Axes, guesses: int) -> None:
    """Chance level: the loss of a uniform guess, as a dashed line with its label."""
    chance = math.log(guesses)
    ax.axhline(chance, color=FAINT, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
    ax.annotate(
        f"chance, 1 of {guesses}", (1, chance), (0, 2), xycoords=ax.get_yaxis_transform(),
        textcoords="offset points", ha="right", va="bottom", fontsize=8, color=FAINT,
    )  # fmt: skip


class _Curve:
    """Loss curve of one seed, clipped from below for a logarithmic axis."""

    def __init__(self, record: Mapping[str, Sequence[float]]) -> None:
        self.tokens = np.array(record["tokens"], np.float64)
        self.loss = np.maximum(np.array(record["loss"], np.float64), _LEAST)


def _mean(
    seeds: Sequence[_Curve],
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Geometric mean over seeds at the first seed's points, up to the end of the shortest curve."""
    tokens = seeds[0].tokens
    tokens = tokens[tokens <= min(seed.tokens[-1] for seed in seeds)]
    logs = [np.interp(tokens, seed.tokens, np.log(seed.loss)) for seed in seeds]
    return tokens, np.exp(np.mean(logs, axis=0))


def _mark_stages(ax: Axes, stages: Sequence[Mapping[str, Any]], end: float) -> None:
    """Line at the start of each stage, and its row length above the axis, stacked where narrow."""
    filled: list[float] = []  # right end of the text on every level
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
            message, (first, 1), (2, 2 + 10 * level), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="left", va="bottom", fontsize=8, color=FAINT,
            gid=f"stage-{stage['length']}",
        )  # fmt: skip


def _range(losses: Sequence[float]) -> str:
    """Range of losses over seeds with two digits, one number where both ends agree."""
    low, high = (f"{value:.2g}" for value in (min(losses), max(losses)))
    return low if low == high else f"{low}–{high}"
