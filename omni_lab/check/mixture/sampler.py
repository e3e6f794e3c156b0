"""Sampler of a mixture: which sample of a dataset comes when, and how often (notebook 11)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.stopping import Stopping

_NAMES = ("captions", "vqa", "speech", "text")


class _Plain:
    """Dataset of a mixture: a length and a name."""

    def __init__(self, name: str, length: int) -> None:
        self.fingerprint, self.length = name, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> int:
        return number


def _epochs(lengths, percentages, size) -> dict:
    """How often a sample comes, as the package counts it in a mixture."""
    from omni_lab.data.instruct.mixture import mix
    from omni_lab.data.instruct.seen import seen_of

    datasets = {name: _Plain(name, length) for name, length in lengths.items()}
    mixture = mix(datasets, [f"{n}={p}" for n, p in percentages.items()], [size], seed=0)
    return {name: own.epochs for name, own in seen_of(mixture).items()}


def _often(formula: Callable) -> Callable:
    """Mistake in the formula, of a dataset's length, its percentage and all samples."""
    return lambda lengths, percentages, size: {
        name: formula(lengths[name], percentages[name], size) for name in lengths
    }


def _asked(source: random.Random) -> tuple:
    names = source.sample(_NAMES, 2)
    first = source.choice([10, 20, 25, 40, 70])
    lengths = {name: source.choice([10, 50, 80, 200, 1000]) for name in names}
    return (
        lengths,
        dict(zip(names, (first, 100 - first), strict=True)),
        100 * source.randrange(1, 30),
    )


_RULE = "size · percent / 100 samples are read of a dataset; divide by its length"
epochs = Stopping(
    right=_epochs,
    cases=[
        ({"captions": 100, "text": 100}, {"captions": 50, "text": 50}, 200),
        ({"captions": 1000, "text": 50}, {"captions": 80, "text": 20}, 500),
        ({"captions": 400, "vqa": 200, "text": 20}, {"captions": 50, "vqa": 30, "text": 20}, 1000),
        ({"speech": 25}, {"speech": 100}, 10),
    ],
    rule=_RULE,
    mistakes=[
        (_often(lambda n, p, size: size * p / 100), f"this is how many samples are read: {_RULE}"),
        (_often(lambda n, p, size: size * p / n), f"a percentage is of a hundred: {_RULE}"),
        (_often(lambda n, p, size: size / n), f"the percentage is missing: {_RULE}"),
        (_often(lambda n, p, size: p / 100 / n), f"the size of the mixture is missing: {_RULE}"),
        (_often(lambda n, p, size: p / 100), f"this is the share alone: {_RULE}"),
        (_often(lambda n, p, size: size * p / 100 * n), f"multiplied by the length: {_RULE}"),
        (_often(lambda n, p, size: n / (size * p / 100)), f"upside down: {_RULE}"),
        (_often(lambda n, p, size: size * p / 100 // n), f"// drops what is left over: {_RULE}"),
        (_often(lambda n, p, size: size * p // 100 // n), f"// drops what is left over: {_RULE}"),
        (_often(lambda n, p, size: size * (p // 100) / n), f"// drops what is left over: {_RULE}"),
        (_often(lambda n, p, size: size // n * p / 100), f"// drops what is left over: {_RULE}"),
        (_often(lambda n, p, size: -(-size * p // 100 // n)), f"an average need not be whole: {_RULE}"),
        (_often(lambda n, p, size: size * p * 100 / n), f"a percentage is of a hundred, so divide by 100: {_RULE}"),
        (_often(lambda n, p, size: size + p / 100 / n), f"size and percentage are multiplied: {_RULE}"),
        (_often(lambda n, p, size: size / p / 100 / n), f"size and percentage are multiplied: {_RULE}"),
        (_often(lambda n, p, size: size / (p / 100) / n), f"size and percentage are multiplied: {_RULE}"),
        (_often(lambda n, p, size: n * p / 100 / size), f"length and size have changed places: {_RULE}"),
        *(
            (_often(lambda n, p, size, off=off: size * p / off / n), f"a percentage is of a hundred: {_RULE}")
            for off in (99, 101, 10, 1000)
        ),
        *(
            (_often(lambda n, p, size, off=off: off(n, p, size)), f"a mix-up: {_RULE}")
            for off in (
                 lambda n, p, s: s * p / 100 / p,
                lambda n, p, s: p * p / 100 / n, lambda n, p, s: s * s / 100 / n,
                lambda n, p, s: s * n / 100 / s,
            )
        ),
        (
            lambda lengths, percentages, size: {
                name: size * (percentages[name] / sum(lengths.values())) for name in lengths
            },
            f"divided by the length of all datasets: {_RULE}",
        ),
        (
            lambda lengths, percentages, size: {
                name: lengths[name] / sum(lengths.values()) * size / lengths[name] for name in lengths
            },
            f"this takes each dataset as often as it is long: {_RULE}",
        ),
    ],
    inputs=_asked,
    stops={
        "'dict' object is not callable": "a dict is read with brackets: lengths[name]",
        "unsupported operand": "take one dataset at a time: lengths[name], percentages[name]",
    },
    shows="a small dataset with a large share is read again and again",
)  # fmt: skip


def _drawn(which, lengths) -> list:
    """Epoch and place of every sample, as the package's mixture has them."""
    from fractions import Fraction

    import numpy as np

    from omni_lab.data.instruct.mixture import Mixture, Portion

    names = sorted(lengths)
    portions = tuple(Portion(name, Fraction(1), lengths[name], name) for name in names)
    order = np.array([names.index(name) for name in which], np.int64)
    found = Mixture(portions, (len(which),), 0, order, np.zeros_like(order)).epochs().tolist()
    before = [which[:at].count(name) for at, name in enumerate(which)]
    return [[e, b - e * lengths[n]] for e, b, n in zip(found, before, which, strict=True)]


def _walked(
    pair: Callable = lambda count, length: [count // length, count % length],
    counted: Callable = lambda counts, name: counts[name],
    later: Callable = lambda count: count + 1,
    first: int = 0,
) -> Callable:
    """Mistake in one line of the walk through a mixture."""

    def drawn(which, lengths):
        counts, out = dict.fromkeys(lengths, first), []
        for name in which:
            out.append(pair(counted(counts, name), lengths[name]))
            counts[name] = later(counts[name])
        return out

    return drawn


def _walk(source: random.Random) -> tuple:
    names = source.sample(_NAMES, source.randrange(1, 4))
    which = [source.choice(names) for _ in range(source.randrange(4, 14))]
    return which, {name: source.randrange(1, 5) for name in names}


_ORDER = "count how often the dataset came before: that count // length is the epoch, count % length the place"
drawn = Stopping(
    right=_drawn,
    cases=[
        (["a", "a", "a", "a", "a"], {"a": 2}),
        (["a", "b", "a", "b", "a"], {"a": 2, "b": 3}),
        (["a", "a", "b", "a", "b", "b", "b", "a"], {"a": 3, "b": 2}),
        (["a", "a", "b"], {"a": 1, "b": 5}),
    ],
    rule=_ORDER,
    mistakes=[
        (_walked(lambda c, n: [c % n, c // n]), "epoch and place have changed places: [epoch, place]"),
        (_walked(lambda c, n: [c // n + 1, c % n]), "epochs count from 0"),
        (_walked(lambda c, n: [c // n, c % n + 1]), "places count from 0"),
        (_walked(lambda c, n: [c // n - 1, c % n]), "epochs count from 0"),
        (_walked(first=1), "the first sample has nothing of its dataset before it: count from 0"),
        (_walked(first=-1), "the first sample has nothing of its dataset before it: count from 0"),
        (_walked(lambda c, n: [0, c]), f"a dataset that is through begins again: {_ORDER}"),
        (_walked(lambda c, n: [c // n, c]), f"the place begins again with every epoch: {_ORDER}"),
        (_walked(lambda c, n: [0, c % n]), f"the epoch is missing: {_ORDER}"),
        (_walked(lambda c, n: [c, c % n]), f"this is the count, not the epoch: {_ORDER}"),
        (_walked(lambda c, n: [c / n, c % n]), f"an epoch is a whole number: // in place of /. {_ORDER}"),
        (_walked(lambda c, n: [c // n, c // n]), f"the place is what is left over: {_ORDER}"),
        (_walked(lambda c, n: [c // n, c - n]), f"the place is what is left over: {_ORDER}"),
        (_walked(lambda c, n: [c % n, c % n]), f"the epoch is how often the dataset is through: {_ORDER}"),
        (_walked(lambda c, n: [c * n, c % n]), f"the epoch is how often the dataset is through: {_ORDER}"),
        (_walked(lambda c, n: [c // n, c * n]), f"the place is what is left over: {_ORDER}"),
        (_walked(lambda c, n: [c // n, c / n]), f"the place is what is left over: {_ORDER}"),
        (_walked(lambda c, n: [n // max(1, c), n % max(1, c)]), f"upside down: {_ORDER}"),
        (_walked(later=lambda c: c), "nothing is counted: add 1 each time a dataset comes"),
        (_walked(later=lambda c: 1), "the count stays at 1: add 1 each time a dataset comes"),
        (_walked(later=lambda c: c - 1), "you count down: add 1 each time a dataset comes"),
        (_walked(later=lambda c: c + 2), "each time a dataset comes, *one* sample is read"),
        (
            lambda which, lengths: [[at // lengths[n], at % lengths[n]] for at, n in enumerate(which)],
            f"this is the place in the mixture, not in the dataset: {_ORDER}",
        ),
        (
            lambda which, lengths: [[0, which[:at].count(n)] for at, n in enumerate(which)],
            f"a dataset that is through begins again: {_ORDER}",
        ),
        *(
            (
                lambda which, lengths, off=off: [
                    [off(which, at, n) // lengths[n], off(which, at, n) % lengths[n]] for at, n in enumerate(which)
                ],
                f"count what came *before* this place: {_ORDER}",
            )
            for off in (
                lambda which, at, n: which.count(n), lambda which, at, n: which[at:].count(n),
                lambda which, at, n: which[at + 1 :].count(n),
            )
        ),
    ],
    inputs=_walk,
    stops={"KeyError": "a dataset that has not come yet counts 0: begin with a count for every name in `lengths`"},
    shows="every sample comes once before any comes twice",
)  # fmt: skip
