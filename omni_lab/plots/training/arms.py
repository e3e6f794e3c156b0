"""Arms of an experiment beside each other: training loss, and accuracy by the sense that carries a fact."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import how_many, logarithmic, new_picture, notice, shortened, styled

_ARMS = ("#332288", "#88CCEE", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499")
_AGAINST = "against plain"
_GROUPS = {
    "": "all facts", _AGAINST: "all, minus plain", ".image": "seen", ".audio": "heard",
    ".both": "seen and heard",
}  # fmt: skip
_COLOURS = {
    "": INK, _AGAINST: INK, ".image": MODALITY_COLOURS["image"], ".audio": MODALITY_COLOURS["audio"],
    ".both": "#CC79A7",
}  # fmt: skip


@styled
def draw_arms(record: dict[str, Any]) -> Figure:
    """Training loss on answers of every arm, and its mean accuracy on unseen scenes with 95 % intervals.

    A dot is a seed, a bar the interval over seeds. Seeds differ more than arms do, so that arms are
    compared seed by seed: what is left of each when the plain arm of its seed is taken off. Facts
    are grouped by the sense that carries them; all arms have the same axes.

    Parameters
    ----------
    record : of an experiment of arms: `metrics` (`<arm>.mean.accuracy<group>`), and in `details`
        `arms` and `curves` (per arm and seed, `step` and `stream`); differences from the plain
        arm, `against_plain.<arm>` or `gain.<arm>`, where there is one
    """
    details, metrics = record.get("details") or {}, record.get("metrics") or {}
    arms = [arm for arm in details.get("arms", {}) if f"{arm}.mean.accuracy" in metrics]
    if not arms:
        return notice("No arm of this experiment has been run.")

    described = "; ".join(f"{arm} {metrics[f'{arm}.mean.accuracy']['mean']:.3f}" for arm in arms)
    seeds = how_many(len(record.get("seeds") or []), "seed")
    picture = new_picture(
        10.4, 0.32 * len(arms) + 2.1,
        f"Mean accuracy over facts, {seeds}: {described}. Claim: {record.get('claim', '')}.",
    )  # fmt: skip
    shown = {g: t for g, t in _GROUPS.items() if any(_scores(arm, metrics, g) for arm in arms)}
    grid = picture.add_gridspec(1, 1 + len(shown), width_ratios=[1.6, *[1] * len(shown)])
    _losses(picture.add_subplot(grid[0]), arms, details.get("curves", {}))

    first = None
    for column, (group, title) in enumerate(shown.items(), 1):
        ax = picture.add_subplot(grid[column], sharey=first)
        _dots(ax, arms, metrics, group)
        ax.set_title(title, fontsize=9)
        if first is None:
            ax.set_yticks(range(len(arms)), [shortened(arm, 34) for arm in arms], fontsize=8)
            for label, colour in zip(ax.get_yticklabels(), _colours(arms), strict=True):
                label.set_color(colour)
                label.set_fontweight("bold")
            first = ax
        else:
            ax.tick_params(labelleft=False)
    first.set_ylim(len(arms) - 0.5, -0.5)
    picture.supxlabel(
        f"mean accuracy on unseen scenes, {seeds}, 95 % intervals", fontsize=8, x=0.68
    )
    return picture


def _colours(arms: list[str]) -> list[str]:
    return [_ARMS[number % len(_ARMS)] for number in range(len(arms))]


def _losses(ax: Axes, arms: list[str], curves: dict[str, list[dict]]) -> None:
    """Loss on answers over steps: a faint line for each seed, a strong one for their mean."""
    for arm, colour in zip(arms, _colours(arms), strict=True):
        runs = [run for run in curves.get(arm, []) if run.get("stream")]
        for run in runs:
            ax.plot(run["step"], run["stream"], color=colour, alpha=0.22, linewidth=0.7)
        if runs and len({len(run["stream"]) for run in runs}) == 1:
            mean = np.exp(np.mean([np.log(run["stream"]) for run in runs], axis=0))
            ax.plot(runs[0]["step"], mean, color=colour, linewidth=1.5)
    ax.set(xlabel="step of the omni stage", ylabel="loss on answers (nats per token)")
    logarithmic(ax)


def _dots(ax: Axes, arms: list[str], metrics: dict[str, Any], group: str) -> None:
    """Accuracy of every arm: dots for seeds, a bar for the interval, a mark for the mean."""
    colour = _COLOURS[group]
    for row, arm in enumerate(arms):
        if not (score := _scores(arm, metrics, group)):
            continue
        low, high = score["low"], score["high"]
        if group != _AGAINST:
            low, high = max(0, low), min(1, high)
        ax.plot([low, high], [row, row], color=LINE, linewidth=5)
        ax.plot(score["seeds"], [row] * len(score["seeds"]), "o", color=colour, markersize=3.2)
        ax.plot([score["mean"]], [row], "|", color=colour, markersize=11, markeredgewidth=1.6)
    if group == _AGAINST:
        ax.axvline(0, color=FAINT, linewidth=0.9)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    ax.tick_params(colors=FAINT, labelcolor=INK, labelsize=7)
    ax.locator_params(axis="x", nbins=3)


def _scores(arm: str, metrics: dict[str, Any], group: str) -> dict[str, Any] | None:
    """Accuracy of an arm on a group of facts, or what it has beyond the plain one."""
    if group == _AGAINST:
        return metrics.get(f"against_plain.{arm}") or metrics.get(f"gain.{arm}")
    return metrics[f"{arm}.mean.accuracy{group}"]
