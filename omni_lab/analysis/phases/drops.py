"""Single drop of a loss, as of one fact that is learned: when it falls, how far, how fast.

The curve is smoothed by a broken line of five pieces on logarithmic axes; what is read off it has an interval from the
block bootstrap of the noise around that line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from omni_lab.analysis.logs.curve import Curve
from omni_lab.analysis.phases.lines import hinges, refined, solved
from omni_lab.analysis.phases.rule import RULE
from omni_lab.analysis.phases.segmentation import Work, best_breaks, prepared, refusal

PIECES = 4  # breaks of the smoothing line
_AT = (0.1, 0.5, 0.9)  # parts of the fall


def drop_of(
    curve: Curve, seed: int = 0, draws: int = 99, first: float | None = None
) -> dict[str, Any]:
    """Half-way step of a loss's drop, in log loss between its highest level and the lowest after it.

    Parameters
    ----------
    first : step at which training began; None is the curve's first step

    Returns
    -------
    drop : `falls`, whether the drop is certain and deep enough; `half` (step), `depth` (of log loss) and `width`
        (factor in steps between a tenth and nine tenths of the drop), each with `low` and `high` of its 95 % interval;
        or `falls` false and the `reason`; `fit`, the curve in bins of log steps and the line through it
    """
    if why := refusal(curve):
        return {"falls": False, "reason": why}

    work = prepared(curve, PIECES, seed, draws, curve.steps[0] if first is None else first)
    lines = _smoothed(work)
    rows = {}
    for name, values in _read(work, lines).items():
        own, *others = values.tolist()
        low, high = np.percentile(others, (2.5, 97.5))
        ends = {"value": own, "low": min(low, own), "high": max(high, own)}
        rows[name] = {end: float(f"{value:.6g}") for end, value in ends.items()}

    shallow = rows["depth"]["low"] < RULE.depth
    reason = f"log loss falls by {rows['depth']['value']:.2f}, which is not surely {RULE.depth}"
    curves = {
        "steps": np.exp(work.grid.x) + work.grid.first - 1,
        "observed": np.exp(work.grid.y),
        "fitted": np.exp(lines[0]),
    }
    fit = {name: [float(f"{v:.6g}") for v in part] for name, part in curves.items()}
    return {"falls": not shallow, "reason": reason if shallow else "", **rows, "fit": fit}


def _smoothed(work: Work) -> Float[np.ndarray, "lines bins"]:
    """Smoothing line of the curve, and below it those of its bootstrap draws."""
    grid, whiten = work.grid, work.whiten
    breaks = best_breaks(work, PIECES)[None]

    def through(rows, breaks):
        found, _ = solved(grid, rows, whiten, breaks)
        return (hinges(grid, breaks) @ found[..., None])[..., 0]

    own = through(work.grid.y[None], breaks)
    rows = own + work.draws
    moved, _ = refined(grid, rows, whiten, np.repeat(breaks, len(rows), 0), 6)
    return np.concatenate([own, through(rows, moved)])


def _read(
    work: Work, lines: Float[np.ndarray, "lines bins"]
) -> dict[str, Float[np.ndarray, " lines"]]:
    """Depth, half-way step and width of the drop of every line."""
    read: dict[str, list[float]] = {"half": [], "depth": [], "width": []}
    for line in lines:
        # the highest level is followed by the lowest: of all pairs the one with the deepest fall
        lowest = np.minimum.accumulate(line[::-1])[::-1]
        top = int((line - lowest).argmax())
        bottom = top + int(line[top:].argmin())
        fall = line[top] - line[bottom]
        early, half, late = (
            _crossing(
                work.grid.x[top : bottom + 1], line[top : bottom + 1], line[top] - part * fall
            )
            for part in _AT
        )
        read["depth"].append(fall)
        read["half"].append(work.grid.step(half))
        read["width"].append(np.exp(late - early))
    return {name: np.array(values) for name, values in read.items()}


def _crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """Place at which a curve first falls to a level, between its points."""
    if y.size < 2:
        return float(x[0])
    after = max(1, int((y <= level + 1e-12).argmax()))
    share = (y[after - 1] - level) / max(y[after - 1] - y[after], 1e-12)
    return float(x[after - 1] + np.clip(share, 0, 1) * (x[after] - x[after - 1]))
