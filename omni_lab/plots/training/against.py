"""A run against recorded ones: its curve over their prediction band, total first, then what leaves its band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from omni_lab.plots.palette import FAINT, INK, LINE
from omni_lab.plots.style import drawable, new_picture, shortened, styled

BAND, RUN, LEFT = "#56B4E9", INK, "#D55E00"
_COLUMNS, _MOST = 3, 9  # panels below the total


@styled
def draw_against(record: Mapping[str, Any]) -> Figure:
    """Loss of a run over the band of its references; windows outside it are dots.

    Parameters
    ----------
    record : what `Comparison.to_dict` returns, or the same read from JSON
    """
    curves = dict(record["curves"])
    main = next(iter(curves))
    others = sorted((n for n in curves if n != main), key=lambda n: -(curves[n]["outside"] or 0))
    shown = others[:_MOST]
    rows = -(-len(shown) // _COLUMNS)
    alt = "; ".join(_in_words(name, curves[name]) for name in [main, *shown])
    title = f"{record['run']} against {len(record['references'])} recorded runs"
    picture = new_picture(8.4, 3.6 + 1.9 * rows, f"{title}: {alt}.")
    heights = [3.6, *[1.9] * rows]
    grid = picture.add_gridspec(1 + rows, _COLUMNS, height_ratios=heights)

    top = picture.add_subplot(grid[0, :])
    _draw(top, curves[main])
    top.set_title(drawable(f"{shortened(title, 90)} · {main}"))
    top.set_ylabel("loss (nats per token)")
    top.set_xlabel("step")
    top.legend(loc="best")
    for place, name in enumerate(shown):
        ax = picture.add_subplot(grid[1 + place // _COLUMNS, place % _COLUMNS])
        _draw(ax, curves[name], small=True)
        ax.set_title(drawable(shortened(name, 34)), fontsize=8)
        ax.set_xlabel("step", fontsize=8)
        if place % _COLUMNS == 0:
            ax.set_ylabel("nats per token", fontsize=8)
    return picture


def _draw(ax: Axes, curve: Mapping[str, Any], small: bool = False) -> None:
    """Band, mean and run of one curve."""
    starts, ends, run, mean = (
        np.array(curve[key], float) for key in ("steps", "ends", "run", "mean")
    )
    steps = (starts + ends) / 2
    scaled = np.exp if curve["scale"] == "log" else np.asarray
    ax.plot(steps, scaled(mean), color=BAND, linewidth=1.2, label="mean of the references")
    if curve["half"] is not None:
        half = np.array(curve["half"], float)
        low, high = scaled(mean - half), scaled(mean + half)
        ax.fill_between(
            steps, low, high, color=BAND, alpha=0.3, linewidth=0, label="95 % band for a new run"
        )
    ax.plot(steps, scaled(run), color=RUN, linewidth=1.0 if small else 1.6, label="this run")
    if curve["half"] is not None:
        out = np.abs(run - mean) > half
        if out.any():
            ax.plot(steps[out], scaled(run)[out], ".", color=LEFT, markersize=4 if small else 6,
                    label="outside the band", gid="outside")  # fmt: skip
    if curve["leaves"]:
        ax.axvline(curve["leaves"][0], color=LEFT, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)
    if curve["scale"] == "log":
        _logarithmic(ax)
    ax.grid(axis="y", color=LINE, alpha=0.5)
    if small:
        ax.tick_params(labelsize=7, colors=FAINT)


def _logarithmic(ax: Axes) -> None:
    """Logarithmic losses with numbers as people write them."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    low, high = ax.get_ylim()
    if high < 2.5 * low:  # too few of 1, 2, 5 in it
        ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_locator(NullLocator())


def _in_words(name: str, curve: Mapping[str, Any]) -> str:
    """One panel in words, for readers who do not see it."""
    unit = "times the mean" if curve["scale"] == "log" else "beside the mean"
    end = f"{curve['final']:.2f} {unit} at the end"
    if curve["outside"] is None:
        return f"{name} is {end}"
    if not curve["leaves"]:
        return f"{name} is inside its band, {end}"
    return f"{name} leaves its band at step {curve['leaves'][0]:g}, {end}"
