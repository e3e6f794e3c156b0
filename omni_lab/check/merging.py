"""Exercise of the online softmax: merging the attention over two blocks of keys.

Glossary: Q queries · K head width · lse log-sum-exp of a query's scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from omni_lab.check.verdict import Verdict, tried

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MOST = {"float64": 1e-10, "float32": 2e-6}  # largest error that counts as right


class _Case(NamedTuple):
    """Two blocks to merge, and the reason why a merge of plain blocks may fail on them."""

    name: str
    why: str
    out_a: Tensor  # … Q K
    lse_a: Tensor  # … Q
    out_b: Tensor
    lse_b: Tensor


def merged(attempt: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """Checker of the online-softmax merge: attention over two blocks of keys from each alone.

    Parameters
    ----------
    attempt : takes output (… Q K) and log-sum-exp (… Q) of one block, then of another, and returns
        both for the two blocks together; where a query sees nothing of a block, its output is 0
        and its lse −∞
    """
    cases = list(_cases())
    for case in cases:
        value = tried(attempt, *(tensor.clone() for tensor in case[2:]))
        if isinstance(value, Verdict):
            return value
        value = _as_tensors(value)
        if wrong := _not_a_pair(value, case):
            return Verdict(False, wrong)
        true = _true(case)
        if not _near(value, true, case):
            return Verdict(False, f"{case.name}: {case.why or _usual(value, case, true)}")
    limits = "also where exp overflows and where nothing is seen"
    return Verdict(True, f"right: {len(cases)} pairs of blocks, {limits}")


def _true(case: _Case) -> tuple[Tensor, Tensor]:
    """Output and lse of both blocks by the package's own merge."""
    from omni_lab.parallel.blocks import merge_

    out, lse = case.out_a.clone(), case.lse_a.clone()
    merge_(out, lse, case.out_b, case.lse_b)
    return out, lse


def _near(value: tuple[Tensor, Tensor], true: tuple[Tensor, Tensor], case: _Case) -> bool:
    """Agreement to the precision of the type, which keeps so many digits of the largest lse."""
    largest = float(case.lse_a.where(case.lse_a.isfinite(), 1.0).abs().max())
    most = _MOST[str(true[0].dtype).removeprefix("torch.")] * largest
    return all(
        given.allclose(right, atol=most, rtol=most)
        for given, right in zip(value, true, strict=True)
    )


def _cases() -> Iterator[_Case]:
    """Pairs of blocks, plain ones first, then overflow, underflow and queries that see nothing.

    In the very first all axes are equally long, so that weights along a wrong axis fit too.
    """
    import torch

    random = torch.Generator().manual_seed(0)

    yield _drawn("two plain blocks", "", (3, 3, 3, 3), torch.float64, random)
    for shape, dtype in (
        ((2, 4, 5, 3), torch.float32),
        ((1, 1, 7, 2), torch.float64),
        ((3, 2, 1, 6), torch.float32),
    ):
        yield _drawn(f"blocks of shape {' × '.join(map(str, shape))}", "", shape, dtype, random)

    # exp of these is infinite, or 0, in any type
    limits = {
        1000.0: "exp(1000) is infinite in any type",
        -1000.0: "exp(-1000) is 0, and 0 / 0 is no number",
    }
    for near, why in limits.items():
        for dtype in (torch.float32, torch.float64):
            name = f"lse near {near:g} in {str(dtype).removeprefix('torch.')}"
            reason = f"{why}; subtract the larger lse before you take exp"
            yield _drawn(name, reason, (1, 2, 5, 3), dtype, random, near)

    for dtype in (torch.float32, torch.float64):
        blocks = _drawn("", "", (1, 2, 5, 3), dtype, random)
        yield blocks._replace(
            name=f"lse near 1000 and -1000 in {str(dtype).removeprefix('torch.')}",
            why="exp(2000) is infinite; subtract the larger lse of the two, never the smaller",
            lse_a=blocks.lse_a - 1000,
            lse_b=blocks.lse_b + 1000,
        )

    # queries of one tensor whose lse are far apart, as those at the row's begin and end are
    plain = _drawn("", "", (1, 2, 5, 3), torch.float64, random)
    apart = torch.linspace(-1000, 1000, 5, dtype=torch.float64)
    yield plain._replace(
        name="one query's lse near 1000, another's near -1000",
        why="each query has a largest lse of its own to subtract, not one for the whole tensor",
        lse_a=plain.lse_a + apart,
        lse_b=plain.lse_b + apart,
    )

    none, nothing = torch.zeros_like(plain.out_a), torch.full_like(plain.lse_a, -math.inf)
    name = "a query that sees nothing of the {} block"
    why = "that block's weight is exp(−∞) = 0, and the other stays as it is"
    yield plain._replace(name=name.format("second"), why=why, out_b=none, lse_b=nothing)
    yield plain._replace(name=name.format("first"), why=why, out_a=none, lse_a=nothing)
    why = "−∞ − −∞ is no number; out stays 0 and lse −∞, for the blocks that are still to come"
    yield _Case("a query that sees nothing of either block", why, none, nothing, none, nothing)


def _drawn(
    name: str,
    why: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    random: torch.Generator,
    near: float = 3.0,
) -> _Case:
    """Two random blocks, their lse around `near`."""
    import torch

    def normal(size: tuple[int, ...]) -> Tensor:
        return torch.randn(size, generator=random, dtype=torch.float64).to(dtype)

    out_a, out_b = normal(shape), normal(shape)
    lse_a, lse_b = normal(shape[:-1]) + near, normal(shape[:-1]) + near
    return _Case(name, why, out_a, lse_a, out_b, lse_b)


def _as_tensors(value: object) -> object:
    """Pair of arrays as a pair of tensors; whatever else it is stays as it is."""
    import numpy as np
    import torch

    if not isinstance(value, tuple | list):
        return value
    return tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in value)


def _not_a_pair(value: object, case: _Case) -> str | None:
    """Wrong type, shape or dtype of an answer, explained, or None."""
    import torch

    pair = isinstance(value, tuple | list) and len(value) == 2
    if not pair or not all(isinstance(x, torch.Tensor) for x in value):
        parts = value if isinstance(value, tuple | list) else [value]
        kinds = ", ".join(type(part).__name__ for part in parts)
        return f"return two tensors, (out, lse), as the next block needs both; yours: {kinds}"
    for name, given, true in (("out", value[0], case.out_a), ("lse", value[1], case.lse_a)):
        if given.shape != true.shape:
            shapes = f"{name} has shape {tuple(given.shape)}, not {tuple(true.shape)}"
            return f"{shapes}: lse is one number per query, which weights all K numbers of its out"
        if given.dtype != true.dtype:
            types = f"{name} is {given.dtype}, and its blocks were {true.dtype}"
            return f"{types}: merging must not change the type"
    return None


def _usual(value: tuple[Tensor, Tensor], case: _Case, true: tuple[Tensor, Tensor]) -> str:
    """Usual mistake that gives just these numbers, explained; else the part that is wrong."""
    rules = ("out", "out = Σ exp(lse_i − lse) · out_i"), ("lse", "exp(lse) = Σ exp(lse_i)")
    mistakes = _wrong_outs(case, true[1]), _wrong_sums(case)
    for given, right, known, (name, rule) in zip(value, true, mistakes, rules, strict=True):
        if _same(given, right):
            continue
        for wrong, message in known:
            if _same(given, wrong):
                return message
        weights = _weights(given, case) if name == "out" else ""
        return f"{name} is not what one softmax over both blocks gives{weights}: {rule}"
    return "out and lse are nearly right, but not to the precision of their type"


def _weights(out: Tensor, case: _Case) -> str:
    """Weights of both blocks in a wrong output's first query, in words; empty where it has none."""
    import torch

    # K numbers for two unknowns: what is no weighted sum of both blocks leaves a rest
    blocks = torch.stack([case.out_a, case.out_b], -1).double().flatten(0, -3)[0]
    first = out.double().flatten(0, -2)[0]
    weights = torch.linalg.lstsq(blocks, first[:, None]).solution[:, 0]
    if not torch.allclose(blocks @ weights, first, atol=1e-5):
        return ", nor a weighted sum of both"
    a, b = weights.tolist()
    added = "add up to 1" if abs(a + b - 1) < 1e-4 else f"add up to {a + b:.3g}, not 1"
    return f" (the blocks have weights {a:.3g} and {b:.3g}, which {added})"


def _same(given: Tensor, other: Tensor) -> bool:
    most = 100 * _MOST[str(given.dtype).removeprefix("torch.")]
    if given.shape != other.shape:
        return False
    return given.allclose(other, atol=most, rtol=most, equal_nan=False)


def _wrong_outs(case: _Case, lse: Tensor) -> Iterator[tuple[Tensor, str]]:
    """Outputs that the usual mistakes give, each with its explanation."""
    a, sum_a, b, sum_b = case[2:]
    weight_a, weight_b = (sum_a - lse).exp()[..., None], (sum_b - lse).exp()[..., None]

    # no weights
    yield (
        (a + b) / 2,
        "out is the mean of both: a block of large scores has to weigh more, as in one softmax",
    )
    yield (
        a + b,
        "out is the plain sum: each block's weights add up to 1, so together they add up to 2",
    )

    # wrong weights
    by_lse = (sum_a[..., None] * a + sum_b[..., None] * b) / (sum_a + sum_b)[..., None]
    yield (
        by_lse,
        "out is weighted by lse itself: lse is a logarithm, and the weights are the sums, exp(lse)",
    )
    not_normed = sum_a.exp()[..., None] * a + sum_b.exp()[..., None] * b
    yield (
        not_normed,
        "out is weighted by exp(lse), but nothing divides by both sums: weights must add up to 1",
    )
    yield (
        weight_b * a + weight_a * b,
        "each block has the weight of the other: did you swap them, or flip the sign of lse?",
    )
    if case.name == "two plain blocks":  # elsewhere the shapes do not even fit
        for along in (lambda w: w[..., 0], lambda w: w.mT):
            yield (
                along(weight_a) * a + along(weight_b) * b,
                "the weights lie along the wrong axis: one weight per query, so lse[..., None]",
            )

    # one block only
    larger = a.where((sum_a > sum_b)[..., None], b)
    yield larger, "out is that of the block with the larger lse: the smaller one has a weight too"
    yield a, "out is the first block's: nothing of the second was merged"
    yield b, "out is the second block's: nothing of the first is left"


def _wrong_sums(case: _Case) -> Iterator[tuple[Tensor, str]]:
    """Log-sum-exps that the usual mistakes give, each with its explanation."""
    a, b = case.lse_a, case.lse_b
    forgot = "out is right, but lse is only one block's: merge it too, or the next weight is wrong"
    yield from ((a, forgot), (b, forgot))
    yield (
        a + b,
        "lse is lse_a + lse_b: adding logarithms multiplies the sums; add sums, then take the log",
    )
    yield a.exp() + b.exp(), "lse is the sum itself: take its logarithm"
    yield a.maximum(b), "lse is the larger of the two: the smaller sum counts too"
    yield (a + b) / 2, "lse is the mean: the sum over both blocks is larger than that over each"
