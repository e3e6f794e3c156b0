"""A loss, its phases, the facts that it is a sum of, and what the model does on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.analysis.phases import plateau_span
from omni_lab.plots.evaluation.facts import in_words
from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import how_many, logarithmic, new_picture, notice, styled

_FACTS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77",
    "#CC6677", "#882255", "#AA4499", "#6B6ECF", "#8C6D31", "#17838F",
)  # fmt: skip


@styled
def draw_plateaus(record: dict[str, Any]) -> Figure:
    """Total loss with its phases, loss of every fact, and watched figures, a column for each arm.

    Thin lines are seeds, thick ones the broken line that was fitted; a plateau is shaded. Facts are
    of the first seed. Below: how much more often than the truth an answer repeats the one before,
    the mean cosine of hidden states, and the attention of text to image and audio.

    Parameters
    ----------
    record : of the experiment O12: in `details`, `runs` (each `arm`, `seed`, `verdict`, `stretch`
        with its `fit`, `curves` of facts, `watched`)
    """
    runs = (record.get("details") or {}).get("runs") or []
    arms = list(dict.fromkeys(run["arm"] for run in runs))
    if not arms:
        return notice("No run of this experiment is recorded.")

    by_arm = {arm: [run for run in runs if run["arm"] == arm] for arm in arms}
    described = "; ".join(
        f"{arm}: " + ", ".join(run["verdict"] for run in own) for arm, own in by_arm.items()
    )
    picture = new_picture(
        4.7 * len(arms) + 1.3, 8.2, f"Phases of the total loss, by seed. {described}."
    )
    grid = {"height_ratios": [3, 3, 1.6, 1.6]}
    axes = picture.subplots(4, len(arms), sharex="col", squeeze=False, gridspec_kw=grid)
    for column, (arm, own) in enumerate(by_arm.items()):
        top, middle, low, last = axes[:, column]
        _totals(top, own)
        top.set_title(f"{arm} · {how_many(len(own), 'seed')}")
        _facts(middle, own[0])
        _figures(low, own)
        _attention(last, own)
        last.set_xlabel("step")
        for run in own[:1]:
            _shade((middle, low, last), run)

    for row, label in enumerate((
        "total loss\n(nats per token)", "loss of facts\n(nats per token)", "on unseen clips",
        "attention of text",
    )):  # fmt: skip
        axes[row, 0].set_ylabel(label)
    axes[1, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
    axes[2, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
    axes[3, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7.5)
    return picture


def _shade(axes: tuple[Axes, ...], run: dict[str, Any]) -> None:
    if place := plateau_span(run["stretch"]):
        for ax in axes:
            ax.axvspan(*place, color=LINE, alpha=0.35, linewidth=0, zorder=0)


def _totals(ax: Axes, runs: list[dict[str, Any]]) -> None:
    """Total loss of every seed, and the line fitted to it."""
    for run in runs:
        fit = run["stretch"].get("fit")
        if not fit:
            continue
        ax.plot(_at(fit["steps"]), fit["observed"], color=FAINT, alpha=0.45, linewidth=0.8)
        ax.plot(_at(fit["steps"]), fit["fitted"], color=INK, alpha=0.75, linewidth=1.3)
        if place := plateau_span(run["stretch"]):
            ax.axvspan(*place, color=LINE, alpha=0.5 / len(runs), linewidth=0, zorder=0)
    logarithmic(ax, both=True)


def _facts(ax: Axes, run: dict[str, Any]) -> None:
    """Loss of every fact of one run, each with a colour of its own."""
    curves = run["curves"]
    names = [name for name in curves if name.startswith("facts.")]
    for name, colour in zip(names, _FACTS, strict=False):
        points = [
            (x, y) for x, y in zip(curves["step"], curves[name], strict=True) if y and y > 1e-3
        ]
        if points:
            x, y = zip(*points, strict=True)
            label = in_words(name.removeprefix("facts."))
            ax.plot(_at(x), y, color=colour, linewidth=1.2, label=label)
    logarithmic(ax, both=True)


def _figures(ax: Axes, runs: list[dict[str, Any]]) -> None:
    """Repetition and similarity of states, seed by seed."""
    looks = {
        "repeated": ("#882255", "answers repeated"),
        "parallel": ("#8C6D31", "states parallel"),
    }
    for number, run in enumerate(runs):
        for name, (colour, label) in looks.items():
            steps = [row["step"] for row in run["watched"]]
            values = [row[name] for row in run["watched"]]
            ax.plot(steps, values, color=colour, alpha=0.6, linewidth=1,
                    label="" if number else label)  # fmt: skip
    ax.axhline(0, color=LINE, linewidth=0.8)
    ax.grid(axis="y")


def _attention(ax: Axes, runs: list[dict[str, Any]]) -> None:
    """Attention of text to image and audio, mean over layers, seed by seed."""
    for number, run in enumerate(runs):
        for modality in ("image", "audio"):
            keys = [k for k in (run["watched"] or [{}])[0] if k.startswith(f"mass.{modality}.")]
            values = [np.mean([row[key] for key in keys]) for row in run["watched"]]
            steps = [row["step"] for row in run["watched"]]
            ax.plot(steps, values, color=MODALITY_COLOURS[modality], alpha=0.6, linewidth=1,
                    label="" if number else f"to {modality}")  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.grid(axis="y")


def _at(steps: Any) -> np.ndarray:
    """Steps from 1, for a logarithmic axis."""
    return np.asarray(steps, np.float64) + 1
