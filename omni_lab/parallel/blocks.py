"""Blockwise attention and the online softmax that merges its blocks.

A block gives its output and, per query, the log-sum-exp of its scores (`lse`). With these, the
outputs for several blocks of keys are weighted into what one softmax over all of them would give
(Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022). Backward takes the output and `lse`
of the *whole* softmax: a block's weights are then the true ones, and its gradients need nothing
from the other blocks.

Where a query may attend to none of a block's keys, the sum is 0: its `lse` is −∞, its output 0,
and merging it changes nothing.

Glossary: B batch · H query heads · G key/value heads, each used by H / G query heads · Q queries
· J keys · K head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

# devices whose fused kernel takes any type and any bias, and returns `lse`; elsewhere the formulas
# below are used
FUSED = ("cpu",)

# queries whose scores exist at a time, so that memory does not grow with the block's square
ROWS = 1024


def accumulated(dtype: torch.dtype) -> torch.dtype:
    """Accumulation type of sums over blocks: float32, or float64 where the inputs are float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def attend(
    query: Float[Tensor, "B H Q K"],
    key: Float[Tensor, "B G J K"],
    value: Float[Tensor, "B G J K"],
    causal: bool,
    bias: Float[Tensor, "B 1 Q J"] | None,
    scale: float,
) -> tuple[Float[Tensor, "B H Q K"], Float[Tensor, "B H Q"]]:
    """Attention of one block of queries to one block of keys: output and log-sum-exp.

    Parameters
    ----------
    causal : query i attends to keys 0 to i; queries and keys are then the same tokens
    bias : added to the scores; −∞ masks a pair
    scale : multiplies the scores
    """
    bias = _full_bias(query, bias, causal)
    query, key, value = (_in_rows(x) for x in (query, key, value))
    if query.device.type not in FUSED:
        return _attend_written_out(query, key, value, causal, bias, scale)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, is_causal=causal and bias is None, attn_mask=bias, scale=scale
    )
    if bias is not None:
        # the kernel returns an lse of 0, a sum of 1, for a query without any key
        lse = lse.masked_fill((bias == -math.inf).all(-1), -math.inf)
    return out, lse


def attend_backward(
    grad: Float[Tensor, "B H Q K"],
    query: Float[Tensor, "B H Q K"],
    key: Float[Tensor, "B G J K"],
    value: Float[Tensor, "B G J K"],
    out: Float[Tensor, "B H Q K"],
    lse: Float[Tensor, "B H Q"],
    causal: bool,
    bias: Float[Tensor, "B 1 Q J"] | None,
    scale: float,
) -> tuple[Float[Tensor, "B H Q K"], Float[Tensor, "B G J K"], Float[Tensor, "B G J K"]]:
    """Gradients of one block's queries, keys, values; `out` and `lse` are those of all blocks."""
    bias = _full_bias(query, bias, causal)
    grad, query, key, value, out = (_in_rows(x) for x in (grad, query, key, value, out))
    if query.device.type not in FUSED:
        return _backward_written_out(grad, query, key, value, out, lse, causal, bias, scale)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad, query, key, value, out, lse, 0.0, causal and bias is None, attn_mask=bias, scale=scale
    )


def merge_(
    out: Float[Tensor, "B H Q K"],
    lse: Float[Tensor, "B H Q"],
    more: Float[Tensor, "B H Q K"],
    more_lse: Float[Tensor, "B H Q"],
) -> None:
    """Online-softmax merge of another block's output and log-sum-exp into `out`, `lse`, in place.

    >>> out, lse = torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1), -math.inf)
    >>> for value in (1.0, 3.0):
    ...     merge_(out, lse, torch.full_like(out, value), torch.zeros_like(lse))
    >>> out.tolist(), lse.exp().tolist()
    ([[[[2.0, 2.0]]]], [[[2.0]]])
    """
    total = torch.logaddexp(lse, more_lse)
    finite = total.masked_fill(total == -math.inf, 0.0)  # −∞ − −∞ is no number
    out.mul_((lse - finite).exp()[..., None]).add_(
        more.to(out.dtype) * (more_lse - finite).exp()[..., None]
    )
    lse.copy_(total)


def _in_rows(heads: Tensor) -> Tensor:
    """Contiguous head vectors: the kernel assumes stride 1 without checking it."""
    return heads if heads.stride(-1) == 1 else heads.contiguous()


def _full_bias(query: Tensor, bias: Tensor | None, causal: bool) -> Tensor | None:
    """Bias in the accumulation type, causality included: a kernel takes only one of the two."""
    if bias is None:
        return None
    bias = bias.to(accumulated(query.dtype))  # the kernel misreads any other type
    if not causal:
        return bias
    ahead = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device).triu(1)
    return bias.masked_fill(ahead, -math.inf)


def _by_group(groups: int, *tensors: Tensor) -> Iterator[Tensor]:
    """Heads grouped by key head, B H … → B G H/G …, in the accumulation type."""
    return (x.to(accumulated(x.dtype)).unflatten(1, (groups, -1)) for x in tensors)


def _scores(
    query: Tensor, key: Tensor, causal: bool, bias: Tensor | None, scale: float
) -> Iterator[tuple[slice, Tensor]]:
    """Scores B G H/G Q J, `ROWS` queries at a time, with the slice of queries."""
    for first in range(0, query.shape[3], ROWS):
        rows = slice(first, min(first + ROWS, query.shape[3]))
        scores = query[:, :, :, rows] @ key.mT * scale  # B G H/G Q J
        if bias is not None:
            scores = scores + bias[:, :, None, rows]
        elif causal:
            ahead = torch.ones_like(scores[0, 0, 0], dtype=torch.bool).triu(1 + first)
            scores = scores.masked_fill(ahead, -math.inf)
        yield rows, scores


def _attend_written_out(query, key, value, causal, bias, scale):
    """Softmax attention by its formula, for devices without the fused kernel."""
    dtype = query.dtype
    query, key, value = _by_group(key.shape[1], query, key, value)
    out, lse = torch.empty_like(query), query.new_empty(query.shape[:-1])
    for rows, scores in _scores(query, key, causal, bias, scale):
        total = scores.logsumexp(-1)
        weights = (scores - total.masked_fill(total == -math.inf, 0.0)[..., None]).exp()
        out[:, :, :, rows], lse[:, :, :, rows] = weights @ value, total
    return out.flatten(1, 2).to(dtype), lse.flatten(1, 2)


def _backward_written_out(grad, query, key, value, out, lse, causal, bias, scale):
    """Gradients by formula: dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O)) (FlashAttention, Dao et al. 2022)."""
    dtype = query.dtype
    grad, query, key, value, out, lse = _by_group(key.shape[1], grad, query, key, value, out, lse)
    delta = (grad * out).sum(-1, keepdim=True)
    by_query, by_key, by_value = (
        torch.empty_like(query),
        torch.zeros_like(key),
        torch.zeros_like(value),
    )

    for rows, scores in _scores(query, key, causal, bias, scale):
        grad_rows = grad[:, :, :, rows]
        weights = (scores - lse[:, :, :, rows, None]).exp()
        of_scores = weights * (grad_rows @ value.mT - delta[:, :, :, rows]) * scale
        by_query[:, :, :, rows] = of_scores @ key
        by_key += (of_scores.mT @ query[:, :, :, rows]).sum(2, keepdim=True)
        by_value += (weights.mT @ grad_rows).sum(2, keepdim=True)

    return tuple(x.flatten(1, 2).to(dtype) for x in (by_query, by_key, by_value))
