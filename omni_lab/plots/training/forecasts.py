"""Forecast of a loss curve beside what came: total, break times, and the facts it was made of."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omni_lab.plots.evaluation.facts import in_words
from omni_lab.plots.palette import FAINT, INK
from omni_lab.plots.style import how_many, logarithmic, new_picture, notice, styled

_TOLD, _SAME, _SHARES = "#882255", "#8C6D31", "#88CCEE"
_REST = "rest"


@styled
def draw_forecast(record: dict[str, Any]) -> Figure:
    """Total loss that was forecast, two simpler guesses, and the seeds that were run afterwards.

    Dots are the two bends of each curve. On the right, the forecast of every fact, thicker where
    more is asked about it.

    Parameters
    ----------
    record : of the experiment `forecast`: in `details`, `forecast` (`steps`, `curves`, `breaks`,
        `shares`, `gamma`), `seen` and `breaks` (one per seed)
    """
    details = record.get("details") or {}
    told, seen = details.get("forecast"), details.get("seen") or []
    if not told:
        return notice("No forecast is recorded.")

    errors = {name: record["metrics"][f"error.{name}"]["mean"] for name in
              ("forecast", "shares", "the_same")}  # fmt: skip
    picture = new_picture(
        9.4, 3.9,
        "Forecast of the answers' loss on another mixture. Root mean square error of log loss: "
        + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in errors.items())
        + ".",
    )  # fmt: skip
    left, right = picture.subplots(1, 2, sharex=True, gridspec_kw={"width_ratios": [1.25, 1]})
    steps = told["steps"]
    for number, (curve, bends) in enumerate(zip(seen, details.get("breaks", []), strict=False)):
        label = "" if number else f"as it came, {how_many(len(seen), 'seed')}"
        left.plot(steps, curve, color=INK, alpha=0.55, linewidth=1, label=label)
        _bends(left, steps, curve, bends, INK)
    for name, curve, colour, dashes in (
        ("the first mixture's curve", told["the_same"], _SAME, ":"),
        ("shares alone (γ = 0)", told["shares_alone"], _SHARES, "--"),
        (f"forecast (γ = {told['gamma']:.2f})", told["curves"]["total"], _TOLD, "-"),
    ):
        left.plot(steps, curve, color=colour, linestyle=dashes, linewidth=1.8, label=name)
    _bends(left, steps, told["curves"]["total"], told["breaks"], _TOLD)
    left.set(ylabel="loss on answers (nats per token)", xlabel="step")
    left.legend(loc="lower left")

    shares = told["shares"]["foretold"]
    for name, curve in told["curves"].items():
        if name in ("total", _REST):
            continue
        right.plot(steps, curve, color=FAINT, linewidth=0.6 + 30 * shares[name], alpha=0.8)
    ends = {name: c[-1] for name, c in told["curves"].items() if name not in ("total", _REST)}
    for name, height in _apart(ends).items():
        right.annotate(
            in_words(name), (steps[-1], height), (3, 0), textcoords="offset points",
            fontsize=6.5, va="center", color=FAINT, annotation_clip=False,
        )  # fmt: skip
    right.set(xlabel="step", ylabel="forecast loss of facts (nats per token)")
    for ax in (left, right):
        logarithmic(ax, both=True)
    return picture


def _apart(heights: dict[str, float], lines: int = 26) -> dict[str, float]:
    """Heights on a logarithmic axis that has room for so many lines, none upon another."""
    gap = (max(heights.values()) / min(heights.values())) ** (1 / lines)
    out: dict[str, float] = {}
    above = math.inf
    for name, height in sorted(heights.items(), key=lambda pair: -pair[1]):
        out[name] = above = min(height, above / gap)
    return out


def _bends(ax: Axes, steps: list[float], curve: list[float], at: list[float], colour: str) -> None:
    """Dots where a curve bends."""
    for bend in at:
        nearest = min(range(len(steps)), key=lambda i: abs(steps[i] - bend))
        ax.plot([steps[nearest]], [curve[nearest]], "o", color=colour, markersize=5)
