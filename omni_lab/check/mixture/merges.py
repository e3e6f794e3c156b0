"""Merge of checkpoints: in what fraction of the averaged weights an update is (notebook 11)."""

from __future__ import annotations

import random
from fractions import Fraction

from omni_lab.check.stopping import Stopping


def _shares(number) -> list:
    """The same, measured: each update alone, and the mean of the checkpoints after it."""
    found = []
    for update in range(number - 1):
        weights = [Fraction(int(checkpoint > update)) for checkpoint in range(number)]
        found.append(float(sum(weights) / number))
    return found


_RULE = "update i (from 0) is in the checkpoints after it, number − 1 − i of them: divide by number"
update_shares = Stopping(
    right=_shares,
    cases=[(2,), (3,), (4,), (5,), (8,)],
    rule=_RULE,
    mistakes=[
        (lambda n: [(n - i) / n for i in range(n - 1)], f"off by one: {_RULE}"),
        (lambda n: [(n - i - 2) / n for i in range(n - 1)], f"off by one: {_RULE}"),
        (lambda n: [(i + 1) / n for i in range(n - 1)], "in the wrong order: the *first* update is in most of them"),
        (lambda n: [i / n for i in range(n - 1)], "in the wrong order: the *first* update is in most of them"),
        (lambda n: [1 / n for i in range(n - 1)], f"a checkpoint counts 1 / n, an update is in several: {_RULE}"),
        (lambda n: [1 / (n - 1) for i in range(n - 1)], f"updates do not share evenly: {_RULE}"),
        (lambda n: [1.0 for i in range(n - 1)], f"only the last checkpoint has every update: {_RULE}"),
        (lambda n: [(n - 1 - i) / (n - 1) for i in range(n - 1)], f"the mean is over all checkpoints: {_RULE}"),
        (lambda n: [n - 1 - i for i in range(n - 1)], f"these are numbers of checkpoints: {_RULE}"),
        (lambda n: [(n - 1 - i) // n for i in range(n - 1)], "// drops what is left over: divide with /"),
        (lambda n: [(n - 1 - i) * n for i in range(n - 1)], f"multiplied: {_RULE}"),
        (lambda n: [(n + 1 - i) / n for i in range(n - 1)], f"a sign: {_RULE}"),
        (lambda n: [(n - 1 + i) / n for i in range(n - 1)], f"a sign: {_RULE}"),
        (lambda n: [(n - 1 - i) / n for i in range(n)], "one too many: between n checkpoints there are n − 1 updates"),
        (lambda n: [(n - 1 - i) / n for i in range(n - 2)], "one too few: n checkpoints have n − 1 updates"),
        (lambda n: [(n - 1 - i) / n for i in range(n + 1)], "too many: between n checkpoints there are n − 1 updates"),
        (lambda n: [-1 / n for i in range(n - 1)], f"i is the update, n the number: {_RULE}"),
    ],
    inputs=lambda source: (_number(source),),
    stops={"division by zero": f"divide by the number of checkpoints: {_RULE}"},
    shows="what a rate that falls in a straight line does to the updates, without a step of training",
)  # fmt: skip


def _number(source: random.Random) -> int:
    return source.randrange(2, 12)
