"""Cost of context-parallel attention: exact counts of pairs, operations and bytes sent.

For one layer, one sequence, one rank. Nothing here runs attention; in `planner`, `simulate` turns
the counts into seconds, `memory` into bytes held, `plan` into a training step.

Glossary: T tokens · W ranks · t tokens per rank · H query heads · G key/value heads · K head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from omni_lab.config.types import CHUNKS
from omni_lab.errors import UsageError

BF16, FLOAT32 = 2, 4
PIECE = (
    2**22
)  # logits that the loss makes at a time, 16 MiB in float32  # bytes of an element: to compute with, to accumulate in
# flash attention's backward in forwards: five matrix products, one of them QKᵀ again, against two
BACKWARD_FLOPS = 2.5
MOST_TOKENS = 1 << 31  # up to which T² / 2 pairs fit into 64 bits


class Traffic(NamedTuple):
    """Communication volume: bytes that one rank sends in one layer."""

    forward: int
    backward: int


def shard(tokens: int, ranks: int, layout: str) -> int:
    """Shard length t: tokens of every rank, padding at the sequence's end included.

    >>> shard(10, 4, "contiguous"), shard(10, 4, "zigzag")
    (3, 4)

    Raises
    ------
    UsageError
        there is no such layout, no token, no rank, or there are more than 2³¹ tokens
    """
    if layout not in CHUNKS:
        raise UsageError(f"layout {layout!r}: there are {', '.join(CHUNKS)}")
    if tokens > MOST_TOKENS:
        raise UsageError(
            f"{tokens} tokens: pairs are counted in 64 bits, so at most {MOST_TOKENS} tokens"
        )
    if ranks < 1 or tokens < 1:
        raise UsageError(f"a row of {tokens} tokens over {ranks} ranks: both must be 1 or more")
    return CHUNKS[layout] * -(-tokens // (CHUNKS[layout] * ranks))


def block_pairs(
    tokens: int, ranks: int, layout: str = "zigzag", cu_seqlens: Sequence[int] | None = None
) -> Int64[np.ndarray, "W W"]:
    """Pairs of causal attention, by the rank of the query (rows) and of the key (columns).

    `contiguous` gives rank r the r-th of W chunks, as in Ring Attention (Liu et al. 2023).
    `zigzag` cuts 2W chunks and gives rank r the r-th from the front and the r-th from the back, as
    Llama 3 does (Grattafiori et al. 2024): early queries, which attend to little, are held beside
    late ones. The idea of balancing is Striped Attention's (Brandon et al. 2023). Padding takes
    part in no pair.

    Parameters
    ----------
    cu_seqlens : token indices where documents begin, and where the last ends; a query attends only
        within its own document

    >>> block_pairs(8, 2, "contiguous").tolist(), block_pairs(8, 2, "zigzag").tolist()
    ([[10, 0], [16, 10]], [[10, 8], [8, 10]])

    Raises
    ------
    UsageError
        there is no such layout, or the documents do not lie in the sequence
    """
    first, end = _chunks(tokens, ranks, layout)
    pairs = np.zeros((ranks, ranks), np.int64)
    for start, stop in _spans(tokens, cu_seqlens):
        a, b = first.clip(start, stop), end.clip(start, stop)
        for query, key in product(range(CHUNKS[layout]), repeat=2):
            pairs += _causal(a[:, query, None], b[:, query, None], a[:, key], b[:, key])
    return pairs


def attended_pairs(
    tokens: int, ranks: int, layout: str = "zigzag", cu_seqlens: Sequence[int] | None = None
) -> Int64[np.ndarray, " W"]:
    """Pairs of causal attention of every rank's queries: the rank's work.

    >>> attended_pairs(8, 2, "contiguous").tolist(), attended_pairs(8, 2, "zigzag").tolist()
    ([10, 26], [18, 18])
    """
    first, end = _chunks(tokens, ranks, layout)
    pairs = np.zeros(ranks, np.int64)
    for start, stop in _spans(tokens, cu_seqlens):
        pairs += _causal(first.clip(start, stop), end.clip(start, stop), start, stop).sum(1)
    return pairs


def balance(pairs: Int64[np.ndarray, " W"]) -> float:
    """Load balance: the busiest rank's work over the mean, which is the slowdown of all.

    Without documents, contiguous chunks tend to 2 − 1/W as T grows, and zigzag is 1 where 2W
    divides T.

    >>> balance(attended_pairs(8000, 4, "zigzag"))
    1.0
    >>> round(balance(attended_pairs(8000, 4, "contiguous")), 3)
    1.75
    """
    return float(pairs.max() * len(pairs) / pairs.sum())


def attention_flops(pairs: int, heads: int, head_dim: int) -> int:
    """Floating-point operations (FLOPs) of attention's forward over `pairs` of query and key.

    A multiplication and an addition, for QKᵀ and for PV.
    """
    return 4 * heads * head_dim * pairs


def ring_traffic(
    shard_tokens: int,
    ranks: int,
    kv_heads: int,
    head_dim: int,
    element: int = BF16,
    gradient: int = FLOAT32,
) -> Traffic:
    """Communication volume of ring attention, in bytes sent per rank (Liu et al. 2023).

    Forward, K and V make W − 1 hops. Backward, they make them again, and their gradients, added up
    on the way, go round with them: W hops, the last of which returns them to their own rank.

    Parameters
    ----------
    shard_tokens : t, tokens of one rank
    element : bytes of an element of K and V
    gradient : bytes of an element of dK and dV, which are added up W times

    >>> ring_traffic(1024, 4, kv_heads=2, head_dim=64)
    Traffic(forward=1572864, backward=5767168)
    """
    shard_elements = 2 * shard_tokens * kv_heads * head_dim
    hops, home = ranks - 1, ranks if ranks > 1 else 0
    return Traffic(
        hops * shard_elements * element, shard_elements * (hops * element + home * gradient)
    )


def all_gather_traffic(
    shard_tokens: int,
    ranks: int,
    kv_heads: int,
    head_dim: int,
    element: int = BF16,
    gradient: int = FLOAT32,
) -> Traffic:
    """Communication volume of all-gather attention, in bytes sent per rank (Llama 3).

    Forward, the gather sends (W − 1) / W of all K and V. Backward, they are gathered again rather
    than kept, and their gradients reduced and scattered. This is the ring's volume without the
    gradients' last hop (Grattafiori et al. 2024, section 3.3.2). Parameters: see `ring_traffic`.
    """
    shard_elements = 2 * shard_tokens * kv_heads * head_dim
    hops = ranks - 1
    return Traffic(hops * shard_elements * element, hops * shard_elements * (element + gradient))


def ulysses_traffic(
    shard_tokens: int, ranks: int, heads: int, kv_heads: int, head_dim: int, element: int = BF16
) -> Traffic:
    """Communication volume of DeepSpeed-Ulysses, in bytes sent per rank (Jacobs et al. 2023).

    Its all-to-all exchanges some tokens of all heads for all tokens of some heads. Of each of q,
    k, v and the output, (W − 1) / W leaves the rank; backward, of their four gradients. Where there
    are fewer K/V heads than ranks, each is sent to all ranks that hold its queries. Parameters: see
    `ring_traffic`.

    Raises
    ------
    UsageError
        the heads do not divide over the ranks: see `ulysses_heads`
    """
    _, each = ulysses_heads(ranks, heads, kv_heads)
    elements = (2 * heads + 2 * each * ranks) * shard_tokens * head_dim
    sent = elements * (ranks - 1) // ranks * element
    return Traffic(sent, sent)


def ulysses_can(ranks: int, heads: int, kv_heads: int) -> bool:
    """Divisibility of the heads over W ranks, which DeepSpeed-Ulysses needs.

    >>> [ranks for ranks in range(1, 29) if ulysses_can(ranks, 28, 4)]
    [1, 2, 4, 28]
    """
    return heads % ranks == 0 and (kv_heads % ranks == 0 or ranks % kv_heads == 0)


def ulysses_heads(ranks: int, heads: int, kv_heads: int) -> tuple[int, int]:
    """Heads per rank in DeepSpeed-Ulysses: query heads, and K/V heads.

    >>> ulysses_heads(2, 28, 4), ulysses_heads(28, 28, 4)
    ((14, 2), (1, 1))

    Raises
    ------
    UsageError
        W does not divide H, or neither of W and G divides the other
    """
    if not ulysses_can(ranks, heads, kv_heads):
        right = ", ".join(str(w) for w in range(1, heads + 1) if ulysses_can(w, heads, kv_heads))
        message = f"Ulysses over {ranks} ranks: {heads} query and {kv_heads} K/V heads divide"
        raise UsageError(f"{message} over {right} ranks; beyond that take ring or allgather")
    return heads // ranks, max(kv_heads // ranks, 1)


def _chunks(tokens: int, ranks: int, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """First token and one past the last of every rank's chunks, W × chunks per rank."""
    size = shard(tokens, ranks, layout) // CHUNKS[layout]
    rank = np.arange(ranks, dtype=np.int64)[:, None]
    number = rank if layout == "contiguous" else np.hstack([rank, 2 * ranks - 1 - rank])
    return (number * size).clip(max=tokens), ((number + 1) * size).clip(max=tokens)


def _spans(tokens: int, cu_seqlens: Sequence[int] | None) -> list[tuple[int, int]]:
    """First token and one past the last of every document."""
    edges = [0, tokens] if cu_seqlens is None else list(cu_seqlens)
    if edges[:1] != [0] or edges[-1] > tokens or edges != sorted(edges):
        raise UsageError(
            f"cu_seqlens {edges}: they rise from 0 to at most the {tokens} tokens there are"
        )
    return list(pairwise(edges))


def _causal(a: np.ndarray, b: np.ndarray, c: np.ndarray | int, d: np.ndarray | int) -> np.ndarray:
    """Causal pairs: a query in [a, b) and a key in [c, d) no later than it."""
    return _triangle(b - c) - _triangle(a - c) - _triangle(b - d) + _triangle(a - d)


def _triangle(n: np.ndarray) -> np.ndarray:
    """Triangular number 1 + 2 + … + n; 0 for negative n."""
    n = np.maximum(n, 0)
    return n * (n + 1) // 2
