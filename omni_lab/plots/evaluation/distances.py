"""Attention over distance: how far back each head of a layer looks, side by side for several settings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT, LINE
from omni_lab.plots.style import drawable, new_picture, notice, styled


@styled
def draw_distances(looks: Mapping[str, Float[np.ndarray, "H distances"]]) -> Figure:
    """Attention mass of every head over distance, one panel for each setting.

    A dotted line marks the distance that head h is set to look back to, h tokens, counted from 1.

    Parameters
    ----------
    looks : setting → mean attention of every head to the token 0, 1, … tokens back
    """
    if not looks:
        return notice("No attention is measured.")
    heads = max(len(mass) for mass in looks.values())
    shades = colormaps["viridis"](np.linspace(0.0, 0.8, heads))
    picture = new_picture(max(4.6, 2.5 * len(looks) + 0.9), 2.7, "")
    axes = picture.subplots(1, len(looks), squeeze=False, sharey=True)[0]
    said = []
    for ax, (name, masses) in zip(axes, looks.items(), strict=True):
        for head, (mass, shade) in enumerate(zip(masses, shades, strict=False), start=1):
            ax.axvline(head, color=LINE, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
            ax.plot(
                np.arange(len(mass)), mass, color=shade, marker="o", markersize=2.5, linewidth=1.2,
                label=f"head {head}" if ax is axes[0] else None, gid=f"{name}-{head}",
            )  # fmt: skip
        ax.set(ylim=(0, 1), xlabel="tokens back")
        ax.set_title(drawable(name), fontsize=9)
        said.append(f"{name}: " + ", ".join(str(int(np.argmax(mass))) for mass in masses))
    axes[0].set_ylabel("attention")
    picture.legend(
        loc="outside right upper", title="first layer", title_fontsize=8, labelcolor=FAINT
    )
    picture.alt = f"Attention of each head over distance; it looks most so many tokens back: {'; '.join(said)}."
    return picture
