"""Small exercises of notebook 05 on log-log axes: a slope, and a line that is broken once."""

from __future__ import annotations

import math
import random

import numpy as np

from omni_lab.check.step import Step
from omni_lab.check.stopping import Stopping


def _solved(x, y, breaks) -> tuple[list[float], float]:
    """Slopes of a broken line and its squared error, by the package."""
    from omni_lab.analysis.phases.lines import solved
    from omni_lab.analysis.phases.noise import at_points

    grid = at_points(np.array(x, float), np.array(y, float))
    places = np.array([breaks], float).reshape(1, len(breaks))
    found, error = solved(grid, grid.y[None], np.eye(len(x)), places)
    return found[0, 1:].cumsum().tolist(), float(error[0])


def _slope(step_a, loss_a, step_b, loss_b) -> float:
    slopes, _ = _solved(np.log([step_a, step_b]), np.log([loss_a, loss_b]), [])
    return slopes[0]


def _log_ratio(a, b) -> float:
    return math.log(b) - math.log(a)


_PLAIN = "this is the slope on plain axes: take the logarithm of steps and of losses first"
_ONE = "only one of the two axes is logarithmic here: take logarithms of steps and of losses"
_UPSIDE = "upside down: how far log loss goes, divided by how far log step goes"
_SIGN = "the wrong sign: a loss that falls has a negative slope, last minus first on both axes"
_SUM = "logarithms are added: a slope compares differences, log of the last minus log of the first"
_ORDER = "the arguments are mixed up: they come as step, loss, step, loss"
slope = Stopping(
    right=_slope,
    cases=[
        (10, 4.0, 1000, 0.4),
        (100, 2.0, 400, 1.0),
        (50, 1.0, 200, 1.0),
        (20, 0.5, 30, 0.9),
        (48, 0.86, 213, 0.78),
    ],
    rule="(log of the last loss − log of the first) / (log of the last step − log of the first)",
    mistakes=[
        (lambda s, a, t, b: (b - a) / (t - s), _PLAIN),
        (lambda s, a, t, b: (b - a) / _log_ratio(s, t), _ONE),
        (lambda s, a, t, b: _log_ratio(a, b) / (t - s), _ONE),
        (lambda s, a, t, b: _log_ratio(s, t) / _log_ratio(a, b), _UPSIDE),
        (lambda s, a, t, b: -_log_ratio(a, b) / _log_ratio(s, t), _SIGN),
        (lambda s, a, t, b: math.log(b * a) / _log_ratio(s, t), _SUM),
        (lambda s, a, t, b: _log_ratio(a, b) / math.log(s * t), _SUM),
        (lambda s, a, t, b: math.log(b * a) / math.log(s * t), _SUM),
        (
            lambda s, a, t, b: math.log(b - a) / math.log(t - s),
            "this is the logarithm of a difference: take the difference of the logarithms",
        ),
        (
            lambda s, a, t, b: math.log(b) / math.log(t),
            "this looks at the last point alone: a slope takes two",
        ),
        (
            lambda s, a, t, b: (b / a) / (t / s),
            "these are ratios without their logarithm: log(b / a) / log(t / s)",
        ),
        (
            lambda s, a, t, b: _log_ratio(a, b) * _log_ratio(s, t),
            "the two differences are multiplied: divide how far log loss goes by how far log step goes",
        ),
        (
            lambda s, a, t, b: _log_ratio(a, b) // _log_ratio(s, t),
            "// drops what is left over: divide with /",
        ),
        (lambda s, a, t, b: _log_ratio(a, b), "this is the numerator: divide by that of the steps"),
        (lambda s, a, t, b: _log_ratio(s, t), "these are the steps alone: the losses are missing"),
        *(
            (lambda s, a, t, b, f=f: f(s, a, t, b), _ORDER)
            for f in (
                lambda s, a, t, b: _log_ratio(s, b) / _log_ratio(s, t),
                lambda s, a, t, b: _log_ratio(t, b) / _log_ratio(s, t),
                lambda s, a, t, b: _log_ratio(a, t) / _log_ratio(s, t),
                lambda s, a, t, b: _log_ratio(a, s) / _log_ratio(s, t),
                lambda s, a, t, b: _log_ratio(a, b) / _log_ratio(a, t),
                lambda s, a, t, b: _log_ratio(a, b) / _log_ratio(b, t),
                lambda s, a, t, b: _log_ratio(a, b) / _log_ratio(s, a),
                lambda s, a, t, b: _log_ratio(a, b) / _log_ratio(s, b),
                lambda s, a, t, b: _log_ratio(s, a) / _log_ratio(t, b),
            )
        ),
    ],
    inputs=lambda source: (
        source.randrange(1, 100), source.uniform(0.1, 9), source.randrange(101, 9999),
        source.uniform(0.1, 9),
    ),
    stops={
        "ZeroDivisionError": "it divides by the change of the loss, which may be 0: divide by the "
        "change of the steps",
        "math domain error": "it takes the logarithm of a number that is not above 0: take "
        "logarithms of losses and steps, then their differences",
    },
    shows="the same in nats or bits, from the first step or the thousandth: a ratio of logarithms",
)  # fmt: skip


def _broken_line(x, y, at) -> list[float]:
    (before, after), error = _solved(x, y, [at])
    return [before, after, error]


def _line(
    hinge=lambda x, at: np.maximum(0, x - at),
    pick=lambda f: [f[1], f[1] + f[2]],
    basis=lambda x, h: [np.ones(len(x)), x, h],
    error=lambda off: float((off**2).sum()),
):
    """Broken line with one thing wrong: its hinge, what is read off it, its columns, its error."""

    def mistaken(x, y, at):
        x, y = np.array(x), np.array(y)
        columns = np.column_stack(basis(x, hinge(x, at)))
        found = np.linalg.lstsq(columns, y, rcond=None)[0]
        return [*pick(np.append(found, 0.0)), error(y - columns @ found)]

    return mistaken


def _columns(x, y, at, columns):
    """Broken line through columns that are wrong."""
    return _line(basis=lambda x, h: columns)(x, y, at)


def _off(x, y, at, off):
    """Right slopes, and the squared error of something else."""
    before, after, _ = _broken_line(x, y, at)
    x, y = np.array(x), np.array(y)
    hinge = np.maximum(0, x - at)
    level = np.mean(y - before * x - (after - before) * hinge)
    line = level + before * x + (after - before) * hinge
    return [before, after, float((off(y, line) ** 2).sum())]


def _two_lines(x, y, at):
    """Two lines that need not meet."""
    x, y = np.array(x), np.array(y)
    slopes, error = [], 0.0
    for part in (x < at, x >= at):
        found = np.polyfit(x[part], y[part], 1)
        slopes.append(found[0])
        error += ((y[part] - np.polyval(found, x[part])) ** 2).sum()
    return [*slopes, error]


_HINGE = "the hinge is wrong: it is 0 up to the break, and x − at behind it, max(0, x − at)"
_PICK = (
    "the slopes are read off wrongly: before the break it is the coefficient of x, behind it that "
    "of x plus that of the hinge"
)
_ERROR = "the last number is the sum of the squared differences between y and the line"
broken_line = Step(
    right=_broken_line,
    cases=[
        ([0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.1, 1.8, 1.6], 2.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3.0, 2.2, 0.9, 0.8, 0.9, 0.7], 2.5),
        ([0.0, 0.7, 1.1, 1.4, 1.6, 1.8, 1.9], [2.0, 1.0, 1.2, 0.9, 0.3, 0.2, -0.4], 1.3),
        ([-1.0, 0.0, 1.0, 2.0, 3.0], [1.0, 1.5, 0.2, 0.1, -2.0], 1.5),
    ],
    rule="least squares on the columns 1, x and max(0, x − at); then the slope before, the slope "
    "after, and the squared error",
    mistakes=[
        (
            _two_lines,
            "two lines that do not meet: with the columns 1, x and max(0, x − at) there is one line, "
            "broken at `at`",
        ),
        (
            _line(pick=lambda f: [f[1], f[2]]),
            "the second slope is only the *bend*: the slope after is the slope before plus the bend",
        ),
        (
            _line(pick=lambda f: [f[1] + f[2], f[1]]),
            "before and after have changed places: the hinge is 0 before the break, so the "
            "coefficient of x is the slope there",
        ),
        (_line(hinge=lambda x, at: np.minimum(0, x - at)), _HINGE),
        (_line(hinge=lambda x, at: np.maximum(0, at - x)), _HINGE),
        (_line(hinge=lambda x, at: np.maximum(0, x + at)), _HINGE),
        (_line(hinge=lambda x, at: np.maximum(0, x)), _HINGE),
        (_line(hinge=lambda x, at: np.maximum(1, x - at)), _HINGE),
        (_line(hinge=lambda x, at: np.maximum(-1, x - at)), _HINGE),
        (_line(hinge=lambda x, at: x - at), "a hinge that never folds adds no bend: max(0, x − at)"),
        (
            _line(hinge=lambda x, at: (x > at).astype(float)),
            "this column makes a step, not a bend: max(0, x − at)",
        ),
        (
            _line(pick=lambda f: [f[0], f[1]], basis=lambda x, h: [x, h]),
            "the column of ones is missing: without it the line must pass through 0",
        ),
        (
            _line(pick=lambda f: [f[0], f[0] + f[1]], basis=lambda x, h: [x, h]),
            "the column of ones is missing: without it the line must pass through 0",
        ),
        (_line(error=lambda off: float((off**2).mean())), f"this is a mean: {_ERROR}"),
        (_line(error=lambda off: float(np.sqrt((off**2).sum()))), f"this is a root: {_ERROR}"),
        (_line(error=lambda off: float(np.abs(off).sum())), f"these are not squared: {_ERROR}"),
        (_line(error=lambda off: float(off.sum())), f"nothing is squared here: {_ERROR}"),
        (_line(error=lambda off: float((off * 2).sum())), f"doubled is not squared: {_ERROR}"),
        (_line(error=lambda off: float((off**3).sum())), f"the power is 2: {_ERROR}"),
        (
            _line(pick=lambda f: f[-4:-1], basis=lambda x, h: [np.ones(len(x)), x, h]),
            "these are the three coefficients: the slope before is that of x, the slope after that "
            "of x plus that of the hinge, and the squared error comes last",
        ),
        (
            lambda x, y, at: _line()(y, y, at),
            "y is fitted to itself: the columns are made of x",
        ),
        (
            lambda x, y, at: _columns(x, y, at, [np.ones(len(x)), y, np.maximum(0, np.array(x) - at)]),
            "y is fitted to itself: the columns are made of x",
        ),
        (
            lambda x, y, at: _columns(x, y, at, [np.ones(len(x)), x, np.maximum(0, np.array(y) - at)]),
            "the hinge is made of y: it folds at a place on the x axis, max(0, x − at)",
        ),
        (
            lambda x, y, at: _line()(x, x, at),
            "x is fitted, and y never used: the line goes through y",
        ),
        (
            lambda x, y, at: _columns(x, y, at, [np.ones(len(x)), x, np.zeros(len(x))]),
            f"there is no bend at all: {_HINGE}",
        ),
        (
            lambda x, y, at: _off(x, y, at, lambda y, line: y + line),
            f"the line is added to y: {_ERROR}",
        ),
        (
            lambda x, y, at: _off(x, y, at, lambda y, line: at - line),
            f"the line is compared with `at`: {_ERROR}",
        ),
        (
            lambda x, y, at: _off(x, y, at, lambda y, line: np.array(x) - line),
            f"the line is compared with x: {_ERROR}",
        ),
        *(
            (_line(pick=pick), _PICK)
            for pick in (
                lambda f: [f[0], f[0] + f[1]], lambda f: [f[1], f[1] - f[2]], lambda f: [f[2], f[1] + f[2]],
                lambda f: [f[0], f[1] + f[2]], lambda f: [f[1], f[0] + f[2]], lambda f: [f[1], 2 * f[2]],
                lambda f: [f[1], 2 * f[1]], lambda f: [f[0], f[1]],
            )
        ),
    ],
    inputs=lambda source: _random_points(source),
    shows="one line, one bend, and how well it fits: nothing else is needed to look for breaks",
)  # fmt: skip


def _random_points(source: random.Random) -> tuple:
    count = source.randrange(5, 12)
    x = sorted(source.uniform(-2, 5) for _ in range(count))
    y = [source.uniform(-2, 2) for _ in range(count)]
    return x, y, (x[1] + x[-2]) / 2
