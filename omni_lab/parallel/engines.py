"""Which way attention over a shared row is computed: four engines that give the same numbers, and one that chooses.

============  ==========================================================================  ======================
engine        what travels                                                                what it cannot express
============  ==========================================================================  ======================
`reference`   keys and values, round the ring (`ring.py`)                                 nothing
`ulysses`     everything once: tokens of all ranks for a share of the heads, and back     heads that do not divide
              (Jacobs et al. 2023)
`allgather`   keys and values, all to all ranks at once (Llama 3, section 3.3.2)          nothing; K/V in full
`torch`       keys and values, by torch's own ring with CUDA's fused kernels              documents, modalities,
              (`context.py`)                                                              padding, float32, CPU
============  ==========================================================================  ======================

An engine that cannot express what is asked says so: no mask is ever dropped.

Glossary: W ranks · L tokens per rank · B batch · H query heads · G key heads · K head width.
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

SHORT = 512  # tokens per rank up to which one message costs more than what it carries
UNEVEN = 1.2  # the dearest rank's work against the mean, from which the ring wastes too much
_log = logging.getLogger(__name__)


def context_parallel_attention(
    query: Float[Tensor, "B H L K"],
    key: Float[Tensor, "B G L K"],
    value: Float[Tensor, "B G L K"],
    row: ShardedRow,
    scale: float | None = None,
    engine: str = "auto",
) -> Float[Tensor, "B H L K"]:
    """Attention of this rank's queries to the whole row by an engine; all ranks call it together.

    Raises
    ------
    UsageError
        there is no such engine, it cannot express what is asked, or the ranks do not agree
    RankLostError
        a rank has died or stands still
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    query, key, value = as_autocast_would(query, key, value)
    row.agree(query, key, value, scale, engine)
    if engine == "auto":
        engine, why = choose(query, key, row)
        _say_once(row.layout.tokens, row.layout.ranks, engine, why)
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r}: there are auto, {', '.join(ENGINES)}")
    if cannot := refuses(engine, query, key, row):
        raise UsageError(f"engine {engine!r} cannot express {cannot}; use reference")
    with torch.autocast(query.device.type, enabled=False):
        return ENGINES[engine](query, key, value, row, scale)


@functools.cache
def _say_once(tokens: int, ranks: int, engine: str, why: str) -> None:
    _log.info("attention over %d tokens on %d ranks: %s (%s)", tokens, ranks, engine, why)


def refuses(engine: str, query: Tensor, key: Tensor, row: ShardedRow) -> str:
    """What an engine cannot express of what is asked; empty where it can."""
    ranks, heads, key_heads = row.collectives.ranks, query.shape[1], key.shape[1]
    if engine == "ulysses" and not ulysses_can(ranks, heads, key_heads):
        return f"{heads} query and {key_heads} key heads shared out over {ranks} ranks"
    if engine == "torch":
        return torch_cannot(query, row)
    return ""


def choose(query: Tensor, key: Tensor, row: ShardedRow) -> tuple[str, str]:
    """The engine for a device, heads, mask and length, and why; the same on every rank."""
    ranks, held = row.collectives.ranks, row.layout.per_rank
    heads, key_heads = query.shape[1], key.shape[1]
    if ranks == 1:
        return "reference", "one rank"
    if not refuses("torch", query, key, row):
        return "torch", "fused kernels for plain causal attention on CUDA"
    if held <= SHORT:
        return "allgather", f"{held} tokens per rank: one message costs more than what it carries"
    if not refuses("ulysses", query, key, row):
        if (uneven := row.balance) > UNEVEN:
            return (
                "ulysses",
                f"documents give the dearest rank {uneven:.2f} of the mean work, heads divide evenly",
            )
        ring_sends = ring_traffic(held, ranks, key_heads, query.shape[-1])
        if (
            ulysses_traffic(held, ranks, heads, key_heads, query.shape[-1]).forward
            < ring_sends.forward
        ):
            return (
                "ulysses",
                f"all {heads} heads once are less than {key_heads} key heads round {ranks} ranks",
            )
    return (
        "reference",
        f"{key_heads} key heads round {ranks} ranks, hidden behind {held} tokens of work each",
    )


def ulysses_attention(
    query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
) -> Tensor:
    """All tokens for a share of the heads, ordinary attention there, and back to all heads for a share of the tokens.

    Fewer key heads than ranks are repeated, so that each rank has the one its queries share.
    """
    ranks, layout = row.collectives.ranks, row.layout
    repeats = max(1, ranks // key.shape[1])

    def whole_row(heads: Tensor) -> Tensor:
        """A share of the heads, B H/W T K, for all heads of a share of the tokens, B H L K."""
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
    """Attention over a whole row in this process: the model's own where nothing but causality is asked."""
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
    """Keys and values of all ranks at once; they are gathered once more in backward rather than kept."""
    return _Gathered.apply(query, key, value, row, scale)


ENGINES: dict[str, Callable[..., Tensor]] = {
    "reference": ring,
    "ulysses": ulysses_attention,
    "allgather": allgather_attention,
    "torch": torch_attention,
}


class _AllToAll(torch.autograd.Function):
    """An exchange of parts whose gradients go back the way they came."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, collectives: Any) -> Tensor:
        ctx.collectives = collectives
        return collectives.all_to_all(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.collectives.all_to_all(grad), None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
    ) -> Tensor:
        out, lse = attend_blocks(query, _round(row, torch.stack((key, value))), row, scale)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.row, ctx.scale = row, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        collectives = ctx.row.collectives
        grad_query = torch.zeros_like(query, dtype=lse.dtype)
        of_all = [
            block_backward(grad_query, grad, query, out, lse, held, step, ctx.row, ctx.scale)
            for step, held in enumerate(_round(ctx.row, torch.stack((key, value))))
        ]
        in_order = [
            of_all[(collectives.rank - rank) % collectives.ranks]
            for rank in range(collectives.ranks)
        ]
        grad_key, grad_value = collectives.all_to_all(torch.stack(in_order)).sum(0).to(key.dtype)
        return grad_query.to(query.dtype), grad_key, grad_value, None, None


def _round(row: ShardedRow, held: Tensor) -> list[Tensor]:
    """Keys and values of all ranks, this rank's first, as the ring would bring them."""
    everyone = row.collectives.all_gather(held)
    return [
        everyone[(row.collectives.rank - step) % row.collectives.ranks]
        for step in range(row.collectives.ranks)
    ]
