"""Training as curves: what was lost, stage by stage, and how fast was learned meanwhile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from omni_lab.plots.palette import FAINT, INK
from omni_lab.plots.style import new_picture, said_instead, styled

# part of the loss: how it is called, and its colour (none of them a modality's)
_PARTS = {
    "loss": ("all together", INK),
    "stream": ("answers in streams", "#56B4E9"),
    "caption": ("captions", "#CC79A7"),
    "align": ("alignment (nats per unit)", "#B8860B"),
}


@styled
def draw_losses(records: list[dict[str, Any]]) -> Figure:
    """Draw the losses of every stage beside each other, with the learning rate beneath.

    Faint lines are single steps, strong ones their geometric mean over a twentieth of the stage. The stages share the
    loss axis (nats per token, logarithmic); where a step was recorded twice, as after an interruption, the last counts.

    Parameters
    ----------
    records : the lines of metrics.jsonl; `stage`, `step` and `loss` are needed, `stream`, `caption`, `align`, `lr` and
        `seconds` (of the step) are drawn or written where they are there
    """
    stages: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records:
        if "stage" in record and _positive(record.get("loss")):
            stages.setdefault(str(record["stage"]), {})[int(record["step"])] = record
    if not stages:
        return said_instead("No training step is recorded in this run.")
    steps = {stage: [by_step[s] for s in sorted(by_step)] for stage, by_step in stages.items()}
    said = "; ".join(
        f"{name}: from {lines[0]['loss']:.2f} to {lines[-1]['loss']:.2f}"
        for name, lines in steps.items()
    )
    picture = new_picture(
        3.6 * len(steps) + 0.6, 4.0, f"Training loss in nats per token, by stage. {said}."
    )
    shares = {"height_ratios": [4, 1], "wspace": 0.04}
    axes = picture.subplots(2, len(steps), sharey="row", squeeze=False, gridspec_kw=shares)
    handles: dict[str, Any] = {}
    for column, (stage, lines) in enumerate(steps.items()):
        top, below = axes[0, column], axes[1, column]
        below.sharex(top)
        for part, (label, colour) in _PARTS.items():
            told = [(line["step"], line[part]) for line in lines if _positive(line.get(part))]
            if not told or (part == "stream" and _says_the_same(lines)):
                continue
            x, y = (np.array(values, dtype=np.float64) for values in zip(*told, strict=True))
            top.plot(x, y, color=colour, alpha=0.2, linewidth=0.7)
            (handles[label],) = top.plot(x, _smooth(y), color=colour, linewidth=1.8, label=label)
        rates = [
            (line["step"], line["lr"]) for line in lines if isinstance(line.get("lr"), int | float)
        ]
        if rates:
            below.plot(*zip(*rates, strict=True), color=FAINT, linewidth=1.2)
        top.set_title(f"{column + 1}. {stage}{_length(lines)}")
        top.set_yscale("log")
        top.grid(axis="y")
        top.tick_params(labelbottom=False)
        below.set_xlabel("step")
        below.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("loss (nats per token)")
    axes[1, 0].set_ylabel("learning\nrate")
    axes[1, 0].yaxis.set_major_formatter("{x:g}")
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].yaxis.set_major_formatter("{x:g}")
    axes[0, 0].yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())
    picture.legend(handles=list(handles.values()), loc="outside lower center", ncols=len(handles))
    return picture


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _says_the_same(lines: list[dict[str, Any]]) -> bool:
    """Whether the answers' loss is the whole loss, so that one line would hide the other."""
    return all(line.get("stream") == line["loss"] for line in lines)


def _smooth(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """Geometric mean over a centred window of a twentieth of the steps, shorter at both ends."""
    half = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(np.log(values))])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return np.exp((sums[last] - sums[first]) / (last - first))


def _length(lines: list[dict[str, Any]]) -> str:
    """How many steps the stage has, and how long it took where that is recorded."""
    steps = f" · {lines[-1]['step'] - lines[0]['step'] + 1} steps"
    spent = sum(line["seconds"] for line in lines if isinstance(line.get("seconds"), int | float))
    return f"{steps} · {spent:.0f} s" if spent >= 1 else steps
