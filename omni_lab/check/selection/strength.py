"""Slope of the trainee's losses on the reference's: which of the two is the stronger (notebook 06)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.stopping import Stopping


def _slope(train, reference) -> float:
    """The package's own slope."""
    import torch

    from omni_lab.parallel.collectives import Collectives
    from omni_lab.training.selection.scores import slope

    return slope(torch.tensor(train), torch.tensor(reference), Collectives(alone=True))


def _fitted(
    up: Callable = lambda x, y, mx, my: (x - mx) * (y - my),
    down: Callable = lambda x, y, mx, my: (x - mx) ** 2,
    ratio: Callable = lambda up, down: up / down,
    bounded: Callable = lambda value: max(0.0, value),
    means: Callable = lambda x, y: (sum(x) / len(x), sum(y) / len(y)),
    pairs: Callable = lambda x, y: [*zip(x, y, strict=True)],
) -> Callable:
    """Mistake in one line of the fit; x is the reference's loss, y the trainee's."""

    def slope(train, reference):
        mx, my = means(reference, train)
        over = sum(up(x, y, mx, my) for x, y in pairs(reference, train))
        under = sum(down(x, y, mx, my) for x, y in zip(reference, train, strict=True))
        return bounded(ratio(over, under))

    return slope


def _drawn(source: random.Random) -> tuple:
    reference = [source.uniform(0.1, 3) for _ in range(source.randrange(3, 9))]
    steep = source.choice([-0.8, 0.3, 1.0, 1.8])
    return [2 + steep * r + source.uniform(-0.3, 0.3) for r in reference], reference


_FIT = "Σ (reference − its mean)(train − its mean) / Σ (reference − its mean)², and 0 where that is below 0"
_OVER = "the sum of products is divided by the spread of the reference's losses"
slope = Stopping(
    right=_slope,
    cases=[
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        ([2.0, 2.0, 2.0, 2.0], [0.5, 1.0, 3.0, 0.1]),
        ([0.5, 1.5, 4.5], [0.2, 0.8, 2.0]),
        ([2.1, 2.3, 2.2, 2.6], [0.1, 0.9, 0.3, 2.5]),
        ([3.0, 2.0, 1.0], [0.5, 1.0, 2.0]),
    ],
    rule=_FIT,
    mistakes=[
        (
            _fitted(down=lambda x, y, mx, my: (y - my) ** 2 or 1e-9),
            "this is the slope the other way round: divide by the spread of the *reference's* losses",
        ),
        (
            _fitted(bounded=lambda value: value),
            "a slope below 0 counts as 0: such a trainee has learned nothing of it yet",
        ),
        (
            _fitted(up=lambda x, y, mx, my: x * y),
            "the means are missing above: a slope is about differences from the mean",
        ),
        (
            _fitted(down=lambda x, y, mx, my: x * x),
            "the mean is missing below: (reference − its mean)²",
        ),
        (
            _fitted(up=lambda x, y, mx, my: x * y, down=lambda x, y, mx, my: x * x),
            "this line goes through the origin: take the means off first",
        ),
        (
            _fitted(down=lambda x, y, mx, my: 1),
            "this is a sum of products: divide by the spread of the reference's losses",
        ),
        (
            _fitted(down=lambda x, y, mx, my: abs(x - mx)),
            "the spread below is a sum of *squares*",
        ),
        (
            _fitted(up=lambda x, y, mx, my: (x - mx) ** 2, down=lambda x, y, mx, my: 1),
            "this is the spread of the reference's losses: it belongs below",
        ),
        (
            _fitted(up=lambda x, y, mx, my: (x + mx) * (y - my)),
            "take the mean off, do not add it",
        ),
        (
            _fitted(up=lambda x, y, mx, my: (x - mx) * (y + my)),
            "take the mean off, do not add it",
        ),
        (
            _fitted(down=lambda x, y, mx, my: (x + mx) ** 2),
            "take the mean off, do not add it",
        ),
        (
            _fitted(up=lambda x, y, mx, my: (x - mx) + (y - my)),
            "multiply the two differences, do not add them",
        ),
        (
            _fitted(bounded=lambda value: min(0.0, value)),
            "the bound is upside down: at *least* 0",
        ),
        (
            _fitted(bounded=lambda value: min(1.0, max(0.0, value))),
            "a slope may be above 1: then the trainee is the stronger",
        ),
        (
            _fitted(bounded=lambda value: abs(value)),
            "a slope below 0 counts as 0, not as its size",
        ),
        (_fitted(ratio=lambda up, down: up * down), f"multiplied by the spread: {_OVER}"),
        (_fitted(ratio=lambda up, down: up // down), "// drops what is left over: divide with /"),
        (_fitted(ratio=lambda up, down: up), f"not divided: {_OVER}"),
        (_fitted(ratio=lambda up, down: down), f"this is the spread alone: {_OVER}"),
        *(
            (_fitted(means=wrong), "a mean is the sum of a list over its own length: sum(x) / len(x)")
            for wrong in (
                lambda x, y: (sum(x) * len(x), sum(y) / len(y)),
                lambda x, y: (sum(x) // len(x), sum(y) / len(y)),
                lambda x, y: (sum(x) / len(x), sum(y) * len(y)),
                lambda x, y: (sum(x) / len(x), sum(y) // len(y)),
                lambda x, y: (sum(x) * len(x), sum(y) * len(y)),
                lambda x, y: (sum(x), sum(y)),
                lambda x, y: (0.0, 0.0),
            )
        ),
        *(
            (_fitted(**wrong), f"`train` and `reference` are mixed up somewhere: {_FIT}")
            for wrong in (
                {"means": lambda x, y: (sum(y) / len(y), sum(y) / len(y))},
                {"means": lambda x, y: (sum(x) / len(x), sum(x) / len(x))},
                {"means": lambda x, y: (sum(y) / len(y), sum(x) / len(x))},
                {"pairs": lambda x, y: [*zip(y, x, strict=True)]},
                {"pairs": lambda x, y: [*zip(x, x, strict=True)]},
                {"pairs": lambda x, y: [*zip(y, y, strict=True)]},
                {"down": lambda x, y, mx, my: (y - mx) ** 2},
                {"down": lambda x, y, mx, my: (x - my) ** 2},
                {"up": lambda x, y, mx, my: (x - my) * (y - my)},
                {"up": lambda x, y, mx, my: (x - mx) * (y - mx)},
            )
        ),
        (
            _fitted(bounded=lambda value: max(0.0, 1 / value) if value else 0.0),
            "upside down: the products are divided by the spread of the reference's losses",
        ),
        (
            lambda train, reference: sum(train) / sum(reference),
            "a ratio of means is no slope: how much does `train` rise where `reference` rises by 1?",
        ),
    ],
    inputs=_drawn,
    stops={"division by zero": "divide by the spread of the reference's losses: it is not 0 here"},
    shows="below 1 the trainee is the weaker of the two, above 1 the stronger",
)  # fmt: skip
