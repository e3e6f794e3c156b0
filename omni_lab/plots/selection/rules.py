"""Rules of selective training beside each other: accuracy, what was kept by type, and the score's sign."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.selection.captions import TYPE_COLOURS, TYPE_NAMES
from omni_lab.plots.style import how_many, new_picture, notice, styled

_SCORES = {
    "excess": ("#332288", "−(L − L_ref)"),
    "reference": ("#117733", "L_ref"),
    "loss": ("#DDCC77", "L"),
}
_BASELINES = {"reference": ":", "clean alone": "--"}


@styled
def draw_selections(record: dict[str, Any]) -> Figure:
    """Accuracy on clean captions under every rule, a column for each set of captions.

    A dot is a seed, a bar the 95 % interval. Below: which types of words excess loss kept, over
    training; and how well losses tell a wrong word from a right one (area under the ROC curve):
    where the line of −(L − L_ref) falls below one half, the sign of excess loss has turned.

    Parameters
    ----------
    record : of the experiment `svlm`: `metrics` (`accuracy.<arm>.<set>`), and in `details` `arms`,
        `sets`, `kept` and `looked` (by `<arm>|<set>`, a list with an entry for each seed)
    """
    details, metrics = record.get("details") or {}, record.get("metrics") or {}
    sets, arms = details.get("sets", []), details.get("arms", [])
    if not sets or f"accuracy.{arms[0]}.{sets[0]}" not in metrics:
        return notice("No rule of selection has been run.")

    described = "; ".join(
        f"{name}: excess {metrics[f'accuracy.excess.{name}']['mean']:.3f}, standard "
        f"{metrics[f'accuracy.standard.{name}']['mean']:.3f}"
        for name in sets
    )
    picture = new_picture(
        10.4, 0.21 * len(arms) + 4.4,
        f"Accuracy of captions' words, {how_many(len(record['seeds']), 'seed')}. {described}.",
    )  # fmt: skip
    grid = picture.add_gridspec(3, len(sets), height_ratios=[0.21 * len(arms), 1.25, 1.25])
    for column, name in enumerate(sets):
        ax = picture.add_subplot(grid[0, column])
        _accuracy(ax, arms, metrics, name)
        ax.set_title(name, fontsize=9)
        ax.tick_params(labelleft=column == 0)
        below = picture.add_subplot(grid[1, column])
        _kept(below, details["kept"].get(f"excess|{name}", []))
        last = picture.add_subplot(grid[2, column])
        _signs(last, details["looked"].get(f"excess|{name}", []))
        if column == 0:
            below.set_ylabel("kept by excess loss")
            last.set_ylabel("AUC, wrong words")
        if column == len(sets) - 1:
            for side in (below, last):
                side.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return picture


def _accuracy(ax: Axes, arms: list[str], metrics: dict[str, Any], name: str) -> None:
    """Accuracy of every arm on one set, with the baselines as lines."""
    for baseline, dashes in _BASELINES.items():
        if score := metrics.get(f"accuracy.{baseline}"):
            ax.axvline(score["mean"], color=FAINT, linestyle=dashes, linewidth=1)
    for row, arm in enumerate(arms):
        score = metrics[f"accuracy.{arm}.{name}"]
        ax.plot([score["low"], min(1, score["high"])], [row, row], color=LINE, linewidth=4)
        ax.plot(score["seeds"], [row] * len(score["seeds"]), "o", color=INK, markersize=2.5)
        ax.plot([score["mean"]], [row], "|", color=INK, markersize=8, markeredgewidth=1.4)
    ax.set_yticks(range(len(arms)), arms, fontsize=7.5)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.set_xlabel("accuracy, unseen pictures", fontsize=8)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=7)
    ax.locator_params(axis="x", nbins=4)


def _kept(ax: Axes, runs: list[dict[str, list[float]]]) -> None:
    """Fraction of words of every type that was kept, over training: mean over seeds."""
    for number, colour in TYPE_COLOURS.items():
        kind, label = f"type_{number}", TYPE_NAMES[number]
        curves = [run[kind] for run in runs if kind in run]
        if curves:
            places = (np.arange(len(curves[0])) + 0.5) / len(curves[0])
            ax.plot(places, np.nanmean(curves, axis=0), color=colour, label=label)
    ax.set(xlim=(0, 1), ylim=(-0.03, 1.03), xlabel="fraction of training")
    ax.tick_params(labelsize=7)


def _signs(ax: Axes, runs: list[list[dict[str, float]]]) -> None:
    """How well losses tell wrong words, over training: mean over seeds."""
    ax.axhline(0.5, color=FAINT, linewidth=0.8)
    steps = np.array([look["step"] for look in runs[0]] if runs else [])
    for score, (colour, label) in _SCORES.items():
        if len(steps):
            curve = np.mean([[look[score] for look in looks] for looks in runs], axis=0)
            ax.plot(steps / steps[-1], curve, color=colour, label=label)
    ax.set(xlim=(0, 1), ylim=(-0.03, 1.03), xlabel="fraction of training")
    ax.tick_params(labelsize=7)
