"""Rotary pairs as clocks: the angles that short rows have shown, and those that a longer row adds.

Glossary: K head width · θ RoPE base.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import drawable, in_few_letters, new_picture, notice, styled

_NEW = MODALITY_COLOURS["speech"]  # orange: what no short row has shown
_ROW = 8  # clocks side by side


@styled
def draw_clocks(head_dim: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> Figure:
    """Clock of every rotary pair: dark the angles of rows before, orange those that rows now add.

    Parameters
    ----------
    head_dim : head width K; a head has K / 2 rotary pairs
    before, now : `length` (tokens of a row), `theta` (RoPE base) and, where positions are divided,
        `factor`
    """
    picture = new_picture(7.2, 0.6 + 1.1 * math.ceil(head_dim / 2 / _ROW), "")
    ax = picture.subplots()
    new = _clocks(ax, head_dim, before, now)
    picture.alt = (
        f"{new} of {head_dim // 2} pairs meet new angles in rows of {now['length']:,} tokens, "
        f"{_setting(now)}, after rows of {before['length']:,}, {_setting(before)}."
    )
    ax.set_title(
        f"rows of {now['length']:,} with {_setting(now)}, after rows of {before['length']:,} with "
        f"{_setting(before)}\n{new} of {head_dim // 2} pairs meet new angles"
    )
    return picture


@styled
def draw_ways(
    head_dim: int, before: Mapping[str, Any], ways: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """Ways to a longer row side by side: the clocks, and how alike equal tokens are over distance.

    The curve is the product of a query and a key that are all ones, in shares of that at distance
    0; the dot marks a token and its neighbour.

    Parameters
    ----------
    head_dim : head width K; a head has K / 2 rotary pairs
    before : `length` and `theta` of the rows that were trained on
    ways : name → `length`, `theta` and `factor` of the longer rows, as in `draw_clocks`
    """
    if not ways:
        return notice("No way to a longer row is given.")
    pairs, said = head_dim // 2, []
    rows = math.ceil(pairs / _ROW)
    picture = new_picture(max(4.2, 3.2 * len(ways)), 3.4 + 0.6 * rows, "")
    grid = picture.subplots(
        2, len(ways), squeeze=False, sharey="row", height_ratios=[0.4 * rows, 2]
    )

    for (above, below), (name, now) in zip(grid.T, ways.items(), strict=True):
        new = _clocks(above, head_dim, before, now)
        above.set_title(
            f"{drawable(name)}\n{_setting(now)}\n{new} of {pairs} pairs meet new angles", fontsize=9
        )
        distance = np.unique(np.geomspace(1, max(2, now["length"] - 1), 400).astype(int))
        near = _alike(head_dim, now, np.array([1]))[0]
        below.axhline(0, color=LINE, linewidth=0.8)
        below.plot(distance, _alike(head_dim, now, distance), color=INK, linewidth=1.2)
        below.plot(1, near, "o", color=_NEW, clip_on=False, gid=f"neighbour-{name}")
        below.annotate(
            f"next to it {near:.2f}", (1, near), (0, 6), textcoords="offset points", fontsize=8
        )
        below.set(xscale="log", xlabel="distance, tokens", ylim=(-0.6, 1.25))
        said.append(f"{name}: {new} pairs meet new angles, likeness to the neighbour {near:.2f}")
    grid[1, 0].set_ylabel("product, 1 at distance 0")
    picture.alt = f"Clocks of all pairs, and product over distance. {'; '.join(said)}."
    return picture


def _clocks(ax: Axes, head_dim: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> int:
    """Clocks of all pairs; how many of them meet new angles."""
    known, later = _turns(head_dim, before), _turns(head_dim, now)
    count = 0
    for pair, (short, long) in enumerate(zip(known, later, strict=True)):
        x, y = pair % _ROW, -1.3 * (pair // _ROW)
        ax.add_patch(Wedge((x, y), 0.42, 0, 360, facecolor="white", edgecolor=LINE, linewidth=0.8))
        ax.add_patch(Wedge((x, y), 0.42, 90 - 360 * min(short, 1), 90, facecolor=INK))
        if short < 1 and long > short * (1 + 1e-9):
            count += 1
            ends = 90 - 360 * min(long, 1), 90 - 360 * short
            ax.add_patch(Wedge((x, y), 0.42, *ends, facecolor=_NEW, gid=f"new-{pair}"))
        ax.text(x, y - 0.46, pair, ha="center", va="top", fontsize=6.5, color=FAINT)
    bottom = -1.3 * ((len(known) - 1) // _ROW) - 0.85
    ax.set(xlim=(-0.6, _ROW - 0.4), ylim=(bottom, 0.5), aspect="equal")
    ax.axis("off")
    return count


def _speeds(head_dim: int, row: Mapping[str, Any]) -> Float[np.ndarray, " pairs"]:
    """Radians per token of every pair."""
    return row["theta"] ** (-np.arange(0, head_dim, 2) / head_dim) / row.get("factor", 1)


def _turns(head_dim: int, row: Mapping[str, Any]) -> Float[np.ndarray, " pairs"]:
    return row["length"] * _speeds(head_dim, row) / (2 * np.pi)


def _alike(
    head_dim: int, row: Mapping[str, Any], distance: Shaped[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Product of a query and a key that are all ones, over distance, in shares of that at 0."""
    return np.cos(np.multiply.outer(distance, _speeds(head_dim, row))).mean(-1)


def _setting(row: Mapping[str, Any]) -> str:
    """Base, and what positions are divided by, in words."""
    factor = row.get("factor", 1)
    return f"θ {in_few_letters(row['theta'])}" + (f", positions / {factor:g}" if factor > 1 else "")
