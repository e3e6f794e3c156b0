"""Modality confusion matrices with intervals in their cells, and how much of the accuracy each modality carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omni_lab.plots.evaluation.heatmaps import heat, modality_names
from omni_lab.plots.palette import FAINT, INK, MODALITY_COLOURS
from omni_lab.plots.style import drawable, new_picture, notice, shortened, styled

MOST, MOST_BARS = 24, 8  # matrices, and models with bars, in a picture; of more those at both ends
_TITLES = {"swap": "Shapley shares, others swapped", "drop": "Shapley shares, others dropped"}


@styled
def draw_reliance(reliance: dict[str, Any]) -> Figure:
    """Modality confusion matrix on clips whose modalities disagree: asked about (rows), followed.

    Parameters
    ----------
    reliance : `rows`, `columns` (names), `rates` [rows][columns] in [0, 1]; optional: `low` and
        `high` (95 % interval, same shape) and `n` (trials, one number or one per row)
    """
    rows, columns, rates = reliance.get("rows"), reliance.get("columns"), reliance.get("rates")
    if not rows or not columns or not rates:
        return notice("The modality confusion matrix was not measured in this run.")
    picture = new_picture(
        1.25 * len(columns) + 1.9,
        0.85 * len(rows) + 1.2,
        f"Modality confusion matrix. {_described(reliance)}.",
    )
    ax = picture.subplots()
    _matrix(ax, reliance)
    ax.set(xlabel="modality followed", ylabel="modality asked about")
    return picture


@styled
def draw_confusion(matrices: Sequence[dict[str, Any]]) -> Figure:
    """Modality confusion matrices of models, checkpoints or steps side by side, in their order.

    Parameters
    ----------
    matrices : records as `draw_reliance` takes them, each with a `name`
    """
    if not matrices:
        return notice("No modality confusion matrix was measured.")
    if len(matrices) == 1:
        return draw_reliance(matrices[0])
    shown = _shown(matrices, MOST)
    across = min(len(shown), 3)
    down = -(-len(shown) // across)
    rows, columns = shown[0]["rows"], shown[0]["columns"]
    size = (1.1 * len(columns) + 0.95) * across + 0.3, (0.66 * len(rows) + 0.75) * down + 0.3
    first, last = shown[0], shown[-1]
    alt = f"{len(matrices)} modality confusion matrices, {first['name']} to {last['name']}."
    picture = new_picture(
        *size, f"{alt} The first: {_described(first)}. The last: {_described(last)}."
    )
    axes = picture.subplots(down, across, squeeze=False)

    for place, ax in enumerate(axes.flat):
        if place >= len(shown):
            ax.set_visible(False)
            continue
        _matrix(ax, shown[place], size=8)
        ax.set_title(drawable(shortened(shown[place]["name"], 40)))
    picture.supxlabel("modality followed", fontsize=9)
    picture.supylabel("modality asked about", fontsize=9)
    return picture


@styled
def draw_shares(shares: Sequence[dict[str, Any]]) -> Figure:
    """Accuracy lost by swapping or dropping a modality, and Shapley shares, with 95 % intervals.

    Parameters
    ----------
    shares : per model, checkpoint or step its `name`, `permutation` (conditions with `senses`,
        `drop`, `low`, `high`) and `shapley` (games with `kind`, `senses`, `shares`, `low`, `high`)
    """
    shown = _shown([one for one in shares if one["permutation"] or one["shapley"]], MOST_BARS)
    if not shown:
        return notice("No accuracy under changed modalities was measured.")
    panels = [(one["name"], _panels(one)) for one in shown]
    titles = list(dict.fromkeys(title for _, own in panels for title in own))
    most = max(len(bars) for _, own in panels for bars in own.values())
    picture = new_picture(
        3.4 * len(titles) + 0.4, (0.28 * most + 0.55) * len(shown) + 0.7, _told(panels)
    )
    axes = picture.subplots(len(shown), len(titles), squeeze=False, sharex=True)

    for row, (line, (name, own)) in enumerate(zip(axes, panels, strict=True)):
        for ax, title in zip(line, titles, strict=True):
            if title not in own:
                ax.set_visible(False)
                continue
            _bars(ax, own[title], most)
            head = [title] * (row == 0) + [shortened(name, 40)] * bool(name)
            ax.set_title(drawable("\n".join(head)))
    for ax in axes[-1]:
        ax.set_xlabel("accuracy (share of questions)")
    return picture


def _shown(records: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """All records, or of too many those at both ends."""
    half = most // 2
    return [*records] if len(records) <= most else [*records[:half], *records[-half:]]


def _matrix(ax: Axes, matrix: dict[str, Any], size: float = 9) -> None:
    """One matrix: rates with intervals, the diagonal framed, n beside the rows."""
    rows, columns, values = matrix["rows"], matrix["columns"], _rates(matrix)
    counts = matrix.get("n")
    row_counts = counts if isinstance(counts, list) else [counts] * len(rows)
    labels = [[_cell(matrix, r, c) for c in range(len(columns))] for r in range(len(rows))]
    heat(ax, values, labels, size)
    named = [
        f"{row}\nn = {n}" if isinstance(n, int) else row
        for row, n in zip(rows, row_counts, strict=True)
    ]
    modality_names(ax, columns, named, list(rows))

    # the framed diagonal: the answer follows the modality that the question names
    for r, row in enumerate(rows):
        if row in columns:
            c = list(columns).index(row)
            ax.add_patch(
                Rectangle((c, r), 1, 1, fill=False, edgecolor=INK, linewidth=2, clip_on=False)
            )


def _rates(matrix: dict[str, Any]) -> np.ndarray:
    rates = matrix["rates"]
    return np.array([[np.nan if v is None else v for v in line] for line in rates], np.float64)


def _cell(matrix: dict[str, Any], r: int, c: int) -> str:
    """Text of a cell: the rate, and below it the interval where there is one."""
    value, low, high = matrix["rates"][r][c], matrix.get("low"), matrix.get("high")
    if value is None:
        return "–"
    known = low and high and low[r][c] is not None
    interval = f"\n{low[r][c]:.2f} – {high[r][c]:.2f}" if known else ""
    return f"{value:.2f}{interval}"


def _described(matrix: dict[str, Any]) -> str:
    """Rates of a matrix in words."""
    values, columns = _rates(matrix), matrix["columns"]
    return "; ".join(
        f"asked {row}: "
        + ", ".join(f"{column} {values[r, c]:.2f}" for c, column in enumerate(columns))
        for r, row in enumerate(matrix["rows"])
    )


Bar = tuple[str, str, float, float, float]  # label, colour, value, low, high


def _panels(shares: dict[str, Any]) -> dict[str, list[Bar]]:
    """Bars of one model by the title of their panel."""
    found: dict[str, list[Bar]] = {}
    if shares["permutation"]:
        found["accuracy lost"] = [
            (one["condition"], _colour(one["senses"]), one["drop"], one["low"], one["high"])
            for one in shares["permutation"]
        ]
    for game in shares["shapley"]:
        rows = zip(game["senses"], game["shares"], game["low"], game["high"], strict=True)
        found[_TITLES[game["kind"]]] = [(sense, _colour([sense]), *rest) for sense, *rest in rows]
    return found


def _colour(senses: Sequence[str]) -> str:
    """Colour of a modality; of several together grey."""
    return MODALITY_COLOURS[senses[0] if len(senses) == 1 else "control"]


def _bars(ax: Axes, bars: list[Bar], most: int) -> None:
    """Bars from the top down, each with its interval and its value."""
    for place, (label, colour, value, low, high) in enumerate(bars):
        ends = [[max(0.0, value - low)], [max(0.0, high - value)]]
        (bar,) = ax.barh(place, value, 0.7, color=colour)
        bar.set_gid(f"share:{label}")
        ax.errorbar(value, place, xerr=ends, color=INK, linewidth=1, capsize=2)
        ax.annotate(
            f"{value:z.2f}", (max(high, 0), place), (4, 0), textcoords="offset points", va="center",
            fontsize=8,
        )  # fmt: skip
    names = [drawable(shortened(label, 24)) for label, *_ in bars]
    ax.set_yticks(range(len(bars)), names)
    ax.set_ylim(most - 0.4, -0.6)  # bars of all panels are as thick
    ax.axvline(0, color=FAINT, linewidth=0.8)
    ax.margins(x=0.16)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def _told(panels: Sequence[tuple[str, dict[str, list[Bar]]]]) -> str:
    """Alternative text of the bars: those of the first and of the last model."""
    ends = [panels[0], *panels[1:][-1:]]
    said = [
        f"{f'{name}, ' if name else ''}{title}: "
        + ", ".join(f"{label} {value:z.2f}" for label, _, value, _, _ in bars)
        for name, own in ends
        for title, bars in own.items()
    ]
    return f"How much of the accuracy each modality carries. {'; '.join(said)}."
