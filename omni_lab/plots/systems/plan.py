"""A plan of long-context training as a picture: where a step's time goes, what a GPU holds, where hiding ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.errors import UsageError
from omni_lab.plots.palette import INK, LINE
from omni_lab.plots.style import new_picture, styled

# part: how it is called, and its colour (none of them a modality's)
_TIMES = {
    "work_s": ("compute", "#56B4E9"),
    "waiting_s": ("waiting for busier ranks", LINE),
    "exposed_attention_s": ("exposed: attention", "#CC79A7"),
    "exposed_weights_s": ("exposed: weights", "#8C6D31"),
}
_HELD = {
    "weights": ("weights, gradients", "#17838F"),
    "optimizer": ("optimizer", "#B5BD61"),
    "activations": ("activations", "#6B6ECF"),
    "other": ("gathered, buffers, logits", LINE),
}
_OTHER = ("gathered", "buffers", "logits")
_GIB = 2**30


@styled
def draw_plan(record: dict[str, Any]) -> Figure:
    """Draw a plan, a column per length: above, what a step's time goes to; below, what a GPU holds against its memory.

    Bars above are shares of the step, so that 8 GPUs and 512 can be read side by side; the seconds stand on top. A
    dashed line marks up to how many GPUs a ring's communication hides, where all GPUs share one sequence.

    Parameters
    ----------
    record : what `omni-lab plan --json` prints: `plans`, `most_ranks`, `machine`, `engine`, `layout`

    Raises
    ------
    UsageError
        there is no plan in it
    """
    lengths = list(dict.fromkeys(plan["tokens"] for plan in record["plans"]))
    if not lengths:
        raise UsageError("no plan to draw; give at least one length and one number of GPUs")
    columns = {
        tokens: [plan for plan in record["plans"] if plan["tokens"] == tokens] for tokens in lengths
    }
    said = "; ".join(
        f"{tokens:,} tokens: {_in_words(record, plans)}" for tokens, plans in columns.items()
    )
    machine, widest = record["machine"], max(map(len, columns.values()))
    width = max(0.62 * widest, 3.4) * len(lengths) + 1.2
    picture = new_picture(width, 5.6, f"{record['engine']}, {machine['name']}. {said}.")
    axes = picture.subplots(
        2, len(lengths), sharey="row", squeeze=False, gridspec_kw={"height_ratios": [1.25, 1]}
    )
    for column, (tokens, plans) in enumerate(columns.items()):
        top, below = axes[0, column], axes[1, column]
        _bars(
            top,
            [{part: plan[part] / plan["step_s"] for part in _TIMES} for plan in plans],
            _TIMES,
            "time",
            tokens,
        )
        for x, plan in enumerate(plans):
            top.text(x, 1.02, f"{plan['step_s']:.3g} s", ha="center", va="bottom", fontsize=7)
        held = [
            {**plan["memory"], "other": sum(plan["memory"][name] for name in _OTHER)}
            for plan in plans
        ]
        _bars(
            below,
            [{part: memory[part] / _GIB for part in _HELD} for memory in held],
            _HELD,
            "memory",
            tokens,
        )
        _limits(below, machine)
        _mark_crossing(top, plans, record["most_ranks"].get(str(tokens)))
        top.set_title(f"{tokens:,} tokens · {record['engine']}, {record['layout']}", pad=16)
        for ax in (top, below):
            ax.set_xticks(range(len(plans)), [f"{plan['gpus']}" for plan in plans])
            ax.set_xlim(-0.6, len(plans) - 0.4)
        below.set_xlabel("GPUs")
    axes[0, 0].set(ylabel="share of a step's time", ylim=(0, 1))
    highest = max(
        1.12 * machine["memory"], *(1.04 * plan["memory"]["total"] for plan in record["plans"])
    )
    axes[1, 0].set(ylabel="GiB of one GPU", ylim=(0, highest / _GIB))
    for row, parts in ((0, _TIMES), (1, _HELD)):
        handles = [axes[row, 0].containers[number] for number in range(len(parts))]
        names = [name for name, _ in parts.values()]
        side = "upper" if row == 0 else "lower"
        picture.legend(
            handles, names, loc=f"outside {side} center", ncols=len(parts) if width > 7 else 2
        )
    return picture


def _bars(
    ax: Axes,
    rows: list[dict[str, float]],
    parts: dict[str, tuple[str, str]],
    kind: str,
    tokens: int,
) -> None:
    """Stack the parts of every row on each other."""
    base = np.zeros(len(rows))
    for part, (_, colour) in parts.items():
        heights = np.array([row[part] for row in rows])
        bars = ax.bar(range(len(rows)), heights, 0.78, bottom=base, color=colour)
        for number, bar in enumerate(bars):
            bar.set_gid(f"{kind}:{tokens}:{number}:{part}")
        base += heights


def _limits(ax: Axes, machine: dict[str, Any]) -> None:
    """Lines at the memory there is, and at what the driver and communication leave of it."""
    there, free = machine["memory"] / _GIB, (machine["memory"] - machine["reserve"]) / _GIB
    ax.axhline(there, color=INK, linewidth=1.2)
    ax.axhline(free, color=INK, linewidth=0.8, linestyle=(0, (4, 3))).set_gid(f"limit:{free:g}")
    right = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "bottom", "fontsize": 8}
    ax.text(1, there, f"{machine['name']}: {there:g} GiB", **right)
    ax.text(1, free, "less the reserve", **{**right, "va": "top"})


def _mark_crossing(ax: Axes, plans: list[dict[str, Any]], most: int | None) -> None:
    """A line where the ring's communication stops hiding, between the bars it lies between."""
    gpus = [plan["gpus"] for plan in plans]
    together = all(plan["ranks"] == plan["gpus"] for plan in plans)
    if most is None or not together or gpus != sorted(set(gpus)) or not gpus[0] <= most < gpus[-1]:
        return
    x = float(np.interp(np.log2(most), np.log2(gpus), range(len(gpus))))
    ax.axvline(x, color=INK, linewidth=1.2, linestyle=(0, (4, 3))).set_gid(f"crossing:{most}")
    message = {"ha": "right", "va": "center", "fontsize": 8, "color": INK}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    ax.text(x - 0.08, 0.5, f"hides up to\n{most} GPUs", bbox=box, **message)


def _in_words(record: dict[str, Any], plans: list[dict[str, Any]]) -> str:
    steps = ", ".join(f"{plan['step_s']:.3g} s on {plan['gpus']} GPUs" for plan in plans)
    most = record["most_ranks"].get(str(plans[0]["tokens"]))
    return steps + ("" if most is None else f", communication hides up to {most}")
