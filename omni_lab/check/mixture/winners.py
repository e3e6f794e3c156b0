"""Winner among parts of a mixture: the earliest that nothing clearly beats (notebook 11)."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

from omni_lab.check.stopping import Stopping


def _winner(scores, quantile) -> int:
    """The earliest part whose interval of differences from the best one reaches 0."""
    import numpy as np

    table = np.array(scores, float)
    off = table - table[table.mean(1).argmax()]
    high = off.mean(1) + quantile * off.std(1, ddof=1) / np.sqrt(table.shape[1])
    return int(np.flatnonzero(high >= 0)[0])


def _mean(values: list) -> float:
    return sum(values) / len(values)


def _choosing(
    best: Callable = lambda scores: max(range(len(scores)), key=lambda p: _mean(scores[p])),
    off: Callable = lambda mine, top: [a - b for a, b in zip(mine, top, strict=True)],
    end: Callable = lambda mean, half: mean + half,
    half: Callable = lambda deviation, count, quantile: quantile * deviation / math.sqrt(count),
    deviation: Callable = statistics.stdev,
    passes: Callable = lambda high: high >= 0,
    chosen: Callable = lambda good: good[0],
) -> Callable:
    """Mistake in one line of the choice."""

    def winner(scores, quantile):
        top, good = scores[best(scores)], []
        for part, own in enumerate(scores):
            differences = off(own, top)
            spread = half(deviation(differences), len(differences), quantile)
            if passes(end(_mean(differences), spread)):
                good.append(part)
        return chosen(good) if good else -1

    return winner


def _scores(source: random.Random) -> tuple:
    parts, seeds = source.randrange(2, 6), source.randrange(3, 6)
    levels = [source.choice([0.5, 0.6, 0.63, 0.66]) for _ in range(parts)]
    common = [source.uniform(-0.1, 0.1) for _ in range(seeds)]
    scores = [[level + c + source.uniform(-0.04, 0.04) for c in common] for level in levels]
    return scores, source.choice([2.0, 2.8, 4.3])


_RULE = "the first part of which mean + quantile · deviation / √seeds of its differences from the best is 0 or more"
_PAIRED = "compare seed by seed: a seed that is good for all parts says nothing about one"
winner = Stopping(
    right=_winner,
    cases=[
        ([[0.5, 0.6, 0.7], [0.8, 0.9, 1.0], [0.81, 0.89, 1.01]], 4.3),
        ([[0.70, 0.74, 0.60], [0.72, 0.73, 0.65], [0.60, 0.61, 0.40]], 4.3),
        ([[0.50, 0.70, 0.90, 0.30], [0.55, 0.75, 0.96, 0.34], [0.53, 0.76, 0.93, 0.35]], 3.2),
        ([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]], 4.3),
        ([[0.4, 0.5, 0.7, 0.9], [0.6, 0.6, 0.6, 0.7], [0.5, 0.7, 0.8, 0.9]], 3.2),
        ([[0.2, 0.3, 0.4], [0.9, 0.7, 0.8], [0.86, 0.84, 0.8], [0.7, 0.5, 0.6]], 2.0),
        ([[0.60, 0.62, 0.61, 0.63], [0.64, 0.63, 0.66, 0.65], [0.65, 0.65, 0.66, 0.68]], 2.0),
        ([[0.60, 0.62, 0.61, 0.63], [0.64, 0.63, 0.66, 0.65], [0.65, 0.65, 0.66, 0.68]], 6.0),
    ],
    rule=_RULE,
    mistakes=[
        (
            lambda scores, q: max(range(len(scores)), key=lambda p: _mean(scores[p])),
            "this is the best mean: an earlier part that cannot be told from it wins",
        ),
        (
            lambda scores, q: max(range(len(scores)), key=lambda p: max(scores[p])),
            "this is the part of the luckiest seed: take means over seeds",
        ),
        (lambda scores, q: min(range(len(scores)), key=lambda p: _mean(scores[p])), "this is the worst mean"),
        (lambda scores, q: 0, "always the first part: it has to be as good as the best"),
        (lambda scores, q: len(scores) - 1, "always the last part: more training is not always better"),
        (_choosing(chosen=lambda good: good[-1]), "of parts that cannot be told from the best, the *earliest* wins"),
        (_choosing(chosen=len), "this is how many parts are as good: return the first of them"),
        (_choosing(chosen=lambda good: good), "return one part, the first"),
        (
            _choosing(end=lambda mean, half: mean - half),
            "the *upper* end of the interval: a part is out where even that is below 0",
        ),
        (_choosing(end=lambda mean, half: mean), "the interval is missing: mean + quantile · deviation / √seeds"),
        (_choosing(end=lambda mean, half: half), "the mean difference is missing"),
        (_choosing(end=lambda mean, half: mean * half), "the half width is added to the mean"),
        (_choosing(end=lambda mean, half: half - mean), "the sign of the difference: part minus best"),
        (
            _choosing(half=lambda d, n, q: q * d),
            "the deviation of a *mean* is smaller by √seeds",
        ),
        (_choosing(half=lambda d, n, q: q * d / n), "divide by the *root* of the number of seeds"),
        (_choosing(half=lambda d, n, q: d / math.sqrt(n)), "the quantile is missing"),
        (_choosing(half=lambda d, n, q: q * d * math.sqrt(n)), "divided by √seeds, not multiplied"),
        (_choosing(half=lambda d, n, q: d / q / math.sqrt(n)), "the quantile multiplies the deviation"),
        (_choosing(half=lambda d, n, q: q / math.sqrt(n)), "the deviation is missing"),
        (_choosing(half=lambda d, n, q: q + d / math.sqrt(n)), "the quantile multiplies the deviation"),
        (_choosing(half=lambda d, n, q: q * d // math.sqrt(n)), "// drops what is left over"),
        (
            _choosing(deviation=statistics.pstdev),
            "the deviation of a sample divides by seeds − 1: statistics.stdev",
        ),
        (
            _choosing(deviation=statistics.variance),
            "this is the variance: its root is the deviation",
        ),
        (
            _choosing(off=lambda mine, top: [b - a for a, b in zip(mine, top, strict=True)]),
            "the sign of the difference: part minus best",
        ),
        (
            _choosing(off=lambda mine, top: [a - _mean(top) for a in mine]),
            _PAIRED,
        ),
        (_choosing(off=lambda mine, top: [_mean(mine) - b for b in top]), _PAIRED),
        (
            _choosing(off=lambda mine, top: [a - b for a, b in zip(sorted(mine), sorted(top), strict=True)]),
            _PAIRED,
        ),
        (_choosing(off=lambda mine, top: mine), "compare with the best part: part minus best, seed by seed"),
        (
            _choosing(off=lambda mine, top: [a + b for a, b in zip(mine, top, strict=True)]),
            "a difference is asked for",
        ),
        (
            _choosing(best=lambda scores: 0),
            "compare with the part that has the best *mean*, not with the first",
        ),
        (
            _choosing(best=lambda scores: -1),
            "compare with the part that has the best *mean*, not with the last",
        ),
        (
            _choosing(best=lambda scores: min(range(len(scores)), key=lambda p: _mean(scores[p]))),
            "compare with the *best* part, not with the worst",
        ),
        (
            _choosing(best=lambda scores: max(range(len(scores)), key=lambda p: max(scores[p]))),
            "best is the part with the best *mean*, not that of the luckiest seed",
        ),
        (
            _choosing(best=lambda scores: max(range(len(scores)), key=lambda p: scores[p])),
            "best is the part with the best *mean*, not with the best first seed",
        ),
        (_choosing(passes=lambda high: high > 0), "the best part differs from itself by 0, and is in: >= 0"),
        (_choosing(passes=lambda high: high <= 0), "a part is in where the upper end is 0 or *more*"),
        (_choosing(passes=lambda high: high < 0), "a part is in where the upper end is 0 or *more*"),
        (_choosing(passes=lambda high: high == 0), "a part is in where the upper end is 0 or *more*"),
        (_choosing(passes=lambda high: high != 0), "a part is in where the upper end is 0 or *more*"),
        *(
            (
                _choosing(passes=lambda high, bound=bound: high >= bound),
                "the bound is 0: as good as the best",
            )
            for bound in (1, -1)
        ),
    ],
    inputs=_scores,
    stops={
        "stdev requires at least two": "one seed has no deviation: take the differences of all seeds of a part",
        "can only concatenate": "lists do not subtract or add: go over pairs with zip(own, top)",
        "unsupported operand type(s) for -: 'list'": "lists do not subtract: go over pairs with zip(own, top)",
    },
    shows="of parts that cannot be told apart, the cheapest",
)  # fmt: skip
