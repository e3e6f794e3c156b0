"""Small exercise of notebook 08: the sum of a softmax as a logarithm, which no score overflows."""

from __future__ import annotations

import math

import numpy as np

from omni_lab.check.stopping import Stopping

_SHIFT = "take the largest score off before exp, and add it again after the logarithm"
_ZERO = (
    f"exp(-1000) is rounded to 0, and 0 has no logarithm: {_SHIFT} (of no scores at all the sum is "
    "0 indeed: return -math.inf there)"
)
_NONE = "an empty list has no largest score: the sum over no keys is 0, so return -math.inf"
_STOPPED = {  # part of an error's message → why it came
    "OverflowError": f"exp(1000) is too large for a float, and your function stops there: {_SHIFT}",
    "math domain error": _ZERO,
    "expected a positive input": _ZERO,
    "arg is an empty sequence": _NONE,
    "iterable argument is empty": _NONE,
    "zero-size array": _NONE,
    "Expected reduction dim": _NONE,
}


def _lse(scores) -> float:
    import torch

    return float(torch.tensor(list(scores), dtype=torch.float64).logsumexp(0))


def _of(formula):
    """Mistake by a formula that is right without any score; no warning where it is infinite."""

    def mistaken(scores):
        if not scores:
            return -math.inf
        with np.errstate(all="ignore"):
            return float(formula(np.array(scores)))

    return mistaken


def _sum(scores):
    return np.exp(scores).sum()


log_sum_exp = Stopping(
    right=_lse,
    cases=[
        ([0.0, 0.0],),
        ([0.0, 0.0, math.log(6)],),
        ([2.0],),
        ([1.0, 3.0, 2.0],),
        ([-1.0, -2.0],),
        ([1000.0, 1001.0],),
        ([-1000.0, -1000.0, -1002.0],),
        ([-1000.0, 0.0, 1000.0],),
        ([],),
    ],
    rule="with m the largest score, it is m + log(Σ exp(score − m)); without any score, −∞",
    mistakes=[
        (
            _of(lambda s: np.log(_sum(s))),
            f"right in small numbers, but near 1000 the sum is infinite, near −1000 it is 0: {_SHIFT}",
        ),
        (
            _of(lambda s: np.log(_sum(s - s.max()))),
            "the largest score was taken off and never added again: m + log(Σ exp(score − m))",
        ),
        (
            _of(lambda s: np.log(_sum(s - s.max())) - s.max()),
            "the largest score was taken off twice: it has to come back, m + log(Σ exp(score − m))",
        ),
        (
            _of(lambda s: np.log(_sum(s + s.max())) + s.max()),
            "the largest score is added before exp, which makes numbers larger still: take it off",
        ),
        (
            _of(lambda s: s.max() - np.log(_sum(s - s.max()))),
            "the logarithm is subtracted: exp(m) · Σ exp(score − m) is a product, so its logarithm "
            "is m *plus* log(Σ exp(score − m))",
        ),
        (
            _of(lambda s: s.min() + np.log(_sum(s - s.min()))),
            "what you take off is too small: scores far above it still overflow; take the largest "
            "one off, then every exp is at most 1",
        ),
        (
            _of(lambda s: s.max()),
            "this is the largest score alone: the others belong to the sum too",
        ),
        (
            _of(lambda s: s.sum()),
            "the sum of the scores is the logarithm of a *product* of exponentials: add the "
            "exponentials, then take the logarithm",
        ),
        (
            _of(lambda s: s.max() + _sum(s - s.max())),
            "the logarithm is missing: m + log(Σ exp(score − m))",
        ),
        (
            _of(lambda s: s.max() + np.log(_sum(s - s.max()) / len(s))),
            "this is the logarithm of the mean: an lse is that of the sum",
        ),
        (
            _of(lambda s: s.max() + np.log2(_sum(s - s.max()))),
            "this takes the logarithm to base 2: exp wants the natural one, math.log",
        ),
        (
            _of(lambda s: s.max() + np.log10(_sum(s - s.max()))),
            "this takes the logarithm to base 10: exp wants the natural one, math.log",
        ),
        (
            _of(lambda s: s.max() * np.log(_sum(s - s.max()))),
            "the largest score is multiplied: exp(m) is a factor of the sum, so m is added to its "
            "logarithm",
        ),
        (
            _of(lambda s: s.max() * _sum(s - s.max())),
            "exp(m) is a factor of the sum, m itself is not: m + log(Σ exp(score − m))",
        ),
        (
            lambda scores: _lse(scores) if scores else 0.0,
            "an empty list gives 0: the sum over no keys is 0, and the logarithm of 0 is −∞; an "
            "lse of 0 would claim a sum of 1",
        ),
        (
            lambda scores: _lse(scores) if scores else math.inf,
            "an empty list gives +∞: the sum over no keys is 0, and the logarithm of 0 is −∞",
        ),
        (
            lambda scores: -_lse(scores),
            "the sign is wrong: it is + log of the sum, and −∞ for an empty one",
        ),
    ],
    inputs=lambda source: (
        [source.choice([0.0, 900.0, -900.0]) + source.uniform(-3, 3) for _ in range(source.randrange(5))],
    ),
    stops=_STOPPED,
    shows="also where exp(1000) is infinite, where exp(-1000) is 0, and where nothing is seen",
)  # fmt: skip
