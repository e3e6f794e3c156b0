"""Similarity of the moments of a film between two modalities, of one model or several."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from omni_lab.plots.palette import ink_on
from omni_lab.plots.style import new_picture, styled

_MOST = 12  # moments a side that have room for a number in every field


@styled
def draw_similarities(
    tables: Mapping[str, Float[np.ndarray, "moments moments"]], rows: str, columns: str
) -> Figure:
    """Cosine similarity of every moment of one modality with every moment of another.

    Partners stand on the diagonal: what was seen, heard or written at the same time.

    Parameters
    ----------
    tables : name of a model → similarities in [-1, 1]
    rows, columns : modalities
    """
    told = "; ".join(
        f"{name}: {np.diag(table).mean():.2f} on the diagonal, "
        f"{(table.sum() - np.trace(table)) / max(1, table.size - len(table)):.2f} beside it"
        for name, table in tables.items()
    )
    picture = new_picture(
        3.5 * len(tables) + 0.8, 3.7, f"Similarity of {rows} and {columns}. {told}."
    )
    axes = np.atleast_1d(picture.subplots(1, len(tables)))
    ends = {"vmin": -0.2, "vmax": max(0.2, *(float(table.max()) for table in tables.values()))}
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        image = ax.imshow(table, cmap="viridis", **ends)
        for (row, column), value in np.ndenumerate(table if len(table) <= _MOST else table[:0]):
            colour = ink_on(image.cmap(image.norm(value))[:3])
            ax.text(
                column,
                row,
                f"{round(value, 1) + 0.0:.1f}",
                ha="center",
                va="center",
                size=7.5,
                color=colour,
            )
        ax.set(title=name, xlabel=f"moment, {columns}", ylabel=f"moment, {rows}")
        if len(table) <= _MOST:
            ax.set_xticks(range(len(table)))
            ax.set_yticks(range(len(table)))
        ax.spines[:].set_visible(False)
    picture.colorbar(image, ax=axes, label="cosine similarity", shrink=0.8)
    return picture
