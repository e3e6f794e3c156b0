"""Calibration of the phase finder: false alarms and detection by family, by noise, and beside its peers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from omni_lab.plots.palette import INK, LINE
from omni_lab.plots.style import new_picture, notice, styled

THREE = "three phases"
_COLOURS = {"white": "#88CCEE", "ar .5": "#44AA99", "ar .9": "#DDCC77", "red": "#882255"}
_WHO = {
    "omni_lab": ("ours (drop, then plateau)", INK, "o"),
    "trainspotter": ("trainspotter", "#332288", "s"),
    "runmedic": ("runmedic", "#CC6677", "D"),
}


@styled
def draw_phase_calibration(record: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> Figure:
    """False alarms and detection of "three phases" on simulated losses, and what peers call a plateau.

    Left: the rate of the verdict "three phases" per family, with Wilson's 95 % interval (losses without three phases
    under all conditions, those with them at the stated noise), and the bounds that were set beforehand. Middle:
    detection by noise and its colour, of all lengths. Right: how often a plateau is said to be there.

    Parameters
    ----------
    record : of the experiment `phases`
    cells : rows of its `calibration.json`: `family`, `steps`, `sigma`, `colour`, `verdicts` (verdict → number)
    """
    rates = record["details"]["intervals"]
    if not cells or not rates:
        return notice("No simulated loss was judged.")

    false = {name: r for name, r in rates.items() if not name.startswith("three") and r["n"]}
    found = {name: r for name, r in rates.items() if name.startswith("three") and r["n"]}
    alt = "; ".join(f"{name} {r['yes']} of {r['n']}" for name, r in {**false, **found}.items())
    picture = new_picture(12.2, 4.6, f"Losses said to have three phases, by family: {alt}.")
    left, middle, right = picture.subplots(1, 3, width_ratios=[1.15, 1, 1.25])
    _draw_rates(left, false, found)
    _draw_noise(middle, cells)
    _draw_peers(right, record["details"]["says_plateau"])
    return picture


def _draw_rates(ax: Axes, false: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Rate of the verdict per family, with its interval and bound."""
    rows = [
        *((name, r, INK) for name, r in false.items()),
        *((n, r, "#117733") for n, r in found.items()),
    ]
    for y, (_, rate, colour) in enumerate(rows):
        ax.plot(rate["interval"], [y, y], color=colour, linewidth=1.6)
        ax.plot([rate["yes"] / rate["n"]], [y], "o", color=colour, markersize=5)
    ax.set_yticks(range(len(rows)), [f"{name}  (n = {rate['n']})" for name, rate, _ in rows])
    ax.invert_yaxis()
    ax.vlines(0.05, -0.5, len(false) - 0.5, color="#CC6677", linestyle=(0, (4, 3)), linewidth=1)
    if found:
        ax.vlines(
            0.9,
            len(false) - 0.5,
            len(rows) - 0.5,
            color="#CC6677",
            linestyle=(0, (4, 3)),
            linewidth=1,
        )
    ax.axhline(len(false) - 0.5, color=LINE, linewidth=0.8)
    _as_percent(ax.xaxis, ax.set_xlim)
    ax.set_xlabel(
        "said to have three phases (dashed: the bounds)\nabove, no loss has them; below, every loss does"
    )
    ax.set_title("false alarms, and three phases found")


def _draw_noise(ax: Axes, cells: Sequence[Mapping[str, Any]]) -> None:
    """Detection over the strength of noise, a line per colour: from 1,000 steps on, and for the shortest."""
    three = [cell for cell in cells if cell["family"].startswith("three")]
    for colour, shade in _COLOURS.items():
        for long in (True, False):
            own = [c for c in three if c["colour"] == colour and (c["steps"] >= 1000) == long]
            sigmas = sorted({cell["sigma"] for cell in own})
            rates = [_rate(cell for cell in own if cell["sigma"] == sigma) for sigma in sigmas]
            style = "-" if long else (0, (2, 2))
            label = colour.replace("ar ", "AR(1) ") if long else None
            ax.plot(sigmas, rates, "o", color=shade, linestyle=style, markersize=4, label=label)
    ax.set_xscale("log")
    ax.set_xticks([0.02, 0.05, 0.1, 0.2], [".02", ".05", ".1", ".2"])
    ax.minorticks_off()
    _as_percent(ax.yaxis, ax.set_ylim)
    ax.set_xlabel("noise of log loss per step")
    ax.set_ylabel("three phases found")
    ax.legend(loc=(0.03, 0.14), title="from 1,000 steps on\n(dotted: 300 steps)", title_fontsize=8)
    ax.set_title("losses with three phases")


def _rate(cells: Iterable[Mapping[str, Any]]) -> float:
    counts = [cell["verdicts"] for cell in cells]
    total = sum(sum(count.values()) for count in counts)
    return sum(count.get(THREE, 0) for count in counts) / max(1, total)


def _draw_peers(ax: Axes, said: Mapping[str, Mapping[str, Any]]) -> None:
    """How often each tool says that a family's losses have a plateau, or stopped improving."""
    for y, who_said in enumerate(said.values()):
        ax.axhline(y, color=LINE, linewidth=0.5)
        for shift, (who, (_, colour, marker)) in zip((-0.16, 0, 0.16), _WHO.items(), strict=True):
            if who in who_said:
                answer = who_said[who]
                ax.plot(
                    [answer["yes"] / answer["n"]], [y + shift], marker, color=colour, markersize=5
                )
    ax.set_yticks(range(len(said)), list(said))
    ax.invert_yaxis()
    handles = [ax.plot([], [], m, color=c, label=label)[0] for label, c, m in _WHO.values()]
    ax.legend(handles=handles, loc=(0.22, 0.14), frameon=True, edgecolor=LINE)
    _as_percent(ax.xaxis, ax.set_xlim)
    ax.set_xlabel("says: a plateau, or no longer improving")
    ax.set_title("plateaus that tools see in the same losses")


def _as_percent(axis: Any, limits: Any) -> None:
    axis.set_major_formatter(PercentFormatter(1.0))
    limits(-0.03, 1.03)
