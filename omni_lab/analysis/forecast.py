"""Forecast of a training loss on another mixture of skills, from the loss of every skill on this one.

If a total is a sum of skills that fall one after the other (quanta; Michaud et al. 2023), the curve
of a skill should depend on how much of it has been practised. With γ = 1 only its own practice
counts: asked half as often, it falls after twice as many steps. With γ = 0 only the step counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.logs.curve import Curve

REST = "rest"  # supervised tokens that state no fact
GRID = np.linspace(0.0, 1.5, 31)  # of γ


def smoothed(curve: Curve, width: float = 0.06) -> Curve:
    """Curve by a Gaussian mean of log loss over log steps, without the noise of single batches.

    Parameters
    ----------
    width : standard deviation of the kernel, in log steps
    """
    place = np.log1p(curve.steps)
    grid = np.linspace(place[0], place[-1], 240)
    weights = np.exp(-0.5 * ((grid[:, None] - place) / width) ** 2)
    weights = np.maximum(weights, 1e-300)
    values = weights @ np.log(np.maximum(curve.values, 1e-6)) / weights.sum(1)
    return Curve(curve.name, np.expm1(grid), np.exp(values))


def stretched(
    curve: Curve, steps: Float64[np.ndarray, " points"], practice: float
) -> Float64[np.ndarray, " points"]:
    """Values of a curve at steps that each count `practice` times; its ends go on level."""
    return np.exp(
        np.interp(np.log1p(steps * practice), np.log1p(curve.steps), np.log(curve.values))
    )


def forecast(
    skills: Mapping[str, Curve],
    here: Mapping[str, float],
    there: Mapping[str, float],
    steps: Float64[np.ndarray, " points"],
    gamma: float,
) -> dict[str, Float64[np.ndarray, " points"]]:
    """Loss of every skill on another mixture, and their `total`.

    Parameters
    ----------
    skills : smoothed loss of every skill on this mixture, `REST` included
    here, there : fraction of the supervised tokens that each skill has on this mixture and on the
        other; what `there` lacks is not asked there
    gamma : exponent of the ratio of practice
    """
    out = {
        name: stretched(skills[name], steps, (there[name] / here[name]) ** gamma)
        for name in skills
        if there.get(name, 0) > 0
    }
    total = sum(there[name] * values for name, values in out.items())
    return {**out, "total": np.asarray(total, np.float64)}


def rest_of(total: Curve, skills: Mapping[str, Curve], shares: Mapping[str, float]) -> Curve:
    """Smoothed loss of the supervised tokens that state no fact: what the skills leave of the total.

    Parameters
    ----------
    total, skills : smoothed
    """
    left = total.values - sum(
        shares[name] * stretched(curve, total.steps, 1.0) for name, curve in skills.items()
    )
    share = 1 - sum(shares[name] for name in skills)
    return Curve(REST, total.steps, np.maximum(left / max(share, 1e-9), 1e-4))


def fitted_gamma(
    pairs: Sequence[tuple[Mapping[str, Curve], Mapping[str, Curve]]],
    here: Mapping[str, float],
    there: Mapping[str, float],
) -> tuple[float, list[float]]:
    """Exponent of practice that best carries skills from one mixture to another, and its errors.

    Parameters
    ----------
    pairs : per seed, smoothed skills on this mixture and on the other

    Returns
    -------
    gamma : with the least mean square of log loss over skills, steps and seeds
    errors : root mean square of log loss for every γ of `GRID`
    """
    errors = []
    for gamma in GRID:
        squares = []
        for own, other in pairs:
            for name in set(own) & set(other) - {REST}:
                steps = other[name].steps[other[name].steps > 20]  # after the rate has risen
                guess = stretched(own[name], steps, (there[name] / here[name]) ** gamma)
                seen = stretched(other[name], steps, 1.0)
                squares.append(np.mean((np.log(guess) - np.log(seen)) ** 2))
        errors.append(float(np.sqrt(np.mean(squares))))
    return float(GRID[int(np.argmin(errors))]), errors
