"""Balance: a factor for each modality, by what is left of its loss (notebook 04)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.step import Step


def _factors(first: dict, now: dict, strength: float, most: float) -> dict:
    """Factors of the package's own balance."""
    from omni_lab.config import BalanceConfig
    from omni_lab.training.rules.balance import Balance

    balance = Balance(BalanceConfig("rates", strength, every=1, most=most), set(now))
    state = {"mean": dict(now), "first": dict(first), "seen": dict.fromkeys(now, 9)}
    balance.state = {**state, "factors": {}}
    balance.observe(dict(now), step=9)  # the mean of what it was told is what it is told now
    return {name: balance.factors[name] for name in now}


def _balanced(
    left: Callable = lambda first, now: now / first,
    middle: Callable = lambda values: sum(values) / len(values),
    relative: Callable = lambda rest, middle: rest / middle,
    power: Callable = lambda value, strength: value**strength,
    bounded: Callable = lambda value, most: min(most, max(1 / most, value)),
) -> Callable:
    """Mistake in one line of the rule."""

    def factors(first, now, strength, most):
        rests = {name: left(first[name], now[name]) for name in now}
        mean = middle([*rests.values()])
        return {
            name: bounded(power(relative(rest, mean), strength), most)
            for name, rest in rests.items()
        }

    return factors


def _losses(source: random.Random) -> tuple:
    names = source.sample(("image", "audio", "text"), source.choice([2, 3]))
    first = {name: source.uniform(1, 6) for name in names}
    now = {name: loss * source.uniform(0.05, 1.2) for name, loss in first.items()}
    return first, now, source.choice([0.5, 1.0, 2.0, 3.0]), source.choice([1.5, 2.0, 4.0])


factors = Step(
    right=_factors,
    cases=[
        ({"image": 2.0, "audio": 4.0}, {"image": 1.0, "audio": 3.0}, 1.0, 4.0),
        ({"image": 2.0, "audio": 4.0}, {"image": 1.6, "audio": 2.8}, 2.0, 4.0),
        ({"image": 3.0, "audio": 2.0, "text": 5.0}, {"image": 0.3, "audio": 1.8, "text": 4.0}, 0.5, 4.0),
        ({"image": 3.0, "audio": 3.0}, {"image": 0.03, "audio": 2.4}, 3.0, 2.0),
        ({"audio": 2.0, "text": 2.5}, {"audio": 1.2, "text": 1.5}, 1.5, 3.0),
    ],
    rule="left = now / first; each rest beside the mean of all rests, to the power strength; then "
    "at least 1 / most and at most `most`",
    mistakes=[
        (
            _balanced(left=lambda first, now: now),
            "losses of different kinds do not compare: each beside its own beginning, now / first",
        ),
        (
            _balanced(left=lambda first, now: first / now),
            "upside down: what is left is now / first",
        ),
        (
            _balanced(left=lambda first, now: now * first),
            "what is left of a loss is a ratio: now / first",
        ),
        (
            _balanced(left=lambda first, now: first),
            "this is the loss at the beginning: what is left is now / first",
        ),
        (
            _balanced(left=lambda first, now: 1.0),
            "every factor comes out as 1: what is left, now / first, is each sense's own",
        ),
        (
            _balanced(left=lambda first, now: first - now),
            "this is what was learned; asked is what is left: now / first",
        ),
        (
            _balanced(left=lambda first, now: 1 - now / first),
            "this is what was learned; asked is what is left",
        ),
        (
            _balanced(middle=sum),
            "beside the *mean* of all rests: divide their sum by how many there are",
        ),
        (
            _balanced(middle=lambda values: sum(values) * len(values)),
            "a mean divides by the number; you multiply",
        ),
        (
            _balanced(middle=lambda values: 1.0),
            "a rest says nothing alone: compare it with the mean of all rests",
        ),
        (_balanced(middle=max), "you compare with the largest rest: compare with their mean"),
        (_balanced(middle=min), "you compare with the smallest rest: compare with their mean"),
        (
            _balanced(relative=lambda rest, middle: middle / rest),
            "upside down: a modality that has *more* left goes faster, so rest / mean",
        ),
        (
            _balanced(relative=lambda rest, middle: rest * middle),
            "beside the mean: rest / mean, not times",
        ),
        (
            _balanced(relative=lambda rest, middle: rest // middle),
            "a ratio is a fraction: /, not //",
        ),
        (
            _balanced(relative=lambda rest, middle: rest - middle + 1),
            "a ratio is asked for, not a difference",
        ),
        (
            _balanced(power=lambda value, strength: value),
            "the strength is missing: it is the exponent",
        ),
        (
            _balanced(power=lambda value, strength: value * strength),
            "the strength is the exponent: **, not *",
        ),
        (
            _balanced(power=lambda value, strength: value ** (1 / strength)),
            "the exponent is strength, not 1 / strength",
        ),
        (
            _balanced(bounded=lambda value, most: value),
            "the factor has no bounds: between 1 / most and most",
        ),
        (
            _balanced(bounded=lambda value, most: min(most, value)),
            "one bound is missing: at least 1 / most",
        ),
        (
            _balanced(bounded=lambda value, most: max(1 / most, value)),
            "one bound is missing: at most `most`",
        ),
        (
            _balanced(bounded=lambda value, most: min(most, max(2 / most, value))),
            "the smallest factor is 1 / most, not 2 / most",
        ),
        (
            _balanced(bounded=lambda value, most: max(most, max(1 / most, value))),
            "min keeps a factor from growing too large, max from falling too low",
        ),
        (
            _balanced(bounded=lambda value, most: min(most, min(1 / most, value))),
            "min keeps a factor from growing too large, max from falling too low",
        ),
        (
            _balanced(bounded=lambda value, most: most),
            "every factor comes out as the largest: the value is bounded, from 1 / most to most",
        ),
        (
            lambda first, now, strength, most: {
                name: min(strength, max(1 / most, value))
                for name, value in _balanced(bounded=lambda value, most: value)(first, now, strength, most).items()
            },
            "the bound is `most`; the strength is the exponent",
        ),
        (
            lambda first, now, strength, most: _balanced()(first, now, most, most),
            "the exponent is `strength`; `most` is the bound",
        ),
    ],
    inputs=_losses,
    shows="the slower a modality, the larger its factor, within bounds",
)  # fmt: skip
