"""A total loss taken apart: each fact's share of it, and when each leaves its guess."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from omni_lab.plots.evaluation.facts import in_words
from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import logarithmic, new_picture, notice, styled


@styled
def draw_mixture(
    steps: Float[np.ndarray, " steps"],
    parts: Mapping[str, Float[np.ndarray, " steps"]],
    seen: Float[np.ndarray, " steps"] | None = None,
    plateau: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """Total loss as a sum: one band per part, share times loss, and their total on logarithmic axes.

    Parameters
    ----------
    steps : from 1
    parts : name → share × loss, drawn from below in this order
    seen : total that was recorded, where there is one
    plateau : first and last step, shaded
    """
    if not parts:
        return notice("The mixture asks nothing.")
    total = np.sum(list(parts.values()), axis=0)
    at = f", plateau from step {plateau[0]:.0f} to {plateau[1]:.0f}" if plateau else ", no plateau"
    picture = new_picture(
        9.6, 3.7, f"{title or 'Total loss'} as a sum of {len(parts)} parts{at}: {', '.join(parts)}."
    )
    left, right = picture.subplots(1, 2, sharex=True)
    low = np.zeros_like(total)
    for (name, part), shade in zip(parts.items(), _from_early_to_late(len(parts)), strict=True):
        left.fill_between(steps, low, low + part, color=shade, linewidth=0, label=in_words(name))
        low = low + part
    left.set(
        ylabel="share × loss (nats per token)",
        ylim=(0, 1.3 * float(np.median(total[: len(total) // 2]))),
    )
    left.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, reverse=True)

    if seen is not None:
        right.plot(steps, seen, color=FAINT, linewidth=0.8, alpha=0.7, label="recorded")
    right.plot(steps, total, color=INK, linewidth=1.5, label="sum of the parts", gid="total")
    right.set(ylabel="total (nats per token)", title=title)
    right.legend(loc="lower left")
    logarithmic(right, both=True)
    for ax in (left, right):
        ax.set_xlabel("step + 1")
        if plateau:
            ax.axvspan(*plateau, color=LINE, alpha=0.35, linewidth=0, zorder=0, gid="plateau")
    return picture


@styled
def draw_staggered(
    steps: Float[np.ndarray, " steps"],
    losses: Mapping[str, Float[np.ndarray, " steps"]],
    guesses: Mapping[str, float],
    drops: Mapping[str, float | None],
    plateau: tuple[float, float] | None = None,
) -> Figure:
    """Loss of every fact over the loss of a mere guess, with the step at which it begins to fall.

    Parameters
    ----------
    steps : from 1
    losses : fact → loss, smoothed (nats per token)
    guesses : fact → loss of a guess that knows how often each answer is right
    drops : fact → step of its second drop, None where there is none
    plateau : of the total, shaded
    """
    if not losses:
        return notice("No fact has a curve.")
    order = sorted(losses, key=lambda name: drops.get(name) or np.inf)
    told = ", ".join(
        f"{in_words(name)} {f'{drops[name]:.0f}' if drops.get(name) else 'never'}" for name in order
    )
    picture = new_picture(
        8.6, 4.2, f"Facts fall below a guess one after the other, from step: {told}."
    )
    left, right = picture.subplots(1, 2, width_ratios=[1.5, 1])
    shades = dict(zip(order, _from_early_to_late(len(order)), strict=True))
    for name in order:
        left.plot(steps, losses[name] / guesses[name], color=shades[name], linewidth=1.2)
    left.axhline(1, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    left.set(ylabel="loss ÷ loss of a guess", xlabel="step + 1", ylim=(0.05, 4))
    logarithmic(left, both=True)
    if plateau:
        left.axvspan(*plateau, color=LINE, alpha=0.35, linewidth=0, zorder=0, gid="plateau")
    _marks(right, order, drops, shades, float(steps[-1]))
    if plateau:
        right.axvspan(*plateau, color=LINE, alpha=0.35, linewidth=0, zorder=0)
        left.set_title("shaded: the plateau of the total")
    return picture


def _marks(
    ax: Axes,
    order: list[str],
    drops: Mapping[str, float | None],
    shades: Mapping[str, str],
    end: float,
) -> None:
    """Step at which each fact begins its second drop; an arrow's head where it never does."""
    for y, name in enumerate(order):
        at = drops.get(name)
        ax.plot([1, at or end], [y, y], color=shades[name], linewidth=2.2)
        ax.plot([at or end], [y], "o" if at else ">", color=shades[name], markersize=6,
                gid=f"drop-{name}")  # fmt: skip
    ax.set_yticks(range(len(order)), [in_words(name) for name in order])
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlim(10, end * 1.3)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("begins to fall below a guess (step)\n▸ not within the run")


def _from_early_to_late(count: int) -> list[str]:
    """Colours from dark to light, one for each part."""
    return [to_hex(colormaps["viridis"](at)) for at in np.linspace(0.0, 0.95, max(count, 1))]
