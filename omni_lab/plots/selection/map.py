"""Map of selective training: accuracy under every rule, by strength of the trainee and wrong words."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT
from omni_lab.plots.style import how_many, new_picture, notice, styled

STANDARD = "standard"
_RULES = {  # colour, mark
    "excess": ("#332288", "o"),
    "lowest excess": ("#CC6677", "s"),
    "lowest reference loss": ("#117733", "^"),
    "excess, λ = 2": ("#88CCEE", "D"),
    "history": ("#DDCC77", "v"),
    "random": ("#999999", "x"),
    "switch": ("#000000", "*"),
}


@styled
def draw_selection_map(record: dict[str, Any]) -> Figure:
    """Gain of every rule over the standard loss, against how strong the trainee is.

    A column for each share of wrong words; in it cells of trainee and reference, with the
    reference's loss on clean captions over that of a trainee of all tokens: above 1 the trainee is
    the stronger. Bars are 95 % intervals over seeds; below, how far the switch lies behind the best
    rule.

    Parameters
    ----------
    record : of the experiment `svlm_map`: `metrics` (`accuracy.<rule>.<cell>`, `strength.<cell>`,
        `switch_behind.<cell>`), and in `details` `cells` by share of wrong words
    """
    cells = (record.get("details") or {}).get("cells", {})
    if not cells:
        return notice("No map of selection has been made.")

    metrics, seeds = record["metrics"], how_many(len(record["seeds"]), "seed")
    told = "; ".join(_winners(metrics, share, names) for share, names in cells.items())
    picture = new_picture(
        11.4, 5.6, f"Gain of rules of selection over the standard loss, {seeds}. {told}."
    )
    grid = picture.add_gridspec(2, len(cells), height_ratios=[3, 1])
    for column, (share, own) in enumerate(cells.items()):
        names = sorted(own, key=lambda cell: metrics[f"strength.{cell}"]["mean"])
        ax = picture.add_subplot(grid[0, column])
        _gains(ax, metrics, names)
        ax.set_title(f"{share} of words wrong", fontsize=9)
        below = picture.add_subplot(grid[1, column], sharex=ax)
        _behind(below, metrics, names)
        if column == 0:
            ax.set_ylabel("accuracy gained over\nthe standard loss")
            below.set_ylabel("switch behind\nthe best rule")
        if column == len(cells) - 1:
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return picture


def strengths(metrics: dict[str, Any], cells: list[str]) -> list[float]:
    """Strength of the trainee in each cell: mean over seeds."""
    return [metrics[f"strength.{cell}"]["mean"] for cell in cells]


def _winners(metrics: dict[str, Any], share: str, cells: list[str]) -> str:
    """Best rule of each cell of a column, in words."""
    best = {
        cell: max(_RULES, key=lambda rule, c=cell: metrics[f"accuracy.{rule}.{c}"]["mean"])
        for cell in cells
    }
    found = ", ".join(
        f"{best[cell]} at {strength:.2g}"
        for strength, cell in sorted(zip(strengths(metrics, cells), cells, strict=True))
    )
    return f"{share} wrong, best by strength: {found}"


def _gains(ax: Axes, metrics: dict[str, Any], cells: list[str]) -> None:
    """Gains of all rules beside each other, cell by cell."""
    for at, (rule, (colour, mark)) in enumerate(_RULES.items()):
        mean, ends = _bars([metrics[f"gain.{rule}.{cell}"] for cell in cells])
        beside = np.arange(len(cells)) + 0.1 * (at - (len(_RULES) - 1) / 2)
        ax.errorbar(
            beside, mean, ends, color=colour, marker=mark, markersize=5 if rule != "switch" else 9,
            linestyle="none", elinewidth=1, label=rule,
        )  # fmt: skip
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.tick_params(labelsize=7, labelbottom=False)


def _bars(found: list[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Means, and how far their intervals reach below and above."""
    mean = np.array([one["mean"] for one in found])
    return mean, np.abs([[one["low"], one["high"]] for one in found] - mean[:, None]).T


def _behind(ax: Axes, metrics: dict[str, Any], cells: list[str]) -> None:
    """How far the switch lies behind the best rule of every cell."""
    mean, ends = _bars([metrics[f"switch_behind.{cell}"] for cell in cells])
    at = np.arange(len(cells))
    ax.errorbar(at, mean, ends, color="#000000", marker="*", markersize=9, linestyle="none")
    ax.axhline(0.01, color=FAINT, linewidth=0.8, linestyle="--")
    ratios = [f"{ratio:.2g}" for ratio in strengths(metrics, cells)]
    names = [cell.partition(",")[0].replace(" beside ", "\n") for cell in cells]
    told = [f"{name}\n{ratio}" for name, ratio in zip(names, ratios, strict=True)]
    ax.set_xticks(at, told, fontsize=7)
    ax.set_xlabel("trainee / reference / ratio of their losses", fontsize=8)
    ax.tick_params(axis="y", labelsize=7)
