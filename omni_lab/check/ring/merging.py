"""Small exercise of notebook 08: two blocks of one softmax merged, in numbers."""

from __future__ import annotations

import math

from omni_lab.check.stopping import Stopping


def _two_merged(out_a: float, sum_a: float, out_b: float, sum_b: float) -> tuple[float, float]:
    """Two blocks of one query together, by the package's merge."""
    import torch

    from omni_lab.parallel import merge_

    out_a, sum_a, out_b, sum_b = (
        torch.tensor(number, dtype=torch.float64).view(1, 1, 1)
        for number in (out_a, sum_a, out_b, sum_b)
    )
    out, lse = out_a[..., None].clone(), sum_a.log()
    merge_(out, lse, out_b[..., None], sum_b.log())
    return float(out), float(lse.exp())


def _or_nothing(out, total):
    """Answer of a mistake that is right about two blocks in which nothing is seen."""

    def mistaken(out_a, sum_a, out_b, sum_b):
        if not sum_a + sum_b:
            return 0.0, 0.0
        return out(out_a, sum_a, out_b, sum_b), total(out_a, sum_a, out_b, sum_b)

    return mistaken


def _slip(parts):
    """Mistake that puts the wrong things together: weighted sum and Z, then divided."""

    def mistaken(*given):
        weighted, total = parts(*given)
        return (weighted / total, total) if total else (0.0, 0.0)

    return mistaken


def _mean(a, za, b, zb):
    return (za * a + zb * b) / (za + zb)


def _sums(a, za, b, zb):
    return za + zb


_MIXED = (
    "an out stands where a Z belongs, or a Z where an out does: each block's *own* Z multiplies "
    "its out, and the new Z is a sum of Zs"
)
_MIXED_UP = (
    lambda a, za, b, zb: (za * a + zb * b, b + zb),
    lambda a, za, b, zb: (za * a + zb * b, za + a),
    lambda a, za, b, zb: (za * a + zb * b, a + b),
    lambda a, za, b, zb: (b * a + zb * b, za + zb),
    lambda a, za, b, zb: (za * za + zb * b, za + zb),
    lambda a, za, b, zb: (za * a + a * b, za + zb),
    lambda a, za, b, zb: (za * a + zb * zb, za + zb),
    lambda a, za, b, zb: (za * za + zb * zb, za + zb),
)
_LOOK = "each block's out has to weigh as much as its Z"
two_merged = Stopping(
    right=_two_merged,
    cases=[
        (15.0, 2.0, 100.0, 6.0),
        (10.0, 1.0, 20.0, 1.0),
        (-4.0, 0.5, 3.0, 2.5),
        (8.0, 5.0, 2.0, 3.0),
        (0.0, 0.0, 7.0, 3.0),
        (7.0, 3.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
    ],
    rule="out = (Z_a · out_a + Z_b · out_b) / (Z_a + Z_b), and Z is the sum Z_a + Z_b",
    mistakes=[
        (
            lambda a, za, b, zb: ((a + b) / 2, za + zb),
            f"out is the plain mean of both: {_LOOK}, as its keys do in one softmax",
        ),
        (
            lambda a, za, b, zb: (a + b, za + zb),
            "out is the plain sum: the weights of each block add up to 1 already, so together "
            "they would add up to 2",
        ),
        (
            lambda a, za, b, zb: (za * a + zb * b, za + zb),
            "out is the sum Z_a · out_a + Z_b · out_b: it still has to be divided by the new Z",
        ),
        (
            _or_nothing(lambda a, za, b, zb: (zb * a + za * b) / (za + zb), _sums),
            f"each block has the weight of the other: {_LOOK}",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: za),
            "out is right, but Z is still the first block's: the next block would count too much",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: zb),
            "out is right, but Z is only the second block's: the sum over all keys is Z_a + Z_b",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: za * zb),
            "out is right, but Z is a product: Z is a sum over keys, so two of them are added "
            "(logarithms of sums would be another matter)",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: za - zb),
            "out is right, but Z is a difference: the sum over all keys is Z_a + Z_b",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: max(za, zb)),
            "out is right, but Z is the larger of both: the smaller sum counts too",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: 1.0),
            "out is right, but Z is 1: the weights add up to 1 after the division; Z is what was "
            "divided by, Z_a + Z_b",
        ),
        (
            _or_nothing(lambda a, za, b, zb: a if za > zb else b, _sums),
            "out is that of the block with the larger Z: the smaller one has a weight too",
        ),
        (lambda a, za, b, zb: (a, za), "this is the first block alone: nothing of the second"),
        (lambda a, za, b, zb: (b, zb), "this is the second block alone: nothing of the first"),
        (
            _or_nothing(lambda a, za, b, zb: (za * a - zb * b) / (za + zb), _sums),
            "the second block is subtracted: both are parts of one sum, so they are added",
        ),
        (
            _or_nothing(
                lambda a, za, b, zb: (math.exp(za) * a + math.exp(zb) * b)
                / (math.exp(za) + math.exp(zb)),
                _sums,
            ),
            "the weights are exp(Z): but Z is a sum of exponentials already",
        ),
        (
            _slip(lambda a, za, b, zb: (za * a + zb * b, za - zb)),
            "Z is the difference of both sums: the sum over all keys is Z_a + Z_b",
        ),
        (
            _or_nothing(lambda a, za, b, zb: (za * a + zb * b) * (za + zb), _sums),
            "out is multiplied by the new Z: it has to be divided by it, so that weights add up to 1",
        ),
        (
            _or_nothing(lambda a, za, b, zb: (za * a + zb * b) // (za + zb), _sums),
            "// drops what is left over: divide with /",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: (za + zb) / 2),
            "out is right, but Z is a mean: more keys make a larger sum, Z_a + Z_b",
        ),
        (
            _or_nothing(_mean, lambda a, za, b, zb: math.log(za + zb)),
            "out is right, but Z is given as its logarithm: here Z is the sum itself (the logarithm "
            "comes next)",
        ),
        *((_slip(parts), _MIXED) for parts in _MIXED_UP),
    ],
    inputs=lambda source: (
        source.uniform(-9, 9), source.choice([0.5, 1.0, 3.0]),
        source.uniform(-9, 9), source.choice([0.0, 2.0, 7.0]),
    ),
    stops={
        "ZeroDivisionError": "where nothing of either block is seen, Z is 0, and 0 / 0 is no number: "
        "return (0.0, 0.0) there",
        "can't be normalized": "where nothing of either block is seen, both weights are 0, and "
        "nothing can be divided: return (0.0, 0.0) there",
    },
    shows="two blocks are one softmax, also where a query sees nothing of one, or of both",
)  # fmt: skip
