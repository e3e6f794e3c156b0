"""Small exercises of notebook 07 on intervals: of a rate (Wilson), and of a mean over seeds (Student)."""

from __future__ import annotations

import math

import numpy as np

from omni_lab.check.step import Step
from omni_lab.evaluation.intervals import wilson


# --- plausible: the rates that could have given what was counted (Wilson's interval)
def _kept(rates, right, total, spread, z=1.96, strict=False):
    """Rates within z spreads of the one that was measured."""
    out = []
    for rate in rates:
        far, most = abs(right / total - rate), z * math.sqrt(max(0.0, spread(rate)))
        if far < most or (far == most and not strict):
            out.append(rate)
    return out


def _of_measured(rates, right, total):
    share = right / total
    return _kept(rates, right, total, lambda rate: share * (1 - share) / total)


_SPREAD = "a rate r spreads what is measured by √(r (1 − r) / total), so keep |right / total − r| ≤ 1.96 times that"
_GRID = [number / 40 for number in range(41)]

plausible = Step(
    right=lambda rates, right, total: [
        rate for rate in rates if wilson(right, total)[0] <= rate <= wilson(right, total)[1]
    ],
    cases=[
        (_GRID, 30, 30),
        (_GRID, 20, 30),
        (_GRID, 0, 30),
        (_GRID, 1, 5),
        (_GRID, 150, 200),
        ([0.5, 0.1, 0.3], 3, 10),
    ],
    rule=_SPREAD,
    mistakes=[
        (
            _of_measured,
            "you take the spread at the rate that was measured: at 30 of 30 it is 0, and 30 right "
            "answers would make any rate but 1 impossible. Take it at each rate that you test",
        ),
        (
            lambda rates, right, total: _kept(
                rates, right, total, lambda rate: rate * (1 - rate) / total, strict=True
            ),
            "at rates 0 and 1 the spread is 0, and so is the distance where all or none are "
            "right: they fit, so keep ≤ and not <",
        ),
        (
            lambda rates, right, total: _kept(
                rates, right, total, lambda rate: rate * (1 - rate) / total, 1
            ),
            "the 1.96 is missing: one spread holds 68 % of what is measured, 1.96 hold 95 %",
        ),
        (
            lambda rates, right, total: _kept(
                rates, right, total, lambda rate: rate * (1 - rate)
            ),
            "your spread is that of a single trial; that of a mean over n trials is √n times "
            "smaller",
        ),
        (
            lambda rates, right, total: _kept(
                rates, right, total, lambda rate: (rate * (1 - rate) / total) ** 2
            ),
            "the square root is missing: r (1 − r) / total is a variance",
        ),
        (
            lambda rates, right, total: _kept(
                rates, right, total, lambda rate: rate * (1 - rate) / total**2
            ),
            "the spread falls with √total, not with total: divide inside the root",
        ),
        (
            lambda rates, right, total: [
                rate for rate in rates if rate not in set(_kept(
                    rates, right, total, lambda rate: rate * (1 - rate) / total
                ))
            ],
            "these are the rates that do *not* fit: keep those within 1.96 spreads",
        ),
        (
            lambda rates, right, total: [
                rate for rate in rates
                if abs(right / total - rate) >= 1.96 * math.sqrt(rate * (1 - rate) / total)
            ],
            "these are the rates that do *not* fit: keep those within 1.96 spreads",
        ),
        (
            lambda rates, right, total: [
                rate for rate in rates
                if right / total - rate <= 1.96 * math.sqrt(rate * (1 - rate) / total)
            ],
            "the distance needs abs(…): a rate far *above* what was measured does not fit either",
        ),
        (
            lambda rates, right, total: [
                rate for rate in rates
                if rate - right / total <= 1.96 * math.sqrt(rate * (1 - rate) / total)
            ],
            "the distance needs abs(…): a rate far *below* what was measured does not fit either",
        ),
        (
            lambda rates, right, total: list(wilson(right, total)),
            "these are the two ends of the interval; return all rates of the list that fit",
        ),
        (
            lambda rates, right, total: [
                wilson(right, total)[0] <= rate <= wilson(right, total)[1] for rate in rates
            ],
            "this says True or False for every rate; return the rates themselves",
        ),
    ],
    inputs=lambda source: (
        [source.random() for _ in range(30)],
        *((lambda total: (source.randrange(total + 1), total))(source.randrange(2, 60))),
    ),
    shows="30 right answers of 30 fit every rate from 0.89 to 1",
)  # fmt: skip


# --- student: the mean of a few seeds, and how far it can be trusted
def _interval(values, quantile, less=1, root=0.5, power=0.5):
    mean, n = np.mean(values), len(values)
    squares = float(sum((value - mean) ** 2 for value in values))
    variance = squares / (n - less) if n != less else math.inf if squares else math.nan
    half = quantile * variance**power / n**root
    return [mean - half, mean + half]


def _spread(values):
    return float(np.std(values, ddof=1)) or 5e-324


_HALF = "the interval is mean ± quantile · s / √n, with s² = Σ (value − mean)² / (n − 1)"

student = Step(
    right=_interval,
    cases=[
        ([0.96, 0.98, 0.94], 4.303),
        ([2.0, 5.0], 12.706),
        ([1.0, 1.0, 1.0, 1.0], 3.182),
        ([-1.0, 0.5, 2.0, 4.0, 0.0], 2.776),
    ],
    rule=_HALF,
    mistakes=[
        (
            lambda values, quantile: _interval(values, quantile, less=0),
            "s² is divided by n; around a mean of the same n values they look closer than they "
            "are, so divide by n − 1 (in NumPy: ddof=1)",
        ),
        (
            lambda values, quantile: _interval(values, quantile, less=-1),
            f"s² is divided by n + 1, where it takes n − 1: {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, quantile, less=2),
            f"s² is divided by n − 2, where it takes n − 1: {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, quantile, root=0),
            "the √n is missing: this is how far one *seed* strays; a mean of n seeds strays less",
        ),
        (
            lambda values, quantile: _interval(values, quantile, root=1),
            f"divided by n, where the mean of n values strays √n times less: {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, quantile, root=-0.5),
            f"multiplied by √n: a mean of more values strays less, so divide; {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, quantile, power=1),
            f"the variance s² stands where its root s belongs: {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, quantile, root=1, power=1),
            f"the square root is missing: {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, 1),
            "the quantile is missing: one s / √n to each side holds far less than 95 %",
        ),
        (
            lambda values, quantile: _interval(values, 1.96),
            "1.96 is the normal distribution's; with s from so few seeds Student's quantile, "
            "which you are given, is wider",
        ),
        (
            lambda values, quantile: [
                np.mean(values) + sign * (quantile * np.std(values, ddof=1) // len(values) ** 0.5)
                for sign in (-1, 1)
            ],
            "// drops what is left over; half a width is a fraction, made with /",
        ),
        (
            lambda values, quantile: [
                np.mean(values) + sign * quantile / _spread(values) / len(values) ** 0.5
                for sign in (-1, 1)
            ],
            f"divided by the spread s, where it multiplies: {_HALF}",
        ),
        (
            lambda values, quantile: [
                quantile + sign * (_interval(values, quantile)[1] - np.mean(values))
                for sign in (-1, 1)
            ],
            "your interval lies around the quantile; it lies around the mean of the values",
        ),
        (
            lambda values, quantile: [math.nan, math.nan],
            "nan: a spread needs two values at least; is it that of `values`?",
        ),
        (
            lambda values, quantile: _interval(values, 1 / quantile),
            f"divided by the quantile, where it multiplies: {_HALF}",
        ),
        (
            lambda values, quantile: _interval(values, quantile)[::-1],
            "the two ends have changed places: the low one comes first",
        ),
        (
            lambda values, quantile: [float(np.mean(values))] * 2,
            "both ends are the mean: one is half a width below it, the other above",
        ),
        (
            lambda values, quantile: [_interval(values, quantile)[0]] * 2,
            "both ends lie below the mean; the second is mean + half",
        ),
        (
            lambda values, quantile: [_interval(values, quantile)[1]] * 2,
            "both ends lie above the mean; the first is mean − half",
        ),
        (
            lambda values, quantile: [min(values), max(values)],
            "these are the smallest and the largest value; the interval is about their *mean*",
        ),
        (
            lambda values, quantile: float(_interval(values, quantile)[1] - np.mean(values)),
            "this is half the width alone; return two numbers, mean − half and mean + half",
        ),
        (
            lambda values, quantile: [
                np.mean(values),
                _interval(values, quantile)[1] - np.mean(values),
            ],
            "these are the mean and half the width; return mean − half and mean + half",
        ),
        (
            lambda values, quantile: float(np.mean(values)),
            "this is the mean alone: how far can it be trusted? Return mean − half and mean + half",
        ),
        (
            lambda values, quantile: [np.mean(values) + sign * np.std(values) for sign in (-1, 1)],
            f"this is one spread of the *seeds* to each side, not an interval of their mean: {_HALF}",
        ),
        (
            lambda values, quantile: [np.mean(values), _interval(values, quantile)[1]],
            "the low end is the mean itself; it is mean − half",
        ),
    ],
    inputs=lambda source: (
        [source.uniform(-1, 1) for _ in range(source.randrange(2, 8))],
        source.uniform(2, 13),
    ),
    shows="0.96, 0.98, 0.94 have the mean 0.96, and their interval is 0.91 to 1.01",
)
