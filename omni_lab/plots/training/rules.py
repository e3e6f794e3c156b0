"""Rules of a stage over its steps: schedules and weights, balance of modalities, gradient norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, notice, styled

_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
_LINES = ("#332288", "#CC6677", "#117733", "#882255", "#999933")
_PARTS = {
    "image": MODALITY_COLOURS["image"], "audio": MODALITY_COLOURS["audio"],
    "decoder": MODALITY_COLOURS["text"], "connector": "#56B4E9", "align": "#B8860B",
}  # fmt: skip


@styled
def draw_schedules(
    panels: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str = "factor of the learning rate"
) -> Figure:
    """Curves over the steps of a stage, a panel for each group: schedules, or weights of losses.

    Parameters
    ----------
    panels : title → name of a curve → its value at every step
    """
    described = "; ".join(f"{title}: {', '.join(curves)}" for title, curves in panels.items())
    picture = new_picture(3.3 * len(panels) + 0.5, 2.7, f"{ylabel} over steps. {described}.")
    axes = picture.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        for number, (name, values) in enumerate(curves.items()):
            ax.plot(
                values, label=name, color=_LINES[number % len(_LINES)],
                linestyle=_STYLES[number % len(_STYLES)], linewidth=1.7,
            )  # fmt: skip
        ax.set_title(title)
        ax.set_xlabel("step")
        ax.set_ylim(bottom=0)
        ax.grid(axis="y")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=3, fontsize=7.5)
    axes[0].set_ylabel(ylabel)
    return picture


@styled
def draw_balance(
    rests: Mapping[str, Sequence[float]],
    factors: Mapping[str, Sequence[float]],
    title: str = "",
) -> Figure:
    """Balance of modalities: what is left of each one's loss, and the factor that it is given.

    Parameters
    ----------
    rests : modality → running mean of its loss at every step, as a fraction of that at first
    factors : modality → what its rate, or its loss, is multiplied by at every step
    """
    if not rests:
        return notice("No loss of a modality is recorded.")
    ends = "; ".join(
        f"{name}: {values[-1]:.2f} left, factor {factors[name][-1]:.2f}"
        for name, values in rests.items()
    )
    picture = new_picture(
        7.6, 2.9, f"Balance of modalities over a stage, {title}. At its end: {ends}."
    )
    left, right = picture.subplots(1, 2)
    for name, values in rests.items():
        colour = MODALITY_COLOURS.get(name, INK)
        left.plot(values, color=colour, linewidth=1.6, label=name)
        right.plot(factors[name], color=colour, linewidth=1.6, drawstyle="steps-post")
    left.set(xlabel="step", ylabel="loss, of that at first", ylim=(0, None))
    right.set(xlabel="step", ylabel="factor", yscale="log")
    right.axhline(1, color=FAINT, linewidth=0.8, zorder=0)
    low, high = right.get_ylim()
    right.set_ylim(min(low, 0.45), max(high, 2.2))
    right.yaxis.set_major_locator(_fixed([0.1, 0.25, 0.5, 1, 2, 4]))
    right.yaxis.set_minor_locator(_fixed([]))
    right.yaxis.set_major_formatter("{x:g}")
    for ax in (left, right):
        ax.grid(axis="y")
    if title:
        right.set_title(title)
    picture.legend(loc="outside lower center", ncols=len(rests))
    return picture


@styled
def draw_norms(records: Sequence[dict[str, Any]]) -> Figure:
    """Gradient norm of every part over steps, before clipping, with its threshold as a dashed line.

    Parameters
    ----------
    records : of every step `grad_norm` (part → norm), and `clip` (part → threshold) where the
        rule has thresholds by part
    """
    parts = [part for part in _PARTS if any(part in r.get("grad_norm", {}) for r in records)]
    if not parts:
        return notice("No gradient norm is recorded.")
    described = "; ".join(f"{part}: at most {_most(records, part):.3g}" for part in parts)
    picture = new_picture(
        2.15 * len(parts) + 0.7, 2.7, f"Gradient norms before clipping. {described}."
    )
    axes = picture.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for ax, part in zip(axes, parts, strict=True):
        steps = [n for n, record in enumerate(records) if part in record.get("grad_norm", {})]
        norms = [records[n]["grad_norm"][part] for n in steps]
        ax.plot(steps, norms, color=_PARTS[part], linewidth=1.1)
        held = [(n, records[n]["clip"][part]) for n in steps if part in records[n].get("clip", {})]
        if held:
            ax.plot(
                *zip(*held, strict=True), color=INK, linestyle=(0, (4, 2)), linewidth=1.1,
                drawstyle="steps-mid",
            )  # fmt: skip
        ax.set_title(part, color=_PARTS[part])
        ax.set(yscale="log", xlabel="step")
        ax.grid(axis="y")
    axes[0].set_ylabel("gradient norm")
    axes[0].yaxis.set_major_formatter("{x:g}")
    return picture


def _most(records: Sequence[dict[str, Any]], part: str) -> float:
    return max(record["grad_norm"].get(part, 0.0) for record in records)


def _fixed(ticks: Sequence[float]) -> Any:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(np.array(ticks))
