"""Parts of a mixture that nothing clearly beats: upper ends of paired differences (notebook 11)."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

from omni_lab.check.stopping import Stopping


def _ends(scores, quantile) -> list:
    """Upper ends of the intervals of differences from the part with the best mean."""
    import numpy as np

    table = np.array(scores, float)
    off = table - table[table.mean(1).argmax()]
    return (off.mean(1) + quantile * off.std(1, ddof=1) / np.sqrt(table.shape[1])).tolist()


def _mean(values: list) -> float:
    return sum(values) / len(values)


def _comparing(
    best: Callable = lambda scores: max(range(len(scores)), key=lambda p: _mean(scores[p])),
    off: Callable = lambda mine, top: [a - b for a, b in zip(mine, top, strict=True)],
    end: Callable = lambda mean, half: mean + half,
    half: Callable = lambda deviation, count, quantile: quantile * deviation / math.sqrt(count),
    deviation: Callable = statistics.stdev,
    middle: Callable = _mean,
) -> Callable:
    """Mistake in one line of the comparison."""

    def ends(scores, quantile):
        top, found = scores[best(scores)], []
        for own in scores:
            differences = off(own, top)
            spread = half(deviation(differences), len(differences), quantile)
            found.append(end(middle(differences), spread))
        return found

    return ends


def _scores(source: random.Random) -> tuple:
    parts, seeds = source.randrange(2, 6), source.randrange(3, 6)
    levels = [source.choice([0.5, 0.6, 0.63, 0.66]) for _ in range(parts)]
    common = [source.uniform(-0.1, 0.1) for _ in range(seeds)]
    scores = [[level + c + source.uniform(-0.04, 0.04) for c in common] for level in levels]
    return scores, source.choice([2.0, 2.8, 4.3])


_RULE = "differences part − best, seed by seed: their mean + quantile · deviation / √seeds"
_PAIRED = "compare seed by seed: a seed that is good for all parts says nothing about one"
ends = Stopping(
    right=_ends,
    cases=[
        ([[0.5, 0.6, 0.7], [0.8, 0.9, 1.0], [0.81, 0.89, 1.01]], 4.3),
        ([[0.70, 0.74, 0.60], [0.72, 0.73, 0.65], [0.60, 0.61, 0.40]], 4.3),
        ([[0.50, 0.70, 0.90, 0.30], [0.55, 0.75, 0.96, 0.34], [0.53, 0.76, 0.93, 0.35]], 3.2),
        ([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]], 4.3),
        ([[0.4, 0.5, 0.7, 0.9], [0.6, 0.6, 0.6, 0.7], [0.5, 0.7, 0.8, 0.9]], 3.2),
        ([[0.2, 0.3, 0.98], [0.9, 0.7, 0.8], [0.86, 0.84, 0.6], [0.7, 0.5, 0.6]], 2.0),
    ],
    rule=_RULE,
    mistakes=[
        (lambda scores, q: [_mean(own) for own in scores], f"these are the means: {_RULE}"),
        (_comparing(end=lambda mean, half: mean - half), "this is the *lower* end: add the half width"),
        (_comparing(end=lambda mean, half: mean), "the interval is missing: + quantile · deviation / √seeds"),
        (_comparing(end=lambda mean, half: half), "the mean difference is missing"),
        (_comparing(end=lambda mean, half: mean * half), "the half width is added to the mean"),
        (_comparing(end=lambda mean, half: mean / (half or 1e-9)), "the half width is added to the mean"),
        (_comparing(end=lambda mean, half: half - mean), "the sign of the difference: part minus best"),
        (_comparing(half=lambda d, n, q: q * d), "the deviation of a *mean* is smaller by √seeds"),
        (_comparing(half=lambda d, n, q: q * d / n), "divide by the *root* of the number of seeds"),
        (_comparing(half=lambda d, n, q: d / math.sqrt(n)), "the quantile is missing"),
        (_comparing(half=lambda d, n, q: q * d * math.sqrt(n)), "divided by √seeds, not multiplied"),
        (_comparing(half=lambda d, n, q: d / q / math.sqrt(n)), "the quantile multiplies the deviation"),
        (_comparing(half=lambda d, n, q: q / math.sqrt(n)), "the deviation is missing"),
        (_comparing(half=lambda d, n, q: (q + d) / math.sqrt(n)), "the quantile multiplies the deviation"),
        (_comparing(half=lambda d, n, q: q + d / math.sqrt(n)), "the quantile multiplies the deviation"),
        (_comparing(half=lambda d, n, q: q * d / math.sqrt(n - 1)), "divide by √seeds, not √(seeds − 1)"),
        (_comparing(deviation=statistics.pstdev), "the deviation of a sample divides by seeds − 1: statistics.stdev"),
        (_comparing(deviation=statistics.variance), "this is the variance: its root is the deviation"),
        (_comparing(middle=sum), "a mean, not a sum: divide by the number of seeds"),
        (_comparing(middle=lambda values: sum(values) * len(values)), "a mean divides by the number of seeds"),
        (_comparing(middle=lambda values: sum(values) // len(values)), "// drops what is left over"),
        (_comparing(middle=statistics.median), "the mean of the differences, not their median"),
        (_comparing(middle=max), "the mean of the differences, not the largest"),
        (_comparing(off=lambda mine, top: [a - _mean(top) for a in mine]), _PAIRED),
        (_comparing(off=lambda mine, top: [_mean(mine) - b for b in top]), _PAIRED),
        (
            _comparing(off=lambda mine, top: [a - b for a, b in zip(sorted(mine), sorted(top), strict=True)]),
            _PAIRED,
        ),
        (_comparing(off=lambda mine, top: mine), "compare with the best part: part minus best, seed by seed"),
        (_comparing(off=lambda mine, top: top), "these are the best part's own scores: part minus best"),
        (_comparing(off=lambda mine, top: [0.0 for _ in mine]), "each part is compared with itself: part minus best"),
        (
            _comparing(off=lambda mine, top: [a + b for a, b in zip(mine, top, strict=True)]),
            "a difference is asked for, not a sum",
        ),
        (
            _comparing(off=lambda mine, top: [a * b for a, b in zip(mine, top, strict=True)]),
            "a difference is asked for, not a product",
        ),
        (
            _comparing(off=lambda mine, top: [a / b for a, b in zip(mine, top, strict=True)]),
            "a difference is asked for, not a ratio",
        ),
        (_comparing(best=lambda scores: 0), "compare with the part of the best *mean*, not with the first"),
        (_comparing(best=lambda scores: -1), "compare with the part of the best *mean*, not with the last"),
        (
            _comparing(best=lambda scores: min(range(len(scores)), key=lambda p: _mean(scores[p]))),
            "compare with the *best* part, not with the worst",
        ),
        (
            _comparing(best=lambda scores: max(range(len(scores)), key=lambda p: max(scores[p]))),
            "best is the part of the best *mean*, not that of the luckiest seed",
        ),
        (
            _comparing(best=lambda scores: max(range(len(scores)), key=lambda p: scores[p])),
            "best is the part of the best *mean*, not that of the best first seed",
        ),
    ],
    inputs=_scores,
    stops={
        "stdev requires at least two": "one seed has no deviation: take the differences of all seeds of a part",
        "can only concatenate": "lists do not subtract or add: go over pairs with zip(own, top)",
        "unsupported operand type(s) for -: 'list'": "lists do not subtract: go over pairs with zip(own, top)",
    },
    shows="a part whose upper end is 0 or more cannot be told from the best",
)  # fmt: skip
