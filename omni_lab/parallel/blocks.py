"""Attention of one block of queries to one block of keys, and how blocks are merged: the online softmax.

A block gives its output and, per query, the logarithm of the sum of its exponentials (`lse`). With these, the outputs
for several blocks of keys are weighted into what one softmax over all of them would have given (Milakov & Gimelshein
2018; FlashAttention, Dao et al. 2022). Backward takes the output and `lse` of the *whole* softmax: so the weights of a
block are the true ones, and its gradients need nothing of the other blocks.

A query that may look at none of a block's keys has the sum 0 there: its `lse` is −∞ and its output 0, and merging it
changes nothing.

Glossary: B batch · H query heads · G key heads, each shared by H / G query heads · Q queries · J keys · K head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

FUSED = (
    "cpu",
)  # devices with a kernel for any type and any bias that gives `lse`; elsewhere it is written out below

ROWS = 1024  # queries whose scores are written out at once, so that memory does not grow with the block's square


def accumulated(dtype: torch.dtype) -> torch.dtype:
    """The type in which sums over blocks are kept."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def attend(
    query: Float[Tensor, "B H Q K"],
    key: Float[Tensor, "B G J K"],
    value: Float[Tensor, "B G J K"],
    causal: bool,
    bias: Float[Tensor, "B 1 Q J"] | None,
    scale: float,
) -> tuple[Float[Tensor, "B H Q K"], Float[Tensor, "B H Q"]]:
    """Output and `lse` of one block.

    Parameters
    ----------
    causal : query i looks at the keys up to i; both blocks are then the same tokens
    bias : is added to the scores; −∞ cuts a pair
    """
    bias = _told(query, bias, causal)
    query, key, value = (_in_rows(x) for x in (query, key, value))
    if query.device.type not in FUSED:
        return _attend_written_out(query, key, value, causal, bias, scale)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, is_causal=causal and bias is None, attn_mask=bias, scale=scale
    )
    if bias is not None:  # the kernel says of a sum over nothing that it is 1
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
    """Gradients of a block's queries, keys and values, where `out` and `lse` are those of all blocks together."""
    bias = _told(query, bias, causal)
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
    """Weight another block's output into `out` and its sum into `lse`, in place.

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
    """The same numbers, a head's vector in one piece of memory: the kernel reads so without asking."""
    return heads if heads.stride(-1) == 1 else heads.contiguous()


def _told(query: Tensor, bias: Tensor | None, causal: bool) -> Tensor | None:
    """A bias of the type that sums are kept in, with causality in it, since a kernel takes the one or the other."""
    if bias is None:
        return None
    bias = bias.to(accumulated(query.dtype))  # the kernel reads any other type wrongly
    if not causal:
        return bias
    ahead = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device).triu(1)
    return bias.masked_fill(ahead, -math.inf)


def _by_group(groups: int, *tensors: Tensor) -> Iterator[Tensor]:
    """Query heads by the key head that they share, or that key head itself, in the type that sums are kept in."""
    return (x.to(accumulated(x.dtype)).unflatten(1, (groups, -1)) for x in tensors)


def _scores(
    query: Tensor, key: Tensor, causal: bool, bias: Tensor | None, scale: float
) -> Iterator[tuple[slice, Tensor]]:
    """Scores of some queries at a time, by key head and the query heads that share it; and which queries they are."""
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
    dtype = query.dtype
    query, key, value = _by_group(key.shape[1], query, key, value)
    out, lse = torch.empty_like(query), query.new_empty(query.shape[:-1])
    for rows, scores in _scores(query, key, causal, bias, scale):
        total = scores.logsumexp(-1)
        weights = (scores - total.masked_fill(total == -math.inf, 0.0)[..., None]).exp()
        out[:, :, :, rows], lse[:, :, :, rows] = weights @ value, total
    return out.flatten(1, 2).to(dtype), lse.flatten(1, 2)


def _backward_written_out(grad, query, key, value, out, lse, causal, bias, scale):
    dtype = query.dtype
    grad, query, key, value, out, lse = _by_group(key.shape[1], grad, query, key, value, out, lse)
    own = (grad * out).sum(-1, keepdim=True)
    by_query, by_key, by_value = (
        torch.empty_like(query),
        torch.zeros_like(key),
        torch.zeros_like(value),
    )
    for rows, scores in _scores(query, key, causal, bias, scale):
        mine = grad[:, :, :, rows]
        weights = (scores - lse[:, :, :, rows, None]).exp()
        of_scores = weights * (mine @ value.mT - own[:, :, :, rows]) * scale
        by_query[:, :, :, rows] = of_scores @ key
        by_key += (of_scores.mT @ query[:, :, :, rows]).sum(2, keepdim=True)
        by_value += (weights.mT @ mine).sum(2, keepdim=True)
    return tuple(x.flatten(1, 2).to(dtype) for x in (by_query, by_key, by_value))
