"""Phases of training losses: log-log curves, fitted segments, breaks with intervals, logged causes; drops below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from omni_lab.plots.palette import FAINT, INK, LINE, MODALITY_COLOURS
from omni_lab.plots.style import drawable, new_picture, notice, shortened, styled

FIT, BREAK, IDLE, CAUSE = "#882255", "#882255", "#999999", "#DDCC77"
COLUMNS = 4  # of the small multiples
_MOST_RUNS = 12  # whose own lines are drawn


@styled
def draw_phases(found: Mapping[str, Any], stage: str | None = None) -> Figure:
    """Loss over steps, both logarithmic, with what `find_phases` found in it; a column for each stage.

    Of several runs each is a faint line within their band. A line per run is the fitted broken line (dashed: a smooth
    decay). A break is a dot with its 95 % interval: filled where it counts, hollow where it has a logged cause; causes
    are shaded. Below, one small panel for each fact or sense that has a curve of its own: when it falls.

    Parameters
    ----------
    found : what `find_phases` returns, or the same read from JSON
    stage : only this one; None is all of them
    """
    stages = _stages(found["runs"], stage)
    drawn = {name: rows for name, rows in stages.items() if any("fit" in row for _, row in rows)}
    if not drawn:
        reasons = [run["reason"] for run in found["runs"]]
        return notice(f"No segments: {reasons[0]}" if reasons else "No run was looked at.")

    drops = _drops(drawn)
    below = -(-len(drops) // COLUMNS)
    alt = "; ".join(f"{run['name']}: {run['verdict']} ({run['reason']})" for run in found["runs"])
    width = max(6.4, 3.9 * len(drawn) + 0.6)
    picture = new_picture(width, 3.9 + 1.55 * below, f"Loss over steps, logarithmic. {alt}.")
    parts = picture.subfigures(2, 1, height_ratios=[3.9, 1.55 * below]) if below else [picture]

    axes = parts[0].subplots(1, len(drawn), squeeze=False)[0]
    for ax, (name, rows) in zip(axes, drawn.items(), strict=True):
        _draw_stage(ax, rows)
        ax.set_title(drawable(_title(name, rows)), fontsize=9)
    axes[0].set_ylabel(f"{shortened(found['curve'], 18)} (nats per token)")
    ncols = 5 if width > 8 else 3
    parts[0].legend(handles=_legend(drawn), loc="outside lower center", ncols=ncols, fontsize=7.5)
    if below:
        _draw_drops(parts[1], drops, below)
    return picture


def _stages(
    runs: Sequence[Mapping[str, Any]], only: str | None
) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Stretches of all runs by the name of their stage, each with its run's name."""
    stages: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for run in runs:
        for row in run["stretches"]:
            if only is None or row["stage"] == only:
                stages.setdefault(row["stage"], []).append((run["name"], row))
    return stages


def _title(stage: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Stage, and its verdict, or how many of the runs have which."""
    verdicts = [row["verdict"] for _, row in rows]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    words = (
        verdicts[0]
        if len(rows) == 1
        else ", ".join(f"{verdict} ({count} of {len(rows)})" for verdict, count in counts.items())
    )
    return f"{shortened(stage, 24)}: {words}" if stage else words


def _draw_stage(ax: Axes, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """One stage of all runs: observed losses, fitted lines, breaks, causes; steps count from its beginning."""
    several = len(rows) > 1
    _shade(ax, rows)
    curves = []
    for i, (_, row) in enumerate(rows):
        if "fit" not in row:
            continue
        shown = row.get("whole", row["fit"])
        steps = np.array(shown["steps"]) - row["from"] + 1
        curves.append((steps, np.array(shown["observed"])))
        if i < _MOST_RUNS:
            ax.plot(*curves[-1], color=INK, alpha=0.25 if several else 0.55, linewidth=0.8)
        line = np.array(row["fit"]["steps"]) - row["from"] + 1
        style = (0, (4, 2)) if row["smooth"] else "-"
        ax.plot(
            line, row["fit"]["fitted"], color=FIT, alpha=0.5 if several else 1.0,
            linewidth=1.0 if several else 1.8, linestyle=style, gid=f"fit:{i}",
        )  # fmt: skip
    if several:
        _draw_band(ax, curves)

    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low / (high / low) ** (0.05 + 0.045 * min(len(rows), 6)), high)
    for i, (_, row) in enumerate(rows):
        _draw_breaks(ax, row, 0.03 + 0.05 * min(i, 6))
    _plain_numbers(ax)
    ax.set_xlabel("step + 1, from the beginning")
    ax.grid(axis="y")


def _shade(ax: Axes, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Logged causes as shaded steps, paler where there are several runs; their words once for each kind."""
    said: set[str] = set()
    for _, row in rows:
        for cause in row["excluded"]:
            kind = cause["what"].partition(" from step")[0].partition(" until step")[0]
            words = "" if kind in said else (kind if len(rows) > 1 else cause["what"])
            said.add(kind)
            start = max(cause["from"] - row["from"] + 1, 1)
            end = max(cause["to"] - row["from"] + 1, start * 1.02)
            ax.axvspan(start, end, color=CAUSE, alpha=0.3 / len(rows), linewidth=0, gid="cause")
            ax.text(
                np.sqrt(start * end), 0.985, drawable(shortened(words, 44)), rotation=90,
                transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize=6.5, color=FAINT,
                bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 0.5}, zorder=3,
            )  # fmt: skip


def _draw_band(ax: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Lowest to highest loss of all runs, where all of them have one."""
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    at = np.geomspace(low, high, 120)
    logs = np.stack([np.interp(np.log(at), np.log(x), np.log(y)) for x, y in curves])
    ax.fill_between(
        at, np.exp(logs.min(0)), np.exp(logs.max(0)), color=INK, alpha=0.08, linewidth=0
    )


def _draw_breaks(ax: Axes, row: Mapping[str, Any], height: float) -> None:
    """Breaks of one run as dots with their intervals, in a strip above the axis."""
    for at in row["breaks"]:
        low, step, high = (at[key] - row["from"] + 1 for key in ("low", "step", "high"))
        colour = BREAK if at["counts"] else IDLE
        where = ax.get_xaxis_transform()
        ax.plot([max(low, 1), high], [height] * 2, color=colour, linewidth=1.4, transform=where)
        ax.plot(
            [step], [height], "o", color=colour, markersize=4.5, transform=where, gid="break",
            markerfacecolor=colour if at["counts"] else "white",
        )  # fmt: skip
        ax.axvline(step, color=colour, linewidth=0.6, alpha=0.35, linestyle=(0, (2, 2)))


def _plain_numbers(ax: Axes) -> None:
    """Numbers as people write them, also where an axis spans less than a decade."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        low, high = axis.get_view_interval()
        written = "235" if high < 20 * low else "25" if high < 300 * low else ""
        axis.set_minor_formatter(
            FuncFormatter(lambda v, _, w=written: f"{v:g}" if f"{v:e}"[0] in w else "")
            if written and axis is ax.yaxis
            else NullFormatter()
        )


def _legend(drawn: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]) -> list[Any]:
    """What lines, dots and shades mean, as far as they occur."""
    rows = [row for rows in drawn.values() for _, row in rows]
    breaks = [at for row in rows for at in row["breaks"]]
    parts = [Line2D([], [], color=INK, alpha=0.5, label="loss, without spikes")]
    if any("fit" in row and not row["smooth"] for row in rows):
        parts.append(Line2D([], [], color=FIT, linewidth=1.8, label="fitted segments"))
    if any("fit" in row and row["smooth"] for row in rows):
        parts.append(Line2D([], [], color=FIT, linestyle=(0, (4, 2)), label="smooth decay"))
    dots = {"color": BREAK, "marker": "o", "markersize": 4.5, "linewidth": 1.4}
    if any(at["counts"] for at in breaks):
        parts.append(Line2D([], [], **dots, label="break, 95 % interval"))
    if any(not at["counts"] for at in breaks):
        idle = dots | {"color": IDLE, "markerfacecolor": "white"}
        parts.append(Line2D([], [], **idle, label="break with a logged cause"))
    if any(row["excluded"] for row in rows):
        parts.append(Patch(color=CAUSE, alpha=0.3, label="logged cause"))
    return parts


def _drops(
    drawn: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]],
) -> dict[str, list[Mapping[str, Any]]]:
    """Drops by stage and curve, of all runs that have the curve; earliest first, those that never fall last."""
    drops: dict[str, list[Mapping[str, Any]]] = {}
    for stage, rows in drawn.items():
        for _, row in rows:
            for name, drop in row.get("drops", {}).items():
                if "fit" in drop:
                    label = f"{name} · {stage}" if len(drawn) > 1 else name
                    drops.setdefault(label, []).append(drop | {"from": row["from"]})
    at = {
        name: np.median([one["half"]["value"] if one["falls"] else np.inf for one in some])
        for name, some in drops.items()
    }
    return dict(sorted(drops.items(), key=lambda item: at[item[0]]))


def _draw_drops(part: Any, drops: Mapping[str, Sequence[Mapping[str, Any]]], rows: int) -> None:
    """Small panel per fact or sense: its loss, the line through it, and the interval of its half-way step."""
    axes = part.subplots(rows, COLUMNS, squeeze=False, sharex=True)
    flat = axes.ravel()
    for ax, (name, some) in zip(flat, drops.items(), strict=False):
        sense = name.split(" ")[0].partition(".")[2]
        colour = MODALITY_COLOURS.get(sense, INK)
        for drop in some:
            steps = np.array(drop["fit"]["steps"]) - drop["from"] + 1
            ax.plot(steps, drop["fit"]["observed"], color=colour, alpha=0.3, linewidth=0.8)
            ax.plot(steps, drop["fit"]["fitted"], color=colour, linewidth=1.3)
            if drop["falls"]:
                low, at, high = (
                    drop["half"][k] - drop["from"] + 1 for k in ("low", "value", "high")
                )
                ax.axvspan(low, high, color=BREAK, alpha=0.2, linewidth=0)
                ax.axvline(at, color=BREAK, linewidth=0.9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        falls = [d["half"]["value"] - d["from"] for d in some if d["falls"]]
        half = f"half-way at step {np.median(falls):.0f}" if falls else "no sure drop"
        title = f"{shortened(name.replace('facts.', '').replace('senses.', ''), 26)}\n{half}"
        ax.set_title(drawable(title), fontsize=7.5)
        _plain_numbers(ax)
        _two_numbers(ax, [value for drop in some for value in drop["fit"]["fitted"]])
        ax.tick_params(labelsize=6.5)
        ax.spines["left"].set_color(LINE)
    for ax in flat[len(drops) :]:
        ax.set_visible(False)
    part.supxlabel("step + 1", fontsize=8)
    part.supylabel("loss (nats per token)", fontsize=8)


def _two_numbers(ax: Axes, losses: Sequence[float]) -> None:
    """Ticks at the highest and the lowest loss of a small panel, or at one where they are close."""
    ends = sorted({float(f"{value:.2g}") for value in (min(losses), max(losses))})
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_yticks(ends if ends[-1] > 1.1 * ends[0] else ends[:1])
