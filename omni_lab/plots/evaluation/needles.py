"""Needle-in-a-haystack heat maps: accuracy by depth and length, per kind of needle and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.evaluation.heatmaps import heat
from omni_lab.plots.style import drawable, new_picture, notice, styled

_MARK = "#D55E00"  # line at the trained length; in contrast to the blues of the map
_LETTERS = 34  # of a model's name over its map; a path is cut at its start, the less specific end


@styled
def draw_needles(records: Sequence[dict[str, Any]]) -> Figure:
    """Needle accuracy over depth × length, models side by side, with no-needle control and chance.

    A cell holds the accuracy and its 95 % interval; the line marks the longest trained length.

    Parameters
    ----------
    records : one per model: `model` (name), `trained` (longest trained length in tokens, or None)
        and `cells` from `evaluation.needles`, each with `kind`, `length` (tokens), `depth`
        (in [0, 1], None for the control), `accuracy`, `low`, `high`, `total` and `chance`
    """
    cells = [cell for record in records for cell in record["cells"]]
    depths = sorted({cell["depth"] for cell in cells if cell["depth"] is not None})
    if not depths:
        return notice("No needles were looked for in this run.")
    kinds = list(dict.fromkeys(cell["kind"] for cell in cells))
    lengths = sorted({cell["length"] for cell in cells})
    described = "; ".join(_accuracy_range(record, kind) for record in records for kind in kinds)

    # the size grows with the number of cells, so that a cell always holds its three numbers
    width = (0.72 * len(lengths) + 0.3) * len(records) + 1.0
    height = (0.42 * (len(depths) + 2) + 0.8) * len(kinds) + 0.55
    picture = new_picture(
        max(width, 5.0), height, f"Accuracy of needles by depth and length. {described}."
    )
    grid = picture.subplots(
        2 * len(kinds),
        len(records),
        squeeze=False,
        sharex=True,
        height_ratios=[len(depths), 2] * len(kinds),
    )

    for column, record in enumerate(records):
        for row, kind in enumerate(kinds):
            upper, lower = grid[2 * row : 2 * row + 2, column]
            found = {
                (cell["length"], cell["depth"]): cell
                for cell in record["cells"]
                if cell["kind"] == kind
            }
            _map(upper, found, lengths, depths)
            _strip(lower, found, lengths)
            _mark_trained((upper, lower), record.get("trained"), lengths)

            upper.set_yticks(
                np.arange(len(depths)) + 0.5, [f"{depth:g}" for depth in depths], rotation=0
            )
            lower.set_yticks((0.5, 1.5), ("no needle", "chance"), rotation=0)
            for ax in (upper, lower):
                ax.tick_params(labelleft=column == 0)
            upper.set_title(f"{_short(record['model'])}: {kind}", pad=18, fontsize=9)
            if column == 0:
                upper.set_ylabel("depth")
        lower.set_xticks(
            np.arange(len(lengths)) + 0.5, [f"{length:,}" for length in lengths], rotation=0
        )

    counts = sorted({cell["total"] for cell in cells})
    trials = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    message = f"depth 0: at the start, 1: right before the question; n = {trials} a cell"
    picture.supxlabel(f"length, tokens\n{message}", fontsize=8)
    return picture


def _map(ax: Axes, found: dict[tuple, dict], lengths: list[int], depths: list[float]) -> None:
    """Heat map of accuracy with its interval: depth by length; missing cells stay pale."""
    rows = [[found.get((length, depth)) for length in lengths] for depth in depths]
    values = np.array(
        [[np.nan if cell is None else cell["accuracy"] for cell in row] for row in rows]
    )
    heat(ax, values, [[_label(cell) for cell in row] for row in rows], size=8)


def _strip(ax: Axes, found: dict[tuple, dict], lengths: list[int]) -> None:
    """Two rows below the map: accuracy without a needle (control), and chance."""
    controls = [found.get((length, None)) for length in lengths]
    values = [
        [np.nan if cell is None else cell[key] for cell in controls]
        for key in ("accuracy", "chance")
    ]
    chances = [
        "" if cell is None else f"{cell['chance']:.2g}".removeprefix("0") for cell in controls
    ]
    heat(ax, np.array(values), [[_label(cell) for cell in controls], chances], size=8)


def _label(cell: dict[str, Any] | None) -> str:
    """Cell label: accuracy over its interval, empty where not measured."""
    return (
        ""
        if cell is None
        else f"{_fraction(cell['accuracy'])}\n{_fraction(cell['low'])}–{_fraction(cell['high'])}"
    )


def _fraction(value: float) -> str:
    """Fraction with two decimals and without its leading 0."""
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"


def _mark_trained(axes: tuple[Axes, Axes], trained: int | None, lengths: list[int]) -> None:
    """Line and label after the last length within the trained length."""
    if trained is None:
        return
    inside = sum(length <= trained for length in lengths)
    for ax in axes:
        ax.axvline(inside, color=_MARK, linewidth=2.2, clip_on=False)
    message = f"trained to {trained:,}"
    side = "left" if inside < len(lengths) / 2 else "right"
    axes[0].annotate(
        message, (inside, 1), (3 if side == "left" else -3, 3), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha=side, va="bottom", color=_MARK, fontsize=8,
        annotation_clip=False,
    )  # fmt: skip


def _short(name: str) -> str:
    """Model name cut at its start to the width of its map."""
    name = drawable(name)
    return name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}"


def _accuracy_range(record: dict[str, Any], kind: str) -> str:
    """Range of accuracies of one model within and beyond its trained length, as text."""
    shown = [cell for cell in record["cells"] if cell["kind"] == kind and cell["depth"] is not None]
    parts = []
    for words, beyond in (("within the trained length", False), ("beyond it", True)):
        trained = record.get("trained")
        accuracies = [
            cell["accuracy"]
            for cell in shown
            if (trained is not None and cell["length"] > trained) == beyond
        ]
        if accuracies:
            parts.append(f"{words} {min(accuracies):.2f} to {max(accuracies):.2f}")
    return f"{record['model']}, {kind}: {', '.join(parts) or 'not measured'}"
