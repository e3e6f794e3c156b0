"""Context-parallel attention engines: ring, Ulysses, all-gather, torch's ring, and auto's choice.

All compute exact attention over a sharded row and give the same numbers; they differ in what
they send.

===========  ==========================================  ==========================
engine       collectives                                 what it cannot express
===========  ==========================================  ==========================
`ring`       point to point: keys and values go round    nothing
             the ring (`ring.py`)
`ulysses`    all-to-all: all tokens for some of the      heads that do not divide
             heads, and back (Jacobs et al. 2023)        over the ranks
`allgather`  all-gather: keys and values of all ranks    nothing; holds K and V of
             at once (Llama 3, section 3.3.2)            the whole row
`torch`      torch's own ring with CUDA's fused          documents, modalities,
             kernels (`torch_ring.py`)                   padding, float32, CPU
===========  ==========================================  ==========================

An engine that cannot express a mask raises an error: no mask is ever dropped.

Glossary: W ranks · T tokens · t tokens per rank · B batch · H query heads · G key/value heads
· K head width.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from omni_lab.errors import UsageError
from omni_lab.parallel.cost import ring_traffic, ulysses_can, ulysses_traffic
from omni_lab.parallel.ring import as_autocast_would, attend_blocks, block_backward, ring
from omni_lab.parallel.sharded_row import ShardedRow
from omni_lab.parallel.torch_ring import torch_attention, torch_cannot

SHORT = 512  # tokens per rank up to which a message's latency exceeds its transfer
UNEVEN = 1.2  # busiest rank's work over the mean, above which the ring waits too long
_log = logging.getLogger(__name__)


def context_parallel_attention(
    query: Float[Tensor, "B H t K"],
    key: Float[Tensor, "B G t K"],
    value: Float[Tensor, "B G t K"],
    row: ShardedRow,
    scale: float | None = None,
    engine: str = "auto",
) -> Float[Tensor, "B H t K"]:
    """Context-parallel attention of this rank's queries to the whole row.

    All ranks call it together.

    Parameters
    ----------
    row : the row's layout over the ranks, its documents, and the strengths between modalities
    scale : of the scores; 1 / √K where it is None
    engine : `auto`, `ring`, `ulysses`, `allgather` or `torch`

    Raises
    ------
    UsageError
        there is no such engine, it cannot express the mask or the heads, or the ranks disagree
    RankLostError
        a rank has died or hangs
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    query, key, value = as_autocast_would(query, key, value)
    row.agree(query, key, value, scale, engine)

    if engine == "auto":
        engine, reason = choose(query, key, row)
        _log_once(row.layout.tokens, row.layout.ranks, engine, reason)
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r}: there are auto, {', '.join(ENGINES)}")
    if cannot := refuses(engine, query, key, row):
        raise UsageError(f"engine {engine!r} cannot express {cannot}; use ring")

    with torch.autocast(query.device.type, enabled=False):
        return ENGINES[engine](query, key, value, row, scale)


@functools.cache
def _log_once(tokens: int, ranks: int, engine: str, reason: str) -> None:
    _log.info("attention over %d tokens on %d ranks: %s (%s)", tokens, ranks, engine, reason)


def refuses(engine: str, query: Tensor, key: Tensor, row: ShardedRow) -> str:
    """Mask or heads that an engine cannot express, in words; empty where it can compute them."""
    ranks, heads, key_heads = row.collectives.ranks, query.shape[1], key.shape[1]
    if engine == "ulysses" and not ulysses_can(ranks, heads, key_heads):
        return f"{heads} query and {key_heads} key heads split over {ranks} ranks"
    if engine == "torch":
        return torch_cannot(query, row)
    return ""


def choose(query: Tensor, key: Tensor, row: ShardedRow) -> tuple[str, str]:
    """Engine choice by device, heads, mask and length, with its reason; equal on all ranks."""
    ranks, held = row.collectives.ranks, row.layout.per_rank
    heads, key_heads, width = query.shape[1], key.shape[1], query.shape[-1]
    if ranks == 1:
        return "ring", "one rank"
    if not refuses("torch", query, key, row):
        return "torch", "fused kernels for plain causal attention on CUDA"
    if held <= SHORT:
        return "allgather", f"{held} tokens per rank: a message's latency exceeds its transfer"

    # Ulysses splits heads, not tokens: uneven documents do not make its ranks wait
    if not refuses("ulysses", query, key, row):
        if (uneven := row.balance) > UNEVEN:
            reason = f"documents give the busiest rank {uneven:.2f} of the mean work"
            return "ulysses", f"{reason}, heads divide evenly"
        by_ring = ring_traffic(held, ranks, key_heads, width).forward
        if ulysses_traffic(held, ranks, heads, key_heads, width).forward < by_ring:
            reason = f"exchanging all {heads} heads once sends less"
            return "ulysses", f"{reason} than {key_heads} key heads round {ranks} ranks"

    sends = f"{key_heads} key heads round {ranks} ranks"
    return "ring", f"{sends}, hidden behind the work of {held} tokens each"


def ulysses_attention(
    query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
) -> Tensor:
    """DeepSpeed-Ulysses: all-to-all to all tokens of H / W heads, attention there, and back.

    Where there are fewer key heads than ranks, they are repeated: each rank then has the key head
    of its queries (Jacobs et al. 2023).
    """
    ranks, layout = row.collectives.ranks, row.layout
    repeats = max(1, ranks // key.shape[1])

    def whole_row(heads: Tensor) -> Tensor:
        """All heads of this rank's tokens, B H t K → some heads of all tokens, B H/W T K."""
        by_rank = heads.unflatten(1, (ranks, -1)).movedim(1, 0)
        return layout.join(list(_AllToAll.apply(by_rank, row.collectives)), dim=2)

    rows = (whole_row(x) for x in (query, *(x.repeat_interleave(repeats, 1) for x in (key, value))))
    out = row_attention(*rows, row, scale)
    by_rank = torch.stack([layout.shard(out, rank, dim=2) for rank in range(ranks)])
    return _AllToAll.apply(by_rank, row.collectives).movedim(0, 1).flatten(1, 2)


def row_attention(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G T K"],
    value: Float[Tensor, "B G T K"],
    row: ShardedRow,
    scale: float,
) -> Float[Tensor, "B H T K"]:
    """Attention over a whole row in this process; torch's kernel if causality is the only mask."""
    if row.strength is None and row.documents == (0, row.layout.tokens):
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            is_causal=row.causal,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return ring(query, key, value, row.alone, scale)


def allgather_attention(
    query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
) -> Tensor:
    """All-gather attention: keys and values of all ranks at once, gathered again in backward.

    Gathering again instead of keeping them saves memory, as Llama 3 does (section 3.3.2).
    """
    return _Gathered.apply(query, key, value, row, scale)


ENGINES: dict[str, Callable[..., Tensor]] = {
    "ring": ring,
    "ulysses": ulysses_attention,
    "allgather": allgather_attention,
    "torch": torch_attention,
}


class _AllToAll(torch.autograd.Function):
    """All-to-all with gradients: its backward is the same exchange the other way."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, collectives: Any) -> Tensor:
        ctx.collectives = collectives
        return collectives.all_to_all(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.collectives.all_to_all(grad), None


class _Gathered(torch.autograd.Function):
    """All-gather forward; in backward all-gather again, then reduce-scatter of dK and dV."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
    ) -> Tensor:
        out, lse = attend_blocks(query, _ring_order(row, torch.stack((key, value))), row, scale)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.row, ctx.scale = row, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        collectives = ctx.row.collectives
        grad_query = torch.zeros_like(query, dtype=lse.dtype)
        by_step = [
            block_backward(grad_query, grad, query, out, lse, held, step, ctx.row, ctx.scale)
            for step, held in enumerate(_ring_order(ctx.row, torch.stack((key, value))))
        ]
        by_rank = [
            by_step[(collectives.rank - rank) % collectives.ranks]
            for rank in range(collectives.ranks)
        ]
        grad_key, grad_value = collectives.all_to_all(torch.stack(by_rank)).sum(0).to(key.dtype)
        return grad_query.to(query.dtype), grad_key, grad_value, None, None


def _ring_order(row: ShardedRow, held: Tensor) -> list[Tensor]:
    """Keys and values of all ranks in the ring's order: own first, then from the ranks before."""
    gathered = row.collectives.all_gather(held)
    return [
        gathered[(row.collectives.rank - step) % row.collectives.ranks]
        for step in range(row.collectives.ranks)
    ]
