"""Ring attention: exact attention over a row sharded over ranks (Liu, Zaharia & Abbeel 2023).

Every rank keeps its queries. Keys and values go round the ring: each rank merges every block that
passes into its output, while the next block is already being received. Backward sends keys and
values round once more, with each block's gradients one step behind it: every rank adds its
contribution, and after W steps the gradients are back at the rank that owns the block.

Three errors that would be silent have a test that fails on them: backward with a rank's own keys
and values instead of those that pass; the weight of a block in which a query sees nothing; a mean
over the tokens of one rank only.

Glossary: W ranks · T tokens · t tokens per rank · B batch · H query heads · G key/value heads
· K head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from omni_lab.parallel.blocks import accumulated, attend, attend_backward, merge_
from omni_lab.parallel.sharded_row import ShardedRow


def ring_attention(
    query: Float[Tensor, "B H t K"],
    key: Float[Tensor, "B G t K"],
    value: Float[Tensor, "B G t K"],
    row: ShardedRow,
    scale: float | None = None,
) -> Float[Tensor, "B H t K"]:
    """Ring attention of this rank's queries to the whole row; all ranks call it together.

    Parameters
    ----------
    row : the row's layout over the ranks, its documents, and the strengths between modalities
    scale : of the scores; 1 / √K where it is None

    Raises
    ------
    UsageError
        the ranks disagree on shapes, types or the row
    RankLostError
        a rank has died or hangs
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    query, key, value = as_autocast_would(query, key, value)
    row.agree(query, key, value, scale, "ring")
    with torch.autocast(query.device.type, enabled=False):
        return ring(query, key, value, row, scale)


def as_autocast_would(*parts: Tensor) -> Iterator[Tensor]:
    """Autocast of queries, keys and values to the one type that torch's own attention would use.

    Rotated queries and keys may be float32 beside values in bfloat16. The attention after this
    runs without autocast, which would round the sums that are kept in float32 on purpose.
    """
    device = parts[0].device.type
    for part in parts:
        lower = torch.is_autocast_enabled(device) and part.dtype != torch.float64
        yield part.to(torch.get_autocast_dtype(device)) if lower else part


def ring(query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float) -> Tensor:
    """Ring attention without the check that the ranks agree: `row.agree` has run before."""
    return _Ring.apply(query, key, value, row, scale)


class _Ring(torch.autograd.Function):
    """Ring attention, forward and backward: the two loops over the blocks that pass."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
    ) -> Tensor:
        passing = row.collectives.round(torch.stack((key, value)))
        out, lse = attend_blocks(query, passing, row, scale)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.row, ctx.scale = row, scale
        return out

    @staticmethod
    @once_differentiable  # what is sent has no gradient
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        collectives, home = ctx.row.collectives, None
        grad_query = torch.zeros_like(query, dtype=lse.dtype)
        for step, held in enumerate(collectives.round(torch.stack((key, value)))):
            grad_held = block_backward(
                grad_query, grad, query, out, lse, held, step, ctx.row, ctx.scale
            )
            # add what the ranks before this one found for the same block
            if home is not None:
                grad_held += home.wait()
            home = collectives.send_next(grad_held)
        grad_key, grad_value = home.wait().to(key.dtype)
        return grad_query.to(query.dtype), grad_key, grad_value, None, None


def attend_blocks(
    query: Float[Tensor, "B H t K"],
    blocks: Iterable[Float[Tensor, "2 B G t K"]],
    row: ShardedRow,
    scale: float,
) -> tuple[Float[Tensor, "B H t K"], Float[Tensor, "B H t"]]:
    """Output and log-sum-exp of this rank's queries over the keys and values of all ranks.

    `blocks` come in the ring's order: this rank's own first, then those of the rank before it,
    and so on.
    """
    out = torch.zeros_like(query, dtype=accumulated(query.dtype))
    lse = torch.full(query.shape[:-1], -math.inf, dtype=out.dtype, device=out.device)
    for step, (key, value) in enumerate(blocks):
        for (queries, keys, causal), bias in row.pieces(step):
            block = attend(
                query[:, :, queries], key[:, :, keys], value[:, :, keys], causal, bias, scale
            )
            merge_(out[:, :, queries], lse[:, :, queries], *block)
    return out.to(query.dtype), lse


def block_backward(
    grad_query: Float[Tensor, "B H t K"],
    grad: Float[Tensor, "B H t K"],
    query: Float[Tensor, "B H t K"],
    out: Float[Tensor, "B H t K"],
    lse: Float[Tensor, "B H t"],
    held: Float[Tensor, "2 B G t K"],
    step: int,
    row: ShardedRow,
    scale: float,
) -> Float[Tensor, "2 B G t K"]:
    """Gradient of the block held in a step, dK and dV; dQ is added into `grad_query` in place."""
    grad_held = torch.zeros_like(held, dtype=lse.dtype)
    for (queries, keys, causal), bias in row.pieces(step):
        of_queries = (x[:, :, queries] for x in (grad, query))
        of_keys = (x[:, :, keys] for x in held)
        of_all = (x[:, :, queries] for x in (out, lse))
        parts = attend_backward(*of_queries, *of_keys, *of_all, causal, bias, scale)
        grad_query[:, :, queries] += parts[0]
        grad_held[0][:, :, keys] += parts[1]
        grad_held[1][:, :, keys] += parts[2]
    return grad_held
