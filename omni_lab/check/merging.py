"""The exercise of the online softmax: two blocks of attention merged into what one softmax would have given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from omni_lab.check.verdict import Verdict, tried

if TYPE_CHECKING:
    from torch import Tensor

_MOST = {"float64": 1e-10, "float32": 2e-6}  # of an error


class _Case(NamedTuple):
    """Two blocks to merge, and why somebody who merges plain ones rightly may fail on them."""

    name: str
    why: str
    out_a: Tensor  # … Q K
    lse_a: Tensor  # … Q
    out_b: Tensor
    lse_b: Tensor


def merged(attempt: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """Check an attempt at: what is the attention over two blocks of keys, from the attention over each?

    Parameters
    ----------
    attempt : takes output (… Q K) and log of the sum of exponentials (… Q) of one block, then of another, and returns
        both for the two blocks together; a query that sees nothing of a block has output 0 and lse −∞ there
    """
    import torch

    from omni_lab.parallel.blocks import merge_

    cases = list(_cases())
    for case in cases:
        value = tried(attempt, *(tensor.clone() for tensor in case[2:]))
        if isinstance(value, Verdict):
            return value
        wrong = _not_a_pair(value, case)
        if wrong:
            return Verdict(False, wrong)
        out, lse = case.out_a.clone(), case.lse_a.clone()
        merge_(out, lse, case.out_b, case.lse_b)
        largest = float(
            case.lse_a.where(case.lse_a.isfinite(), 1.0).abs().max()
        )  # of it a type keeps so many digits
        most = _MOST[str(out.dtype).removeprefix("torch.")] * largest
        near = [
            torch.allclose(mine, true, atol=most, rtol=most)
            for mine, true in zip(value, (out, lse), strict=True)
        ]
        if not all(near):
            message = case.why or _usual(value, case, (out, lse))
            return Verdict(False, f"{case.name}: {message}")
    return Verdict(
        True,
        f"right: {len(cases)} pairs of blocks, also where exp overflows and where nothing is seen",
    )


def _cases() -> Iterator[_Case]:
    """Pairs of blocks, the plain ones first; the very first has as many of everything, so that a wrong axis fits."""
    import torch

    random = torch.Generator().manual_seed(0)

    def drawn(
        name: str, why: str, shape: tuple[int, ...], dtype: torch.dtype, near: float = 3.0
    ) -> _Case:
        outs = [
            torch.randn(shape, generator=random, dtype=torch.float64).to(dtype) for _ in range(2)
        ]
        sums = [
            torch.randn(shape[:-1], generator=random, dtype=torch.float64).to(dtype) + near
            for _ in range(2)
        ]
        return _Case(name, why, outs[0], sums[0], outs[1], sums[1])

    yield drawn("two plain blocks", "", (3, 3, 3, 3), torch.float64)
    for shape, dtype in (
        ((2, 4, 5, 3), torch.float32),
        ((1, 1, 7, 2), torch.float64),
        ((3, 2, 1, 6), torch.float32),
    ):
        yield drawn(f"blocks of shape {' × '.join(map(str, shape))}", "", shape, dtype)
    limits = {
        1000.0: "exp(1000) is infinite in any type",
        -1000.0: "exp(-1000) is 0, and 0 / 0 is no number",
    }
    for near, why in limits.items():
        for dtype in (torch.float32, torch.float64):
            name = f"lse near {near:g} in {str(dtype).removeprefix('torch.')}"
            yield drawn(
                name,
                f"{why}; subtract the larger lse before you take exp",
                (1, 2, 5, 3),
                dtype,
                near,
            )
    plain = drawn("", "", (1, 2, 5, 3), torch.float64)
    none, nothing = torch.zeros_like(plain.out_a), torch.full_like(plain.lse_a, -math.inf)
    name = "a query that sees nothing of the {} block"
    why = "that block's weight is exp(−∞) = 0, and the other stays as it is"
    yield plain._replace(name=name.format("second"), why=why, out_b=none, lse_b=nothing)
    yield plain._replace(name=name.format("first"), why=why, out_a=none, lse_a=nothing)
    why = "−∞ − −∞ is no number; out stays 0 and lse −∞, for the blocks that are still to come"
    yield _Case("a query that sees nothing of either block", why, none, nothing, none, nothing)


def _not_a_pair(value: object, case: _Case) -> str | None:
    """What is wrong with the kind of thing that came back, or None."""
    import torch

    if (
        not isinstance(value, tuple | list)
        or len(value) != 2
        or not all(isinstance(x, torch.Tensor) for x in value)
    ):
        kind = type(value).__name__
        return f"return two tensors, (out, lse): the next block needs both; this is a {kind}"
    for name, mine, true in (("out", value[0], case.out_a), ("lse", value[1], case.lse_a)):
        if mine.shape != true.shape:
            shapes = f"has shape {tuple(mine.shape)}, not {tuple(true.shape)}"
            return f"{name} {shapes}: lse has one number per query, and out needs it once for all of a query's numbers"
        if mine.dtype != true.dtype:
            return f"{name} is {mine.dtype}, and its blocks were {true.dtype}: a block more must not change the type"
    return None


def _usual(value: tuple[Tensor, Tensor], case: _Case, true: tuple[Tensor, Tensor]) -> str:
    """Which of the usual mistakes gives just these numbers, and why it is one; else which part is wrong."""
    for number, mistakes in enumerate((_wrong_outs(case, true[1]), _wrong_sums(case))):
        if _same(value[number], true[number]):
            continue
        for wrong, message in mistakes:
            if _same(value[number], wrong):
                return message
        name, rule = (
            ("out", "out = Σ exp(lse_i − lse) · out_i"),
            ("lse", "exp(lse) = Σ exp(lse_i)"),
        )[number]
        return f"{name} is not what one softmax over both blocks gives: {rule}"
    return "out and lse are nearly right, but not to the precision of their type"


def _same(mine: Tensor, other: Tensor) -> bool:
    most = 100 * _MOST[str(mine.dtype).removeprefix("torch.")]
    return mine.shape == other.shape and bool(
        mine.allclose(other, atol=most, rtol=most, equal_nan=False)
    )


def _wrong_outs(case: _Case, lse: Tensor) -> Iterator[tuple[Tensor, str]]:
    """Outputs as the usual mistakes give them."""
    a, sum_a, b, sum_b = case[2:]
    share_a, share_b = (sum_a - lse).exp(), (sum_b - lse).exp()
    yield (
        (a + b) / 2,
        "out is the mean of both: a block of large scores must weigh more, as in one softmax over both",
    )
    yield (
        a + b,
        "out is the plain sum: each block's weights add up to 1, so that together they would add up to 2",
    )
    by_lse = (sum_a[..., None] * a + sum_b[..., None] * b) / (sum_a + sum_b)[..., None]
    yield (
        by_lse,
        "out is weighted by lse itself: lse is a logarithm, and the weights are the sums, exp(lse)",
    )
    not_shared = sum_a.exp()[..., None] * a + sum_b.exp()[..., None] * b
    yield (
        not_shared,
        "out is weighted by exp(lse), but nothing divides by both sums: the weights have to add up to 1",
    )
    swapped = share_b[..., None] * a + share_a[..., None] * b
    yield (
        swapped,
        "each block has the weight of the other: did you swap them, or turn the sign of lse round?",
    )
    for along in (lambda w: w, lambda w: w[..., None, :]):
        if case.name == "two plain blocks":  # elsewhere the shapes do not even fit
            wrong_axis = along(share_a) * a + along(share_b) * b
            yield (
                wrong_axis,
                "the weights lie along the wrong axis: one weight per query, so lse needs [..., None]",
            )
    winner = a.where((sum_a > sum_b)[..., None], b)
    yield winner, "out is that of the block with the larger lse: the smaller one has a weight too"
    yield a, "out is the first block's: nothing of the second was merged"
    yield b, "out is the second block's: nothing of the first is left"


def _wrong_sums(case: _Case) -> Iterator[tuple[Tensor, str]]:
    """Logarithms of sums as the usual mistakes give them."""
    a, b = case.lse_a, case.lse_b
    forgot = "out is right, but lse is only one block's: merge it too, or the next block is weighted wrongly"
    yield from ((a, forgot), (b, forgot))
    yield (
        a + b,
        "lse is lse_a + lse_b: adding logarithms multiplies the sums; add the sums, then take the logarithm",
    )
    yield a.exp() + b.exp(), "lse is the sum itself: take its logarithm"
    yield a.maximum(b), "lse is the larger of the two: the smaller sum counts too"
    yield (a + b) / 2, "lse is the mean: the sum over both blocks is larger than that over each"
