"""Training curves: loss (nats per token) and learning rate, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, INK
from omni_lab.plots.style import logarithmic, new_picture, notice, styled

# part of the loss: label, and colour (none of them a modality's)
_PARTS = {
    "loss": ("all together", INK),
    "stream": ("answers in streams", "#56B4E9"),
    "caption": ("captions", "#CC79A7"),
    "align": ("alignment (nats per unit)", "#B8860B"),
}


@styled
def draw_losses(
    records: list[dict[str, Any]], levels: Mapping[str, tuple[str, float]] | None = None
) -> Figure:
    """Training loss of every stage side by side, with the learning rate below.

    Faint lines are single steps, strong ones their geometric mean over a twentieth of the stage.
    All stages have the same loss axis (nats per token, logarithmic). Of a step recorded twice, as
    after an interruption, the last record counts.

    Parameters
    ----------
    records : lines of metrics.jsonl; `stage`, `step` and `loss` are required; `stream`, `caption`,
        `align`, `lr` and `seconds` (of the step) are optional
    levels : losses to compare with, as dashed lines: stage → name, and nats per token
    """
    stages: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records:
        if "stage" in record and _positive(record.get("loss")):
            stages.setdefault(str(record["stage"]), {})[int(record["step"])] = record
    if not stages:
        return notice("No training step is recorded in this run.")

    steps = {stage: [by_step[s] for s in sorted(by_step)] for stage, by_step in stages.items()}
    described = "; ".join(
        f"{name}: from {lines[0]['loss']:.2f} to {lines[-1]['loss']:.2f}"
        for name, lines in steps.items()
    )
    levels = {stage: level for stage, level in (levels or {}).items() if stage in steps}
    compared = "".join(
        f" Dashed in {stage}: {name}, {loss:.2f}." for stage, (name, loss) in levels.items()
    )
    picture = new_picture(
        3.6 * len(steps) + 0.6, 4.0,
        f"Training loss in nats per token, by stage. {described}.{compared}",
    )  # fmt: skip
    layout = {"height_ratios": [4, 1], "wspace": 0.04}
    axes = picture.subplots(2, len(steps), sharey="row", squeeze=False, gridspec_kw=layout)

    handles: dict[str, Any] = {}
    for column, (stage, lines) in enumerate(steps.items()):
        top, below = axes[0, column], axes[1, column]
        below.sharex(top)
        handles |= _draw_parts(top, lines)
        _draw_rates(below, lines)
        if stage in levels:
            name, loss = levels[stage]
            line = top.axhline(loss, color=INK, linestyle=(0, (4, 3)), linewidth=1.1)
            handles[f"{name}: {loss:.2f}"] = line
            line.set_label(f"{name}: {loss:.2f}")
        top.set_title(f"{column + 1}. {stage}{_length(lines)}")

    axes[0, 0].set_ylabel("loss (nats per token)")
    axes[1, 0].set_ylabel("learning\nrate")
    axes[1, 0].yaxis.set_major_formatter("{x:g}")
    logarithmic(axes[0, 0])
    picture.legend(handles=list(handles.values()), loc="outside lower center", ncols=len(handles))
    return picture


def _draw_parts(ax: Axes, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Loss curves of one stage, a colour per part of the loss; returns label → line."""
    handles: dict[str, Any] = {}
    for part, (label, colour) in _PARTS.items():
        points = [(line["step"], line[part]) for line in lines if _positive(line.get(part))]
        if not points or (part == "stream" and _only_stream(lines)):
            continue
        x, y = (np.array(values, dtype=np.float64) for values in zip(*points, strict=True))
        ax.plot(x, y, color=colour, alpha=0.2, linewidth=0.7)
        (handles[label],) = ax.plot(x, _smooth(y), color=colour, linewidth=1.8, label=label)

    ax.set_yscale("log")
    ax.grid(axis="y")
    ax.tick_params(labelbottom=False)
    return handles


def _draw_rates(ax: Axes, lines: list[dict[str, Any]]) -> None:
    """Learning rate over the steps of one stage."""
    rates = [
        (line["step"], line["lr"]) for line in lines if isinstance(line.get("lr"), int | float)
    ]
    if rates:
        ax.plot(*zip(*rates, strict=True), color=FAINT, linewidth=1.2)
    ax.set_xlabel("step")
    ax.set_ylim(bottom=0)


def _positive(value: Any) -> bool:
    """Whether a value is a positive finite number, which a logarithmic axis needs."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _only_stream(lines: list[dict[str, Any]]) -> bool:
    """Whether the stream loss equals the total loss, so that one line would hide the other."""
    return all(line.get("stream") == line["loss"] for line in lines)


def _smooth(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """Geometric mean over a centred window of a twentieth of the steps, shorter at both ends."""
    half = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(np.log(values))])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return np.exp((sums[last] - sums[first]) / (last - first))


def _length(lines: list[dict[str, Any]]) -> str:
    """Number of steps of a stage, and its duration where recorded, for its title."""
    steps = f" · {lines[-1]['step'] - lines[0]['step'] + 1} steps"
    spent = sum(line["seconds"] for line in lines if isinstance(line.get("seconds"), int | float))
    return f"{steps} · {spent:.0f} s" if spent >= 1 else steps
