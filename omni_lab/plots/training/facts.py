"""Loss of every fact and sense over the steps of all stages, as small multiples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, notice, styled

_COLUMNS = 4
_COLOURS = {**MODALITY_COLOURS, "both": "#CC79A7", "": INK}
_TICKS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_LEAST = 1e-3  # nats: below it a loss is drawn on the floor


@styled
def draw_fact_losses(
    records: list[dict[str, Any]],
    carriers: Mapping[str, str] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Training loss of every sense and of every fact, a panel each, over the steps of all stages.

    The first panel has the total and all senses, which hide what the others show: facts fall at
    different times, each from its own plateau. Dots are steps, lines their mean over a
    twentieth of the stage; a vertical line is where a stage begins. All panels have the same axes.

    Parameters
    ----------
    records : lines of metrics.jsonl: `stage`, `step`, `loss`, `senses` and `facts` (name → nats)
    carriers : sense that carries a fact, for its colour: image, audio, text or both
    levels : loss of a fact that is guessed (nats per token), as dashed lines
    """
    records = [record for record in records if record.get("facts")]
    facts = list(dict.fromkeys(name for record in records for name in record["facts"]))
    if not facts:
        return notice("No losses by fact are recorded in this run.")
    carriers, levels = carriers or {}, levels or {}
    order = [name for name in (*carriers, *facts) if name in facts]
    facts = list(dict.fromkeys(order))

    x, starts = _places(records)
    rows = -(-(1 + len(facts)) // _COLUMNS)
    described = "; ".join(f"{name} {_ends(records, name)}" for name in facts)
    picture = new_picture(
        9.4, 1.65 * rows + 0.6,
        f"Training loss in nats per token of {len(facts)} facts over {len(records)} steps, "
        f"from the first to the last tenth in which it was asked: {described}.",
    )  # fmt: skip
    axes = picture.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
    _senses(axes[0], records, x, starts)
    for ax, fact in zip(axes[1:], facts, strict=False):
        colour = _COLOURS[carriers.get(fact, "")]
        _curve(ax, records, x, starts, lambda record, fact=fact: record["facts"].get(fact), colour)
        if fact in levels:
            ax.axhline(levels[fact], color=FAINT, linestyle=(0, (4, 3)), linewidth=1)
        ax.set_title(fact, color=colour, fontsize=9)

    _dress(axes, starts, len(facts))
    picture.supxlabel("step, over all stages", fontsize=9)
    picture.supylabel("loss (nats per token)", fontsize=9)
    return picture


def _places(records: list[dict[str, Any]]) -> tuple[np.ndarray, dict[str, int]]:
    """Place of every record on the common axis, and where each stage begins."""
    starts: dict[str, int] = {}
    places, before, last = [], 0, ""
    for record in records:
        if record["stage"] != last:
            before = places[-1] + 1 if places else 0
            last = record["stage"]
            starts[last] = before
        places.append(before + record["step"])
    return np.array(places), starts


def _senses(ax: Axes, records: list[dict[str, Any]], x: np.ndarray, starts: dict) -> None:
    """Total loss and the losses of all senses in one panel."""
    _curve(ax, records, x, starts, lambda record: record["loss"], INK, dots=False)
    for sense in ("image", "audio", "text", "both"):
        own = [record for record in records if sense in record.get("senses", {})]
        if own:
            _curve(
                ax, records, x, starts,
                lambda record, sense=sense: record.get("senses", {}).get(sense),
                _COLOURS[sense], dots=False,
            )  # fmt: skip
            ax.plot([], [], color=_COLOURS[sense], label=sense)
    ax.plot([], [], color=INK, label="total")
    ax.legend(ncols=2, fontsize=6.5, loc="lower left", handlelength=1, columnspacing=0.8)
    ax.set_title("senses, and the total", fontsize=9)


def _curve(ax: Axes, records: list, x: np.ndarray, starts: dict, value: Any, colour: str,
           dots: bool = True) -> None:  # fmt: skip
    """Dots of single steps and, stage by stage, their running mean."""
    for stage in starts:
        own = [
            (place, value(record))
            for place, record in zip(x, records, strict=True)
            if record["stage"] == stage
        ]
        points = [(place, loss) for place, loss in own if loss is not None and math.isfinite(loss)]
        if not points:
            continue
        places, losses = (np.array(part, float) for part in zip(*points, strict=True))
        if dots:
            ax.plot(places, np.maximum(losses, _LEAST), ".", color=colour, alpha=0.18, markersize=2)
        half = max(1, len(own) // 20)
        near = [losses[abs(places - place) <= half].mean() for place in places]
        ax.plot(places, np.maximum(near, _LEAST), color=colour, linewidth=1.5)


def _dress(axes: np.ndarray, starts: dict[str, int], count: int) -> None:
    """Common axes, stages' beginnings and names; panels that nothing fills are taken away."""
    for number, ax in enumerate(axes):
        if number > count:
            ax.remove()
            continue
        ax.set_yscale("log")
        ax.grid(axis="y")
        for stage, start in starts.items():
            if start:
                ax.axvline(start, color=LINE, linewidth=1, zorder=0)
            if number < _COLUMNS:
                ax.annotate(
                    stage, (start, 1), (2, -2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", fontsize=6.5, color=FAINT, va="top",
                )  # fmt: skip
        if number + _COLUMNS > count:
            ax.tick_params(labelbottom=True)
    low, high = axes[0].get_ylim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes[0].yaxis.set_major_locator(FixedLocator(ticks))
    axes[0].yaxis.set_minor_locator(NullLocator())
    axes[0].yaxis.set_major_formatter("{x:g}")


def _ends(records: list[dict[str, Any]], fact: str) -> str:
    """Mean loss over the first and the last tenth of the steps that asked for a fact."""
    losses = [record["facts"][fact] for record in records if fact in record["facts"]]
    few = max(1, len(losses) // 10)
    return f"{np.mean(losses[:few]):.2f} to {np.mean(losses[-few:]):.2f}"
