"""Needles: how deep in how long a text a model still finds one thing, one map per kind of needle and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.evaluation.heatmaps import heat
from omni_lab.plots.style import drawable, new_picture, said_instead, styled

_MARK = "#D55E00"  # of the trained length: far from every blue
_LETTERS = 34  # of a model's name over its map; the end of a path says more than its beginning


@styled
def draw_needles(records: Sequence[dict[str, Any]]) -> Figure:
    """Draw accuracy over depth × length, models side by side, with no-needle control and chance below.

    A cell holds the accuracy and its 95 % interval; the line marks the longest trained length.

    Parameters
    ----------
    records : one per model: `model` (its name), `trained` (the longest trained length, or None) and `cells`: of
        `evaluation.needles`, each `kind`, `length`, `depth` (None for the control), `accuracy`, `low`, `high`, `total`
        and `chance`
    """
    cells = [cell for record in records for cell in record["cells"]]
    depths = sorted({cell["depth"] for cell in cells if cell["depth"] is not None})
    if not depths:
        return said_instead("No needles were looked for in this run.")
    kinds = list(dict.fromkeys(cell["kind"] for cell in cells))
    lengths = sorted({cell["length"] for cell in cells})
    said = "; ".join(_said(record, kind) for record in records for kind in kinds)
    width = (0.72 * len(lengths) + 0.3) * len(records) + 1.0
    height = (0.42 * (len(depths) + 2) + 0.8) * len(kinds) + 0.55
    picture = new_picture(
        max(width, 5.0), height, f"Accuracy of needles by depth and length. {said}."
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
    message = f"depth 0: at the very beginning, 1: right before the question; n = {trials} a cell"
    picture.supxlabel(f"length, tokens\n{message}", fontsize=8)
    return picture


def _map(ax: Axes, found: dict[tuple, dict], lengths: list[int], depths: list[float]) -> None:
    """Accuracy with its interval, depth down, length to the right; what was not measured stays pale."""
    rows = [[found.get((length, depth)) for length in lengths] for depth in depths]
    values = np.array(
        [[np.nan if cell is None else cell["accuracy"] for cell in row] for row in rows]
    )
    heat(ax, values, [[_label(cell) for cell in row] for row in rows], size=8)


def _strip(ax: Axes, found: dict[tuple, dict], lengths: list[int]) -> None:
    """What is right without a needle, and by an even guess."""
    controls = [found.get((length, None)) for length in lengths]
    values = [
        [np.nan if cell is None else cell[key] for cell in controls]
        for key in ("accuracy", "chance")
    ]
    guessed = [
        "" if cell is None else f"{cell['chance']:.2g}".removeprefix("0") for cell in controls
    ]
    heat(ax, np.array(values), [[_label(cell) for cell in controls], guessed], size=8)


def _label(cell: dict[str, Any] | None) -> str:
    """What a cell says; nothing where it was not measured."""
    return (
        ""
        if cell is None
        else f"{_share(cell['accuracy'])}\n{_share(cell['low'])}–{_share(cell['high'])}"
    )


def _share(value: float) -> str:
    """A share with two digits, its leading 0 left out."""
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"


def _mark_trained(axes: tuple[Axes, Axes], trained: int | None, lengths: list[int]) -> None:
    """A line behind the last length that is not longer than the trained one, and words over it."""
    if trained is None:
        return
    inside = sum(length <= trained for length in lengths)
    for ax in axes:
        ax.axvline(inside, color=_MARK, linewidth=2.2, clip_on=False)
    message = f"trained to {trained:,}"
    side = "left" if inside < len(lengths) / 2 else "right"
    axes[0].annotate(
        message, (inside, 1), (3 if side == "left" else -3, 3), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha=side, va="bottom", color=_MARK, fontsize=8, annotation_clip=False,
    )  # fmt: skip


def _short(name: str) -> str:
    name = drawable(name)
    return name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}"


def _said(record: dict[str, Any], kind: str) -> str:
    """One model's worst accuracy within and beyond what it was trained on, in words."""
    shown = [cell for cell in record["cells"] if cell["kind"] == kind and cell["depth"] is not None]
    parts = []
    for words, beyond in (("within the trained length", False), ("beyond it", True)):
        trained = record.get("trained")
        mine = [
            cell["accuracy"]
            for cell in shown
            if (trained is not None and cell["length"] > trained) == beyond
        ]
        if mine:
            parts.append(f"{words} {min(mine):.2f} to {max(mine):.2f}")
    return f"{record['model']}, {kind}: {', '.join(parts) or 'not measured'}"
