"""What each part of a model costs: fractions of its weights beside those of its operations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from omni_lab.plots.palette import MODALITY_COLOURS, ink_on
from omni_lab.plots.style import in_few_letters, new_picture, styled

_COLOURS = {
    "image encoder": MODALITY_COLOURS["image"],
    "audio encoder": MODALITY_COLOURS["audio"],
    "connectors": "#CC79A7",
    "decoder": MODALITY_COLOURS["control"],
    "words": MODALITY_COLOURS["text"],
}
_LEAST = 0.045  # fraction of a bar that has room for its label


@styled
def draw_costs(models: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Two bars for every model: fractions of its weights, and of a unit's operations, by part.

    Parameters
    ----------
    models : name → part → (weights, floating-point operations of one unit)
    """
    rows = [(name, number) for name in models for number in (0, 1)]
    told = "; ".join(
        f"{name}: " + ", ".join(f"{part} {_share(parts, part, 0)} of weights and "
                                f"{_share(parts, part, 1)} of operations" for part in parts)
        for name, parts in models.items()
    )  # fmt: skip
    picture = new_picture(8.2, 0.5 * len(rows) + 1.0, f"{told}.")
    ax = picture.subplots()
    places = [0.9 * row + 0.35 * (row // 2) for row in range(len(rows))]
    for place, (name, number) in zip(places, rows, strict=True):
        parts = {part: costs[number] for part, costs in models[name].items()}
        total, left = sum(parts.values()), 0.0
        for part, cost in parts.items():
            share = cost / total
            colour = _COLOURS.get(part, "#666666")
            ax.barh(place, share, 0.72, left, color=colour, label=part if not place else None)
            if share > _LEAST:
                look = {"ha": "center", "va": "center", "size": 8, "color": ink_on(to_rgb(colour))}
                ax.text(left + share / 2, place, f"{share:.0%}", **look)
            left += share
        unit = "weights" if number == 0 else "operations"
        ax.text(1.01, place, f"{_in_letters(total)} {unit}", va="center", size=8)
    labels = [f"{name}: {('weights', 'operations')[number]}" for name, number in rows]
    ax.set_yticks(places, labels)
    ax.set(xlim=(0, 1), ylim=(places[-1] + 0.5, -0.5), xlabel="fraction")
    ax.set_xticks(np.linspace(0, 1, 6))
    picture.legend(loc="outside upper center", ncols=5)
    return picture


def _in_letters(total: float) -> str:
    """Number with its unit prefix; operations of a large model need one more, T."""
    return f"{total / 1e12:.3g} T" if total >= 1e12 else in_few_letters(total, " ")


def _share(parts: Mapping[str, tuple[float, float]], part: str, number: int) -> str:
    """Fraction of one part, in percent."""
    return f"{parts[part][number] / sum(costs[number] for costs in parts.values()):.0%}"
