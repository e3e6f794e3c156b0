"""Small exercises of notebook 05 on chance: the p-value of a break, and the loss of a mere guess."""

from __future__ import annotations

import math
import random

import numpy as np

from omni_lab.check.stopping import Stopping


def _p_value(seen, under_null) -> float:
    from omni_lab.analysis.phases.segmentation import p_value

    return p_value(seen, np.array(under_null, float))


def _counted(large=lambda gain, seen: gain >= seen, own=1, more=1):
    """p-value with one thing wrong: what counts as large, or what is added above and below."""

    def mistaken(seen, under_null):
        count = sum(large(gain, seen) for gain in under_null)
        return (own + count) / (more + len(under_null))

    return mistaken


_ADDED = "the curve itself counts as one more draw: 1 above the line and 1 below it"
p_value = Stopping(
    right=_p_value,
    cases=[
        (5.0, [1.0, 2.0, 7.0, 3.0]),
        (2.0, [1.0, 2.0, 2.0, 3.0, 0.5]),
        (9.0, [1.0, 2.0, 3.0]),
        (0.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (4.0, [4.0] * 19),
        (1.0, [0.5, 2.0, 1.5]),
    ],
    rule="(1 + number of draws that gain at least as much) / (1 + number of draws)",
    mistakes=[
        (
            _counted(own=0, more=0),
            "a p-value of 0 would claim that chance never does this, from a few draws: " + _ADDED,
        ),
        (_counted(own=0), _ADDED),
        (_counted(more=0), _ADDED),
        (_counted(own=2), _ADDED),
        (_counted(more=2), _ADDED),
        (_counted(own=-1), _ADDED),
        (_counted(more=-1), _ADDED),
        (
            _counted(lambda gain, seen: gain > seen),
            "draws that gain exactly as much count too: >=",
        ),
        (
            _counted(lambda gain, seen: gain < seen),
            "this counts the draws that gain less: chance does as well where they gain at least as much",
        ),
        (
            _counted(lambda gain, seen: gain <= seen),
            "this counts the draws that gain at most as much: turn the comparison round",
        ),
        (
            lambda seen, under_null: sum(gain >= seen for gain in under_null),
            "this is a number of draws: divide by how many there are, and mind that " + _ADDED,
        ),
        (
            lambda seen, under_null: (1 + sum(gain >= seen for gain in under_null)) * (1 + len(under_null)),
            "multiplied: a p-value is a fraction, so divide",
        ),
        (
            lambda seen, under_null: (1 + sum(gain >= seen for gain in under_null)) // (1 + len(under_null)),
            "// drops what is left over: divide with /",
        ),
        (
            lambda seen, under_null: (1 - sum(gain >= seen for gain in under_null)) / (1 + len(under_null)),
            "the draws are subtracted from 1: add them",
        ),
        (
            lambda seen, under_null: (1 + sum(gain >= seen for gain in under_null)) / (1 - len(under_null)),
            "the draws are subtracted from 1 below the line: add them",
        ),
    ],
    inputs=lambda source: _random_gains(source),
    stops={
        "object is not iterable": "the draws are the second argument: `under_null`",
        "has no len": "the draws are the second argument: `under_null`",
        "not supported between instances": "compare each draw with `seen`, one at a time",
    },
    shows="never 0: with 199 draws the least is 1/200 = .005",
)  # fmt: skip


def _random_gains(source: random.Random) -> tuple:
    draws = [float(source.randrange(9)) for _ in range(source.randrange(1, 30))]
    return float(source.randrange(10)), draws


def _guess_level(counts, tokens) -> float:
    import torch

    counted = torch.tensor([float(count) for count in counts], dtype=torch.float64)
    return float(torch.distributions.Categorical(counted).entropy()) / tokens


def _of(formula, each=lambda level, tokens: level / tokens):
    """Loss of a guess by a wrong formula of the answers' probabilities."""

    def mistaken(counts, tokens):
        p = np.array([count for count in counts if count], float)
        return float(each(formula(p / p.sum()), tokens))

    return mistaken


def _entropy(p):
    return -(p * np.log(p)).sum()


_TOKENS = "the answer has several tokens, and the loss is one per token: divide by `tokens`"
guess_level = Stopping(
    right=_guess_level,
    cases=[
        ([10, 10, 10, 10], 1),
        ([1] * 8, 1),
        ([1] * 100, 2),
        ([30, 10], 1),
        ([97, 2, 1], 1),
        ([5, 0, 5], 1),
        ([7], 1),
        ([50, 25, 25], 3),
    ],
    rule="−Σ p · ln p over the answers that occur, divided by the tokens of an answer",
    mistakes=[
        (
            lambda counts, tokens: math.log(len(counts)) / tokens,
            "this is right where all answers are equally frequent; a guess that knows how often each "
            "is right does better: −Σ p · ln p",
        ),
        (
            lambda counts, tokens: math.log(sum(c > 0 for c in counts)) / tokens,
            "this is right where all answers are equally frequent; a guess that knows how often each "
            "is right does better: −Σ p · ln p",
        ),
        (_of(_entropy, lambda level, tokens: level), _TOKENS),
        (_of(_entropy, lambda level, tokens: level * tokens), f"multiplied by the tokens: {_TOKENS}"),
        (_of(_entropy, lambda level, tokens: level // tokens), "// drops what is left over: divide with /"),
        (_of(lambda p: -_entropy(p)), "the sign is wrong: ln p is negative, and a loss is −ln p"),
        (_of(lambda p: _entropy(p) / math.log(2)), "this is in bits: losses here are in nats, with math.log"),
        (_of(lambda p: -np.log(p).mean()), "a plain mean of −ln p: each answer counts as often as it is right, p"),
        (_of(lambda p: -np.log(p).sum()), "the weights are missing: each −ln p counts p times"),
        (_of(lambda p: -np.log(p.max())), "this is the loss of the most frequent answer alone; take the mean over all"),
        (_of(lambda p: p.max()), "this is the accuracy of the best guess: the loss is −Σ p · ln p"),
        (_of(lambda p: p.sum()), "the logarithm is missing: −Σ p · ln p"),
        (_of(lambda p: -p.sum()), "the logarithm is missing: −Σ p · ln p"),
        (_of(lambda p: np.exp(_entropy(p))), "this is the perplexity: the loss is its logarithm"),
        (_of(lambda p: -(np.log(p) / p).sum()), "divided by p: each −ln p counts p *times*"),
        (
            lambda counts, tokens: 0.0,
            "this is always 0: it should add −p · ln p for every answer that *does* occur, count > 0",
        ),
        (
            lambda counts, tokens: _of(_entropy)(counts, tokens)
            - sum(math.log(sum(counts)) / sum(counts) for c in counts if c == 1) / tokens,
            "answers that occur once are left out: only those that never occur are, count > 0",
        ),
        (
            lambda counts, tokens: -sum(c * sum(counts) * math.log(c * sum(counts)) for c in counts if c) / tokens,
            "a count is multiplied by the sum: p = count / sum",
        ),
        (_of(lambda p: (np.log(p) / p).sum()), "divided by p, and the sign is wrong: −Σ p · ln p"),
    ],
    inputs=lambda source: (
        [source.randrange(0, 9) for _ in range(source.randrange(1, 9))] + [3], source.randrange(1, 4),
    ),
    stops={
        "math domain error": "an answer that never occurs has p = 0, and 0 has no logarithm: leave it out",
        "expected a positive input": "an answer that never occurs has p = 0: leave it out",
    },
    shows="what is left of a fact's loss once the form of the answer is known, and nothing else",
)  # fmt: skip
