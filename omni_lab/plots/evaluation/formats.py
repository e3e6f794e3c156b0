"""Accuracy of multi-image prompt formats (F0–F4), by kind of question."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import new_picture, notice, styled

# arm: label, and colour (none of them a modality's)
_ARMS = {
    "F0": ("F0  tokens only", INK),
    "F1": ("F1  marks", INK),
    "F2": ("F2  image 1", INK),
    "F3": ("F3  image 1 and marks", INK),
    "F4": ("F4  as F3, frame 1", INK),
    "F4_no_video": ("F4  without videos", "#CC79A7"),
    "F0_single": ("F0  single images", "#B8860B"),
    "F4_single": ("F4  single images", "#B8860B"),
}
_TRAINED = {
    "several images and videos": INK,
    "several images": "#CC79A7",
    "one image at a time": "#B8860B",
}
_SORTS = {"single": "one image", "multi": "several images", "video": "video"}


@styled
def draw_format_scores(record: dict[str, Any]) -> Figure:
    """Accuracy of every arm for every kind of question, over seeds, with its chance level.

    The dot is the mean over seeds, the line its 95 % interval (Student's t, cut at 0 and 1), each
    stroke one seed.

    Parameters
    ----------
    record : of the experiment `formats`: `metrics` (`<arm>.<kind>`: `mean`, `low`, `high`, `seeds`)
        and `details.kinds` (kind → `sort`, `chance`, `n`)
    """
    kinds = (record.get("details") or {}).get("kinds") or {}
    arms = [arm for arm in _ARMS if all(f"{arm}.{kind}" in record["metrics"] for kind in kinds)]
    if not kinds or not arms:
        return notice("No formats were compared in this run.")

    described = "; ".join(
        f"{kind} "
        + ", ".join(f"{arm} {record['metrics'][f'{arm}.{kind}']['mean']:.2f}" for arm in arms)
        for kind in kinds
    )
    picture = new_picture(
        1.28 * len(kinds) + 1.7, 0.28 * len(arms) + 1.55, f"Accuracy by format: {described}."
    )
    axes = picture.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    sorts: list[str] = []
    for ax, (kind, about) in zip(axes, kinds.items(), strict=True):
        _panel(
            ax,
            [record["metrics"][f"{arm}.{kind}"] for arm in arms],
            [_ARMS[arm][1] for arm in arms],
            about,
        )
        ax.set_title(kind, fontsize=9)
        # panels come sorted, so each heading stands once, over the first of its panels
        if about["sort"] not in sorts:
            ax.text(0, 1.12, _SORTS[about["sort"]], transform=ax.transAxes, color=FAINT, fontsize=8)
            sorts.append(about["sort"])
    axes[0].set_yticks(range(len(arms)), [_ARMS[arm][0] for arm in arms])
    axes[0].set_ylim(len(arms) - 0.5, -0.5)

    handles = [
        Line2D([], [], marker="o", color=colour, label=name) for name, colour in _TRAINED.items()
    ]
    handles.append(Line2D([], [], color=FAINT, linestyle=(0, (3, 2)), label="chance"))
    seeds = len(record["seeds"])
    legend = picture.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    message = f"mean, 95 % interval and each of {seeds} seeds" if seeds > 1 else "one seed"
    legend.set_title(f"accuracy: {message}; trained on", {"size": 8})
    return picture


def _panel(
    ax: Axes, scores: list[dict[str, Any]], colours: list[str], about: dict[str, Any]
) -> None:
    """One kind of question: a row per arm, with chance as a dashed line."""
    ax.axvline(about["chance"], color=FAINT, linewidth=1.1, linestyle=(0, (3, 2)), zorder=1)
    for row, (score, colour) in enumerate(zip(scores, colours, strict=True)):
        if row % 2:
            ax.axhspan(row - 0.5, row + 0.5, color="#f6f7f9", zorder=0)
        span = (max(0.0, score["low"]), min(1.0, score["high"]))
        ax.plot(span, (row, row), color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        ax.plot(
            score["seeds"],
            [row] * len(score["seeds"]),
            "|",
            color=colour,
            markersize=7,
            zorder=3,
            clip_on=False,
        )
        ax.plot(score["mean"], row, "o", color=colour, markersize=5, zorder=4, clip_on=False)

    ax.set(xlim=(-0.03, 1.03), xticks=(0, 0.5, 1))
    ax.set_xticklabels(("0", ".5", "1"))
    ax.set_xlabel(f"n = {about['n']}", fontsize=7.5, color=FAINT)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_color(LINE)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
