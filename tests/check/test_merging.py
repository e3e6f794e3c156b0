"""Checker of the online-softmax merge: the right one passes, every usual mistake is explained."""

import math

import numpy as np
import pytest
import torch
from attempts import unfilled

from omni_lab import check
from omni_lab.check import NOT_YET


def merge(out_a, lse_a, out_b, lse_b):
    """Right answer, written as a learner might write it."""
    lse = torch.logaddexp(lse_a, lse_b)
    top = lse.masked_fill(lse == -math.inf, 0.0)
    return out_a * (lse_a - top).exp()[..., None] + out_b * (lse_b - top).exp()[..., None], lse


def by_hand(out_a, lse_a, out_b, lse_b):
    """Another right answer: the larger lse is taken off before exp."""
    top = torch.maximum(lse_a, lse_b)
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    a, b = (lse_a - top).exp(), (lse_b - top).exp()
    total = (a + b).clamp(min=torch.finfo(a.dtype).tiny)
    out = (a[..., None] * out_a + b[..., None] * out_b) / total[..., None]
    return out, torch.where(a + b > 0, top + total.log(), -math.inf)


def in_place(out_a, lse_a, out_b, lse_b):
    from omni_lab.parallel.blocks import merge_

    merge_(out_a, lse_a, out_b, lse_b)
    return [out_a, lse_a]


def with_out(out_of):
    """The right lse, with another output: `out_of(a, lse_a, b, lse_b)`."""
    return lambda *blocks: (out_of(*blocks), merge(*blocks)[1])


def with_lse(lse_of):
    """The right output, with another lse: `lse_of(lse_a, lse_b)`."""
    return lambda a, lse_a, b, lse_b: (merge(a, lse_a, b, lse_b)[0], lse_of(lse_a, lse_b))


def naive(a, lse_a, b, lse_b):
    """Right on paper: exp first, then everything else."""
    sums = lse_a.exp() + lse_b.exp()
    out = (lse_a.exp()[..., None] * a + lse_b.exp()[..., None] * b) / sums[..., None]
    return out, sums.log()


def sigmoid(a, lse_a, b, lse_b):
    """Popular formula, whose lse is no number where nothing of the first block is seen."""
    out = a - torch.sigmoid(lse_b - lse_a)[..., None] * (a - b)
    return out, lse_a - torch.nn.functional.logsigmoid(lse_a - lse_b)


def from_the_first(a, lse_a, b, lse_b):
    """Everything relative to the first block, also where nothing of it is seen."""
    ratio = (lse_b - lse_a).exp()
    return (a + ratio[..., None] * b) / (1 + ratio[..., None]), lse_a + ratio.log1p()


def from_the_larger(a, lse_a, b, lse_b):
    """Safe wherever anything is seen: −∞ − −∞ comes up only where nothing is."""
    top = torch.maximum(lse_a, lse_b)
    out, lse = naive(a, lse_a - top, b, lse_b - top)
    return out, top + lse


def one_maximum(a, lse_a, b, lse_b):
    """Safe against overflow, but with one maximum for the whole tensor."""
    if not bool(lse_a.isfinite().all() and lse_b.isfinite().all()):
        return merge(a, lse_a, b, lse_b)
    top = max(lse_a.max(), lse_b.max())
    out, lse = naive(a, lse_a - top, b, lse_b - top)
    return out, lse + top


def small_enough(a, lse_a, b, lse_b):
    """Safe against overflow, but not against underflow."""
    return (naive if lse_a.max() < 500 else merge)(a, lse_a, b, lse_b)


def by_lse(a, lse_a, b, lse_b):
    return (lse_a[..., None] * a + lse_b[..., None] * b) / (lse_a + lse_b)[..., None]


def shifted(a, lse_a, b, lse_b):
    """Right wherever something is seen of both blocks or of either, but 1 for an empty sum."""
    out, lse = merge(a, lse_a, b, lse_b)
    return out, lse.masked_fill(lse == -math.inf, 0.0)


def along(*where):
    """Weights that are laid along another axis than that of the queries."""

    def out_of(a, lse_a, b, lse_b):
        lse = torch.logaddexp(lse_a, lse_b)
        weight_a, weight_b = (
            (part - lse).exp()[where] if where else (part - lse).exp() for part in (lse_a, lse_b)
        )
        return weight_a * a + weight_b * b

    return with_out(out_of)


def in_numpy(*blocks):
    """Right answer in numpy."""
    a, lse_a, b, lse_b = (block.numpy() for block in blocks)
    with np.errstate(invalid="ignore"):
        lse = np.logaddexp(lse_a, lse_b)
        top = np.where(np.isfinite(lse), lse, 0)
        out = np.exp(lse_a - top)[..., None] * a + np.exp(lse_b - top)[..., None] * b
    return out.astype(a.dtype), lse


@pytest.mark.parametrize("attempt", [merge, by_hand, in_place, in_numpy])
def test_the_right_merge_passes_however_it_is_written(attempt):
    verdict = check.merged(attempt)
    assert verdict.right is True, verdict.message
    assert repr(verdict).startswith("✓ right: 14 pairs of blocks")


@pytest.mark.parametrize("attempt", [unfilled, lambda *given: ...])
def test_an_empty_merge_is_not_attempted(attempt):
    assert check.merged(attempt) == NOT_YET


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (with_out(lambda a, la, b, lb: (a + b) / 2), "two plain blocks: out is the mean of both"),
        (with_out(lambda a, la, b, lb: a + b), "out is the plain sum"),
        (with_out(by_lse), "by lse itself"),
        (with_out(lambda a, la, b, lb: la.exp()[..., None] * a + lb.exp()[..., None] * b),
         "nothing divides by both"),
        (lambda a, la, b, lb: (merge(a, lb, b, la)[0], merge(a, la, b, lb)[1]),
         "has the weight of the other"),
        (lambda a, la, b, lb: (merge(a, -la, b, -lb)[0], merge(a, la, b, lb)[1]),
         "flip the sign of lse"),
        (along(), "the weights lie along the wrong axis"),
        (along(..., None, slice(None)), "the weights lie along the wrong axis"),
        (with_out(lambda a, la, b, lb: torch.where((la > lb)[..., None], a, b)),
         "the smaller one has a weight too"),
        (with_out(lambda a, la, b, lb: a), "nothing of the second was merged"),
        (with_out(lambda a, la, b, lb: b), "nothing of the first is left"),
        (with_out(lambda a, la, b, lb: a - b), "out is not what one softmax"),
        (with_lse(lambda a, b: a), "out is right, but lse is only one block's"),
        (with_lse(lambda a, b: b), "out is right, but lse is only one block's"),
        (with_lse(lambda a, b: a + b), "adding logarithms multiplies the sums"),
        (with_lse(lambda a, b: a.exp() + b.exp()), "lse is the sum itself"),
        (with_lse(torch.maximum), "lse is the larger of the two"),
        (with_lse(lambda a, b: (a + b) / 2), "lse is the mean"),
        (with_lse(lambda a, b: a - b), "lse is not what one softmax"),
        (naive, "lse near 1000 in float32: exp(1000) is infinite"),
        (small_enough, "lse near -1000 in float32: exp(-1000)"),
        (from_the_first, "exp(2000) is infinite; subtract the larger lse of the two"),
        (sigmoid, "sees nothing of the first block"),
        (from_the_larger, "sees nothing of either block: −∞ − −∞ is no number"),
        (shifted, "sees nothing of either block"),
        (one_maximum, "one query's lse near 1000, another's near -1000: each query has"),
        (lambda *blocks: merge(*blocks)[0], "return two tensors, (out, lse), as the next block"),
        (lambda *blocks: (*merge(*blocks), 0), "yours: Tensor, Tensor, int"),
        (lambda *blocks: print(end=""), "your function returns None"),
        (with_lse(lambda a, b: torch.logaddexp(a, b)[..., None]),
         "lse has shape (3, 3, 3, 1), not (3, 3, 3)"),
        (lambda *blocks: [part.half() for part in merge(*blocks)],
         "out is torch.float16, and its blocks"),
        (lambda *blocks: 1 // 0, "stopped with ZeroDivisionError"),
    ],
)  # fmt: skip
def test_a_usual_mistake_in_merging_is_named_with_its_reason(attempt, message):
    verdict = check.merged(attempt)
    assert verdict.right is False
    assert message in verdict.message, verdict.message


def test_a_merge_that_is_nearly_right_is_not_right():
    verdict = check.merged(with_out(lambda *blocks: merge(*blocks)[0] * (1 + 1e-9)))
    assert verdict.right is False
    assert "not to the precision" in verdict.message
