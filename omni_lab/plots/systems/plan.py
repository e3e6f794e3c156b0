"""Training plan with context parallelism: step time by part, GPU memory, limit of overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.errors import UsageError
from omni_lab.plots.palette import INK, LINE
from omni_lab.plots.style import new_picture, styled

# part: label, and colour (none of them a modality's)
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
    "other": ("gathered, loss or a layer", LINE),
}
_GIB = 2**30


@styled
def draw_plan(record: dict[str, Any]) -> Figure:
    """Step time by part (above) and memory per GPU (below) of a training plan, a column per length.

    Bars above are fractions of the step, so that 8 and 512 GPUs are comparable; the step time in
    seconds stands on top. A dashed line marks the number of GPUs up to which a ring's communication
    hides behind compute, where all GPUs work on one sequence.

    Parameters
    ----------
    record : output of `omni-lab plan --json`: `plans`, `most_ranks`, `machine`, `engine`, `layout`

    Raises
    ------
    UsageError
        the record holds no plan
    """
    lengths = list(dict.fromkeys(plan["tokens"] for plan in record["plans"]))
    if not lengths:
        raise UsageError("no plan to draw; give at least one length and one number of GPUs")

    columns = {
        tokens: [plan for plan in record["plans"] if plan["tokens"] == tokens] for tokens in lengths
    }
    described = "; ".join(
        f"{tokens:,} tokens: {_in_words(record, plans)}" for tokens, plans in columns.items()
    )
    machine, widest = record["machine"], max(map(len, columns.values()))

    width = max(0.62 * widest, 3.4) * len(lengths) + 1.2
    picture = new_picture(width, 5.6, f"{record['engine']}, {machine['name']}. {described}.")
    axes = picture.subplots(
        2, len(lengths), sharey="row", squeeze=False, gridspec_kw={"height_ratios": [1.25, 1]}
    )

    for column, (tokens, plans) in enumerate(columns.items()):
        top, below = axes[0, column], axes[1, column]
        _draw_times(top, plans, tokens)
        _draw_memory(below, plans, tokens)
        _limits(below, machine)
        _mark_crossing(top, plans, record["most_ranks"].get(str(tokens)))

        top.set_title(f"{tokens:,} tokens · {record['engine']}, {record['layout']}", pad=16)
        for ax in (top, below):
            ax.set_xticks(range(len(plans)), [f"{plan['gpus']}" for plan in plans])
            ax.set_xlim(-0.6, len(plans) - 0.4)
        below.set_xlabel("GPUs")

    axes[0, 0].set(ylabel="fraction of step time", ylim=(0, 1))
    highest = max(
        1.12 * machine["memory"], *(1.04 * plan["memory"]["total"] for plan in record["plans"])
    )
    axes[1, 0].set(ylabel="memory per GPU (GiB)", ylim=(0, highest / _GIB))

    for row, parts in ((0, _TIMES), (1, _HELD)):
        handles = [axes[row, 0].containers[number] for number in range(len(parts))]
        names = [name for name, _ in parts.values()]
        side = "upper" if row == 0 else "lower"
        picture.legend(
            handles, names, loc=f"outside {side} center", ncols=len(parts) if width > 7 else 2
        )
    return picture


def _draw_times(ax: Axes, plans: list[dict[str, Any]], tokens: int) -> None:
    """Stacked bars of step time by part, as fractions, with the seconds on top."""
    fractions = [{part: plan[part] / plan["step_s"] for part in _TIMES} for plan in plans]
    _bars(ax, fractions, _TIMES, "time", tokens)
    for x, plan in enumerate(plans):
        ax.text(x, 1.02, f"{plan['step_s']:.3g} s", ha="center", va="bottom", fontsize=7)


def _draw_memory(ax: Axes, plans: list[dict[str, Any]], tokens: int) -> None:
    """Stacked bars of memory per GPU by part, in GiB."""
    rows = []
    for memory in (plan["memory"] for plan in plans):
        held = {**memory, "other": memory["gathered"] + memory["working"]}
        rows.append({part: held[part] / _GIB for part in _HELD})
    _bars(ax, rows, _HELD, "memory", tokens)


def _bars(
    ax: Axes,
    rows: list[dict[str, float]],
    parts: dict[str, tuple[str, str]],
    kind: str,
    tokens: int,
) -> None:
    """Stacked bars: one bar per row, one segment per part."""
    base = np.zeros(len(rows))
    for part, (_, colour) in parts.items():
        heights = np.array([row[part] for row in rows])
        bars = ax.bar(range(len(rows)), heights, 0.78, bottom=base, color=colour)
        for number, bar in enumerate(bars):
            bar.set_gid(f"{kind}:{tokens}:{number}:{part}")
        base += heights


def _limits(ax: Axes, machine: dict[str, Any]) -> None:
    """Lines at the GPU's memory, and at what driver and communication buffers leave of it."""
    total, free = machine["memory"] / _GIB, (machine["memory"] - machine["reserve"]) / _GIB
    ax.axhline(total, color=INK, linewidth=1.2)
    ax.axhline(free, color=INK, linewidth=0.8, linestyle=(0, (4, 3))).set_gid(f"limit:{free:g}")
    right = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "bottom", "fontsize": 8}
    ax.text(1, total, f"{machine['name']}: {total:g} GiB", **right)
    ax.text(1, free, "minus the reserve", **{**right, "va": "top"})


def _mark_crossing(ax: Axes, plans: list[dict[str, Any]], most: int | None) -> None:
    """Line where the ring's communication stops hiding behind compute, between the bars (log2)."""
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
    """Step times and the limit of overlap of one length, for the alternative text."""
    steps = ", ".join(f"{plan['step_s']:.3g} s on {plan['gpus']} GPUs" for plan in plans)
    most = record["most_ranks"].get(str(plans[0]["tokens"]))
    return steps + ("" if most is None else f", communication hides up to {most}")
