"""Ring attention: exact attention over a row that no single rank could hold (Liu, Zaharia & Abbeel 2023).

Every rank keeps its queries. Keys and values go round the ring, and each rank merges what it sees of every block that
passes into its output, while the next block is already on its way. Backward sends keys and values round once more, with
the gradients of each block travelling behind it: every rank adds its part, and after W steps they are home.

What is easily wrong, and silently so, has a test that fails on it: backward with a rank's own keys and values instead
of those that pass; the weight of a block in which a query sees nothing; means over the tokens of one rank only.

Glossary: W ranks · L tokens per rank · B batch · H query heads · G key heads · K head width.
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
    query: Float[Tensor, "B H L K"],
    key: Float[Tensor, "B G L K"],
    value: Float[Tensor, "B G L K"],
    row: ShardedRow,
    scale: float | None = None,
) -> Float[Tensor, "B H L K"]:
    """Attention of this rank's queries to the whole row; all ranks call it together.

    Parameters
    ----------
    row : how the row is shared out, its documents, and how strongly modalities interact
    scale : of the scores; 1 / √K where it is None

    Raises
    ------
    UsageError
        the ranks do not agree on shapes, types or what they share
    RankLostError
        a rank has died or stands still
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    query, key, value = as_autocast_would(query, key, value)
    row.agree(query, key, value, scale, "reference")
    with torch.autocast(query.device.type, enabled=False):
        return ring(query, key, value, row, scale)


def as_autocast_would(*parts: Tensor) -> Iterator[Tensor]:
    """Queries, keys and values in the one type in which torch's own attention takes them under autocast.

    Rotated queries and keys may come in float32 beside values in bfloat16. What follows then runs without autocast,
    which would round sums that are kept in float32 on purpose.
    """
    kind = parts[0].device.type
    for part in parts:
        lower = torch.is_autocast_enabled(kind) and part.dtype != torch.float64
        yield part.to(torch.get_autocast_dtype(kind)) if lower else part


def ring(query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float) -> Tensor:
    """The same, where the ranks are known to agree."""
    return _Ring.apply(query, key, value, row, scale)


class _Ring(torch.autograd.Function):
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
    @once_differentiable  # what it sends has no gradient
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        collectives, home = ctx.row.collectives, None
        grad_query = torch.zeros_like(query, dtype=lse.dtype)
        for step, held in enumerate(collectives.round(torch.stack((key, value)))):
            grad_held = block_backward(
                grad_query, grad, query, out, lse, held, step, ctx.row, ctx.scale
            )
            if home is not None:
                grad_held += (
                    home.wait()
                )  # what the ranks before have added for the block that is held now
            home = collectives.send_next(grad_held)
        grad_key, grad_value = home.wait().to(key.dtype)
        return grad_query.to(query.dtype), grad_key, grad_value, None, None


def attend_blocks(
    query: Float[Tensor, "B H L K"],
    blocks: Iterable[Float[Tensor, "2 B G L K"]],
    row: ShardedRow,
    scale: float,
) -> tuple[Float[Tensor, "B H L K"], Float[Tensor, "B H L"]]:
    """Output and `lse` of this rank's queries over keys and values of all ranks, one after the other.

    `blocks` begin with this rank's own, then come those of the rank before it, and so on round the ring.
    """
    out = torch.zeros_like(query, dtype=accumulated(query.dtype))
    lse = torch.full(query.shape[:-1], -math.inf, dtype=out.dtype, device=out.device)
    for step, (key, value) in enumerate(blocks):
        for (mine, theirs, causal), bias in row.pieces(step):
            block = attend(
                query[:, :, mine], key[:, :, theirs], value[:, :, theirs], causal, bias, scale
            )
            merge_(out[:, :, mine], lse[:, :, mine], *block)
    return out.to(query.dtype), lse


def block_backward(
    grad_query: Float[Tensor, "B H L K"],
    grad: Float[Tensor, "B H L K"],
    query: Float[Tensor, "B H L K"],
    out: Float[Tensor, "B H L K"],
    lse: Float[Tensor, "B H L"],
    held: Float[Tensor, "2 B G L K"],
    step: int,
    row: ShardedRow,
    scale: float,
) -> Float[Tensor, "2 B G L K"]:
    """What this rank's queries add to the gradients of the block held in a step; their own is added to `grad_query`."""
    grad_held = torch.zeros_like(held, dtype=lse.dtype)
    for (mine, theirs, causal), bias in row.pieces(step):
        of_queries = (x[:, :, mine] for x in (grad, query))
        of_keys = (x[:, :, theirs] for x in held)
        of_all = (x[:, :, mine] for x in (out, lse))
        parts = attend_backward(*of_queries, *of_keys, *of_all, causal, bias, scale)
        grad_query[:, :, mine] += parts[0]
        grad_held[0][:, :, theirs] += parts[1]
        grad_held[1][:, :, theirs] += parts[2]
    return grad_held
