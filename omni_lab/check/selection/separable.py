"""Separability of losses into two groups: which of two models knows better (notebook 06)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.stopping import Stopping


def _separability(losses) -> float:
    """The package's own separability."""
    import torch

    from omni_lab.training.selection.scores import separability

    return separability(torch.tensor(losses, dtype=torch.float64))


def _mean(values: list) -> float:
    return sum(values) / len(values)


def _spread(values: list) -> float:
    return _mean([(v - _mean(values)) ** 2 for v in values])


def _best(
    between: Callable = lambda a, b, n: len(a) * len(b) / n**2 * (_mean(a) - _mean(b)) ** 2,
    ratio: Callable = lambda between, values: between / _spread(values),
    ordered: Callable = sorted,
    cuts: Callable = lambda n: range(1, n),
    chosen: Callable = max,
) -> Callable:
    """Mistake in one line of the search for the best threshold."""

    def separability(losses):
        values = ordered(losses)
        every = [between(values[:at], values[at:], len(values)) for at in cuts(len(values))]
        return ratio(chosen(every), values)

    return separability


def _with(low: Callable, high: Callable) -> Callable:
    """Spread between two groups, with other means of them."""
    return lambda a, b, n: len(a) * len(b) / n**2 * (low(a) - high(b)) ** 2


def _drawn(source: random.Random) -> tuple:
    apart = source.choice([0.0, 1.0, 4.0])
    count = source.randrange(4, 10)
    losses = [source.uniform(0, 1) + apart * (source.random() < 0.4) for _ in range(count)]
    return ([0.1, *losses, 1.3],)


_BETWEEN = "n_low · n_high / N² · (mean_low − mean_high)²"
_RULE = f"the largest {_BETWEEN} of all cuts of the sorted losses, over their variance"
separability = Stopping(
    right=_separability,
    cases=[
        ([0.0, 0.0, 1.0, 1.0],),
        ([0.0, 4.0, 0.0, 0.0, 4.0],),
        ([0.0, 1.0, 2.0],),
        ([3.0, 0.5, 0.25, 2.5, 0.75, 4.0],),
        ([0.1, 0.2, 0.15, 5.0],),
        ([0.1, 0.7, 0.84, 0.93, 0.8, 0.72, 1.3],),
    ],
    rule=_RULE,
    mistakes=[
        (_best(ordered=list), "the losses are not sorted: a threshold has the low ones on one side"),
        (_best(chosen=min), "this is the worst threshold: take the largest"),
        (_best(chosen=_mean), "this is the mean over all thresholds: take the largest"),
        (_best(chosen=sum), "this is the sum over all thresholds: take the largest"),
        (_best(chosen=lambda every: every[0]), "only the first threshold is tried: take the largest of all"),
        (_best(chosen=lambda every: every[-1]), "only the last threshold is tried: take the largest of all"),
        (_best(ratio=lambda between, values: between), "a fraction *of the variance*: divide by it"),
        (_best(ratio=lambda between, values: between * _spread(values)), "multiplied by the variance: divide by it"),
        (_best(ratio=lambda between, values: between // _spread(values)), "// drops what is left over: divide with /"),
        (
            _best(ratio=lambda between, values: between / _spread(values) ** 0.5),
            "divided by the standard deviation: it is the variance, which is squared",
        ),
        (
            _best(ratio=lambda between, values: 1 - between / _spread(values)),
            "this is the fraction *within* the groups",
        ),
        (
            _best(ratio=lambda between, values: _spread(values) / between if between else 0.0),
            "upside down: what lies between the groups, over the whole variance",
        ),
        (
            _best(ratio=lambda between, values: between / _spread(values) * (len(values) - 1) / len(values)),
            "the variance here is Σ (x − mean)² / N, not / (N − 1)",
        ),
        (
            _best(ratio=lambda between, values: between / (_spread(values) * len(values))),
            "the variance is a mean: Σ (x − mean)² / N",
        ),
        (
            _best(ratio=lambda between, values: between / (_spread(values) * len(values) ** 2)),
            "the variance is a mean: Σ (x − mean)² / N",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n**2 * abs(_mean(a) - _mean(b))),
            f"the means' difference is squared: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n**2 * 2 * (_mean(a) - _mean(b))),
            f"times 2 is not squared: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n**2 * (_mean(a) + _mean(b)) ** 2),
            f"the means are added: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: (_mean(a) - _mean(b)) ** 2),
            f"the sizes of the groups are missing: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) * (_mean(a) - _mean(b)) ** 2),
            f"n_low · n_high are numbers: divide them by N²: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n * (_mean(a) - _mean(b)) ** 2),
            f"divide by N *squared*: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / (n * 2) * (_mean(a) - _mean(b)) ** 2),
            f"divide by N *squared*: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) * n**2 * (_mean(a) - _mean(b)) ** 2),
            f"multiplied by N²: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) // n**2 * (_mean(a) - _mean(b)) ** 2),
            f"// drops what is left over: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) / n * (_mean(a) - _mean(b)) ** 2),
            f"one of the sizes is missing: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(b) / n * (_mean(a) - _mean(b)) ** 2),
            f"one of the sizes is missing: {_BETWEEN}",
        ),
        *(
            (_best(lambda a, b, n, own=own: own(a, b) / n**2 * (_mean(a) - _mean(b)) ** 2), why)
            for own, why in (
                (lambda a, b: len(a) + len(b), f"the sizes are multiplied, not added: {_BETWEEN}"),
                (lambda a, b: len(a) * len(a), f"both groups have a size: {_BETWEEN}"),
                (lambda a, b: len(b) * len(b), f"both groups have a size: {_BETWEEN}"),
                (lambda a, b: sum(a) * len(b), f"sizes, not sums: {_BETWEEN}"),
                (lambda a, b: len(a) * sum(b), f"sizes, not sums: {_BETWEEN}"),
            )
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n**2 + (_mean(a) - _mean(b)) ** 2),
            f"the sizes multiply the difference: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n**2 / ((_mean(a) - _mean(b)) ** 2 or 1e-9)),
            f"the sizes multiply the difference: {_BETWEEN}",
        ),
        (
            _best(lambda a, b, n: len(a) * len(b) / n**2 * (sum(a) - sum(b)) ** 2),
            f"means, not sums: {_BETWEEN}",
        ),
        *(
            (_best(_with(low=low, high=high)), "a mean is the sum of a group over its own size")
            for low, high in (
                (lambda v: sum(v) * len(v), _mean),
                (lambda v: sum(v) // len(v), _mean),
                (_mean, lambda v: sum(v) * len(v)),
                (_mean, lambda v: sum(v) // len(v)),
                (lambda v: sum(v) // len(v), lambda v: sum(v) // len(v)),
            )
        ),
        *(
            (
                _best(ratio=lambda between, values, off=off: between / _mean([off(v, values) for v in values])),
                "the variance is the mean of (value − mean of all)²",
            )
            for off in (
                lambda v, values: (v - sum(values) * len(values)) ** 2,
                lambda v, values: (v - sum(values) // len(values)) ** 2,
                lambda v, values: (v + _mean(values)) ** 2,
                lambda v, values: abs(v - _mean(values)),
                lambda v, values: v * v,
            )
        ),
        *(
            (
                _best(lambda a, b, n, p=p: len(a) * len(b) / n**2 * (_mean(a) - _mean(b)) ** p),
                f"the means' difference is squared: {_BETWEEN}",
            )
            for p in (1, 3)
        ),
        *(
            (
                _best(lambda a, b, n, p=p: len(a) * len(b) / n**p * (_mean(a) - _mean(b)) ** 2),
                f"divide by N *squared*: {_BETWEEN}",
            )
            for p in (1,)
        ),
        (_best(cuts=lambda n: range(1, n - 1)), "the last cut is missing: one loss alone may be the high group"),
        (_best(cuts=lambda n: range(2, n)), "the first cut is missing: one loss alone may be the low group"),
        (_best(cuts=lambda n: [n // 2]), "only the cut in the middle is tried: take the largest of all"),
    ],
    inputs=_drawn,
    stops={"division by zero": "both groups need a loss: cut after 1, 2, … N − 1 of them"},
    shows="1: two values and nothing between; .64 is a bell curve's",
)  # fmt: skip
