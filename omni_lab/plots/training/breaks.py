"""A broken line found by hand: curves on two kinds of axes, the search for one break, and its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from omni_lab.plots.palette import FAINT, INK
from omni_lab.plots.style import how_many, logarithmic, new_picture, notice, styled

_SHADES = ("#882255", "#117733", "#332288", "#CC6677", "#44AA99", "#8C6D31")
_FOUND = "#882255"


@styled
def draw_axes(
    curves: Mapping[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],
    label: str = "loss (nats per token)",
) -> Figure:
    """The same curves on plain axes and on logarithmic ones.

    Parameters
    ----------
    curves : name → steps and losses, all above zero
    """
    if not curves:
        return notice("No curve is given.")
    names = ", ".join(curves)
    picture = new_picture(8.6, 3.5, f"{names}: on plain axes, and on logarithmic ones.")
    plain, logs = picture.subplots(1, 2)
    for ax in (plain, logs):
        for (name, (steps, losses)), shade in zip(
            curves.items(), _shades(len(curves)), strict=True
        ):
            ax.plot(steps, losses, color=shade, linewidth=1.2, label=name, gid=f"curve-{name}")
        ax.set_xlabel("step + 1")
    plain.set_ylim(bottom=0)
    plain.grid(axis="y")
    plain.set(ylabel=label, title="plain axes")
    logs.set_title("both axes logarithmic")
    logarithmic(logs, both=True)
    plain.legend(loc="upper right")
    return picture


@styled
def draw_search(
    steps: Float[np.ndarray, " bins"],
    losses: Float[np.ndarray, " bins"],
    line: Float[np.ndarray, " bins"],
    places: Float[np.ndarray, " tried"],
    errors: Sequence[float],
) -> Figure:
    """Loss with the best broken line on the left; on the right the squared error of every break tried.

    Parameters
    ----------
    steps, losses, line : of the bins, steps from 1
    places, errors : steps at which a break was tried, and the squared error of log loss with it
    """
    best = places[int(np.argmin(errors))]
    picture = new_picture(
        8.6, 3.4,
        f"A broken line through a loss; of {how_many(len(places), 'place')} for its break, step "
        f"{best:.0f} leaves the least squared error, {min(errors):.3g}.",
    )  # fmt: skip
    left, right = picture.subplots(1, 2, sharex=True)
    left.plot(steps, losses, "o", color=FAINT, markersize=2.5, label="loss, mean of a bin")
    left.plot(steps, line, color=_FOUND, linewidth=1.6, label="best broken line", gid="line")
    left.set(ylabel="loss (nats per token)", xlabel="step + 1")
    logarithmic(left, both=True)
    left.legend(loc="upper right")

    right.plot(places, errors, "o-", color=INK, markersize=3.5, linewidth=1, gid="errors")
    right.set(ylabel="squared error of log loss", xlabel="step + 1 of the break", ylim=(0, None))
    right.grid(axis="y")
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_minor_formatter(FuncFormatter(_two_or_five))
    for ax in (left, right):
        ax.axvline(best, color=_FOUND, linewidth=0.9, linestyle=(0, (3, 2)))
    return picture


@styled
def draw_null(gains: Mapping[str, tuple[float, Sequence[float]]]) -> Figure:
    """Gain of breaks in each curve, beside what they gain on smooth curves with the same noise.

    Parameters
    ----------
    gains : name → the gain that was seen, and the gains under the null
    """
    if not gains:
        return notice("No test was made.")
    told = "; ".join(
        f"{name}: {seen:.3g}, of {len(null)} smooth ones {sum(g >= seen for g in null)} as large"
        for name, (seen, null) in gains.items()
    )
    picture = new_picture(4.3 * len(gains), 2.9, f"Gain of breaks. {told}.")
    axes: Sequence[Axes] = picture.subplots(1, len(gains), squeeze=False)[0]
    for ax, (name, (seen, null)) in zip(axes, gains.items(), strict=True):
        low, top = min(0.0, seen, *null), max(seen, *null)
        low, top = low - 0.04 * (top - low), top + 0.06 * (top - low)
        bins = np.linspace(low, top, 40)
        ax.hist(null, bins=bins, color="#9aa3af", label="smooth, with the same noise")
        ax.axvline(seen, color=_FOUND, linewidth=1.8, label="this curve", gid=f"seen-{name}")
        ax.set(xlim=(low, top), xlabel="gain of breaks (noise variances)", title=name)
    axes[0].set_ylabel("curves drawn under the null")
    axes[-1].legend(loc="upper center")
    return picture


def _two_or_five(value: float, _: object) -> str:
    """Number on a logarithmic axis, where it begins with 2 or 5, so that numbers have room."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _shades(count: int) -> list[str]:
    """Colours of so many curves, repeated where there are more of them."""
    return [_SHADES[at % len(_SHADES)] for at in range(count)]
