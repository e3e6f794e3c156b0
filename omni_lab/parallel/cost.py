"""What attention over a long context costs when its tokens are split over ranks: exact counts and closed formulas.

One layer, one sequence, one rank: pairs of query and key, floating-point operations, bytes sent. Nothing here runs
attention; `simulate` turns the counts into time, `memory` into bytes held, `plan` into a step of training.

Glossary: T tokens · W ranks · t tokens per rank · H query heads · H2 key and value heads · K head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from omni_lab.config.types import CHUNKS
from omni_lab.errors import UsageError

BF16, FLOAT32 = 2, 4  # bytes of an element: of what is computed with, of what is added up
BACKWARD_FLOPS = 2.5  # flash attention's backward, in forwards: five matrix products, two of them made anew, for two
MOST_TOKENS = 1 << 31


class Traffic(NamedTuple):
    """Bytes that one rank sends in one layer."""

    forward: int
    backward: int


def shard(tokens: int, ranks: int, layout: str) -> int:
    """Tokens that every rank holds, padding at the sequence's end included.

    >>> shard(10, 4, "contiguous"), shard(10, 4, "zigzag")
    (3, 4)

    Raises
    ------
    UsageError
        there is no such layout, no token, no rank, or more tokens than can be counted with
    """
    if layout not in CHUNKS:
        raise UsageError(f"layout {layout!r}: there are {', '.join(CHUNKS)}")
    if tokens > MOST_TOKENS:
        raise UsageError(
            f"{tokens} tokens: pairs are counted in 64 bits, which up to {MOST_TOKENS} tokens fit"
        )
    if ranks < 1 or tokens < 1:
        raise UsageError(f"a row of {tokens} tokens over {ranks} ranks: both must be 1 or more")
    return CHUNKS[layout] * -(-tokens // (CHUNKS[layout] * ranks))


def block_pairs(
    tokens: int, ranks: int, layout: str = "zigzag", cu_seqlens: Sequence[int] | None = None
) -> Int64[np.ndarray, "ranks ranks"]:
    """Count the pairs of causal attention between the queries of every rank (rows) and the keys of every rank.

    `contiguous` gives rank r the r-th of W chunks, as in Ring Attention (Liu et al. 2023). `zigzag` cuts 2 W chunks and
    gives rank r the r-th from the front and the r-th from the back, as Llama 3 does (Grattafiori et al. 2024), so that
    early queries, which see little, are held beside late ones; the idea of balancing is Striped Attention's (Brandon
    et al. 2023). Padding takes part in no pair.

    Parameters
    ----------
    cu_seqlens : where documents begin, and where the last ends; a query sees its own document only

    >>> block_pairs(8, 2, "contiguous").tolist(), block_pairs(8, 2, "zigzag").tolist()
    ([[10, 0], [16, 10]], [[10, 8], [8, 10]])

    Raises
    ------
    UsageError
        the layout cannot be, or the documents do not lie in the sequence
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
) -> Int64[np.ndarray, " ranks"]:
    """Count the pairs of causal attention that the queries of every rank take part in: the rank's work.

    >>> attended_pairs(8, 2, "contiguous").tolist(), attended_pairs(8, 2, "zigzag").tolist()
    ([10, 26], [18, 18])
    """
    first, end = _chunks(tokens, ranks, layout)
    pairs = np.zeros(ranks, np.int64)
    for start, stop in _spans(tokens, cu_seqlens):
        pairs += _causal(first.clip(start, stop), end.clip(start, stop), start, stop).sum(1)
    return pairs


def balance(pairs: Int64[np.ndarray, " ranks"]) -> float:
    """The busiest rank's work over the mean: how many times longer all take than they would if it were even.

    Without documents, contiguous chunks tend to 2 − 1/W as T grows, and zigzag is 1 where 2 W divides T.

    >>> balance(attended_pairs(8000, 4, "zigzag")), round(balance(attended_pairs(8000, 4, "contiguous")), 3)
    (1.0, 1.75)
    """
    return float(pairs.max() * len(pairs) / pairs.sum())


def attention_flops(pairs: int, heads: int, head_dim: int) -> int:
    """Floating-point operations of attention's forward over so many pairs: a product and a sum, for QKᵀ and for PV."""
    return 4 * heads * head_dim * pairs


def ring_traffic(
    shard_tokens: int,
    ranks: int,
    kv_heads: int,
    head_dim: int,
    element: int = BF16,
    gradient: int = FLOAT32,
) -> Traffic:
    """Bytes a rank sends for ring attention (Liu et al. 2023), where keys and values go round and queries stay.

    Forward, K and V make W − 1 hops. Backward, they make them again, and their gradients, added up on the way, go
    round with them: W hops, the last of which brings them home.

    Parameters
    ----------
    shard_tokens : tokens of one rank, t
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
    """Bytes a rank sends where every rank gathers all keys and values, as Llama 3 does (Grattafiori et al. 2024).

    Forward, the gather sends (W − 1) / W of all K and V. Backward, they are gathered again rather than kept, and
    their gradients reduced and scattered. This is the ring's volume but for the gradients' last hop.

    Parameters are `ring_traffic`'s.
    """
    shard_elements = 2 * shard_tokens * kv_heads * head_dim
    hops = ranks - 1
    return Traffic(hops * shard_elements * element, hops * shard_elements * (element + gradient))


def ulysses_traffic(
    shard_tokens: int, ranks: int, heads: int, kv_heads: int, head_dim: int, element: int = BF16
) -> Traffic:
    """Bytes a rank sends for DeepSpeed-Ulysses (Jacobs et al. 2023): all tokens of some heads, not some of all heads.

    Of each of q, k, v and the output, (W − 1) / W leaves the rank; backward, of their four gradients. Where there are
    fewer K/V heads than ranks, each is sent to all ranks that hold its queries. Other parameters are `ring_traffic`'s.

    Raises
    ------
    UsageError
        the heads cannot be shared out evenly: `ulysses_heads`
    """
    _, each = ulysses_heads(ranks, heads, kv_heads)
    elements = (2 * heads + 2 * each * ranks) * shard_tokens * head_dim
    sent = elements * (ranks - 1) // ranks * element
    return Traffic(sent, sent)


def ulysses_can(ranks: int, heads: int, kv_heads: int) -> bool:
    """Whether heads can be shared out evenly over the ranks of DeepSpeed-Ulysses.

    >>> [ranks for ranks in range(1, 29) if ulysses_can(ranks, 28, 4)]
    [1, 2, 4, 28]
    """
    return heads % ranks == 0 and (kv_heads % ranks == 0 or ranks % kv_heads == 0)


def ulysses_heads(ranks: int, heads: int, kv_heads: int) -> tuple[int, int]:
    """Query heads and K/V heads that every rank of DeepSpeed-Ulysses holds.

    >>> ulysses_heads(2, 28, 4), ulysses_heads(28, 28, 4)
    ((14, 2), (1, 1))

    Raises
    ------
    UsageError
        W is no divisor of H, or the K/V heads can neither be shared out evenly nor each go to as many ranks
    """
    if not ulysses_can(ranks, heads, kv_heads):
        right = ", ".join(str(w) for w in range(1, heads + 1) if ulysses_can(w, heads, kv_heads))
        message = f"Ulysses over {ranks} ranks: {heads} query and {kv_heads} K/V heads can be shared out over"
        raise UsageError(f"{message} {right} ranks; beyond that take ring or allgather")
    return heads // ranks, max(kv_heads // ranks, 1)


def _chunks(tokens: int, ranks: int, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """First token and one past the last of every rank's chunks (rows of one or two)."""
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
    """Pairs of a query in [a, b) and a key in [c, d) that is no later than it."""
    return _triangle(b - c) - _triangle(a - c) - _triangle(b - d) + _triangle(a - d)


def _triangle(n: np.ndarray) -> np.ndarray:
    """1 + 2 + … + n, and 0 below."""
    n = np.maximum(n, 0)
    return n * (n + 1) // 2
