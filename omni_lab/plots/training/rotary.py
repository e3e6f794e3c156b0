"""Rotary position embedding (RoPE) over the stages of a growing context: full turns per pair.

Glossary: K head width · θ RoPE base.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK
from omni_lab.plots.style import in_few_letters, new_picture, notice, styled


@styled
def draw_turns(head_dim: int, stages: Sequence[dict[str, Any]]) -> Figure:
    """RoPE turns per rotary pair over a row of every stage, and over the last row with the first θ.

    Below the line a pair never completes a turn. With an unchanged θ, pairs that never completed a
    turn in short rows do so in long ones, and meet angles not seen in training.

    Parameters
    ----------
    head_dim : head width K; a head has K / 2 rotary pairs
    stages : in order, each with `length` (tokens of a row) and `theta` (RoPE base)
    """
    if not stages:
        return notice("No stage of growing context is recorded.")

    pairs = np.arange(head_dim // 2)
    last = stages[-1]["length"]
    turned = [_turns(pairs, head_dim, stage["theta"], stage["length"]) for stage in stages]
    counts = "; ".join(
        f"{stage['length']:,} tokens, θ {stage['theta']:,.0f}: "
        f"{int((turns >= 1).sum())} of {len(pairs)}"
        for stage, turns in zip(stages, turned, strict=True)
    )

    picture = new_picture(7.2, 3.9, f"Rotary pairs that complete a turn within a row. {counts}.")
    ax = picture.subplots()
    shades = colormaps["viridis"](np.linspace(0.85, 0.0, len(stages)))
    for stage, turns, shade in zip(stages, turned, shades, strict=True):
        label = f"{stage['length']:,} · θ {in_few_letters(stage['theta'])}"
        ax.plot(pairs, turns, color=shade, marker="o", markersize=3, linewidth=1.4, label=label)
    if len(stages) > 1:  # the counterfactual: the same length, had θ not been raised
        fixed = _turns(pairs, head_dim, stages[0]["theta"], last)
        label = f"{last:,} · θ {in_few_letters(stages[0]['theta'])}, not raised"
        ax.plot(pairs, fixed, color=FAINT, linestyle=(0, (3, 2)), linewidth=1.4, label=label)

    ax.axhline(1, color=INK, linewidth=1)
    ax.text(pairs[-1], 1.15, "one turn", ha="right", va="bottom", fontsize=8, color=INK)
    ax.set(yscale="log", xlabel="rotary pair, fastest first", ylabel="full turns within a row")
    ax.set_xticks(pairs[:: max(1, len(pairs) // 16)])
    ax.grid(axis="y")
    picture.legend(loc="outside right upper", title="row (tokens) · RoPE base", title_fontsize=8)
    return picture


def _turns(pairs: np.ndarray, head_dim: int, theta: float, length: int) -> np.ndarray:
    """Full turns of each rotary pair over a row: length / (2π θ^(2·pair/K))."""
    return length / (2 * np.pi * theta ** (2 * pairs / head_dim))
