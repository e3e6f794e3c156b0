"""Sharding layouts of a long row over ranks, zigzag or contiguous, and the pairs to compute.

Causal attention over a row cut into W equal pieces leaves the first rank almost idle: few tokens
come before its own. *Zigzag* cuts the row into 2W chunks and gives rank r the chunks r and
2W − 1 − r, an early one and a late one, so that all ranks have the same work (the load balancing
of Llama 3's context parallelism, section 3.3.2; Brandon et al. 2023, *Striped attention*, had the
idea with single tokens).

Attention never crosses a document boundary in a packed row. The pairs between two chunks
therefore form a few rectangles, each one full or a causal square: no mask is needed, and nothing
is computed to be thrown away.

Glossary: W ranks · T tokens · t tokens per rank, padding included · `cu_seqlens` token indices
where documents begin, and where the last one ends.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from omni_lab.config.types import CHUNKS
from omni_lab.errors import UsageError


@dataclass(frozen=True)
class Layout:
    """Sharding layout of a row over ranks: equal chunks, padded behind the row's end.

    Parameters
    ----------
    tokens : T, of the row
    ranks : W, the context-parallel size
    kind : `zigzag` or `contiguous`

    Raises
    ------
    UsageError
        there is no such layout, no token or no rank

    >>> Layout(tokens=14, ranks=2).chunks(0)
    (range(0, 4), range(12, 16))
    """

    tokens: int
    ranks: int = 1
    kind: str = "zigzag"

    def __post_init__(self) -> None:
        if self.kind not in CHUNKS:
            raise UsageError(f"layout {self.kind!r}: there are {', '.join(CHUNKS)}")
        if self.tokens < 1 or self.ranks < 1:
            raise UsageError(
                f"a row of {self.tokens} tokens over {self.ranks} ranks: both must be 1 or more"
            )

    @property
    def chunk(self) -> int:
        """Chunk length in tokens."""
        return -(-self.tokens // (self.ranks * CHUNKS[self.kind]))

    @property
    def per_rank(self) -> int:
        """Shard length t: tokens of every rank, padding included."""
        return self.chunk * CHUNKS[self.kind]

    def chunks(self, rank: int) -> tuple[range, ...]:
        """Token indices of a rank's shard, one range per chunk, in the shard's order."""
        numbers = (rank, 2 * self.ranks - 1 - rank) if self.kind == "zigzag" else (rank,)
        return tuple(range(number * self.chunk, (number + 1) * self.chunk) for number in numbers)

    def places(self, rank: int) -> Int64[Tensor, " t"]:
        """Token indices of a rank's shard as a tensor; those from `tokens` on are padding."""
        return torch.cat([torch.arange(c.start, c.stop) for c in self.chunks(rank)])

    def shard(self, row: Tensor, rank: int, dim: int = -1, fill: float = 0) -> Tensor:
        """Shard of a tensor over the whole row: T entries along `dim` become t, padding is `fill`.

        Raises
        ------
        UsageError
            the tensor has another length than the row
        """
        if row.shape[dim] != self.tokens:
            has = f"a tensor with {row.shape[dim]} places along dim {dim}"
            raise UsageError(f"{has}, for a row of {self.tokens} tokens")
        places = self.places(rank).to(row.device)
        padding = places >= self.tokens
        part = row.index_select(dim, places.masked_fill(padding, 0))
        shape = [1] * row.ndim
        shape[dim] = len(places)
        return part.masked_fill(padding.view(shape), fill)

    def join(self, shards: Sequence[Tensor], dim: int = -1) -> Tensor:
        """Whole-row tensor from the shards of all ranks, in rank order; padding is dropped."""
        places = torch.cat([self.places(rank) for rank in range(self.ranks)]).to(shards[0].device)
        return torch.cat(list(shards), dim).index_select(dim, places.argsort()[: self.tokens])


class Piece(NamedTuple):
    """Rectangle of query–key pairs, as slices of two ranks' shards.

    `causal` where both slices are the same tokens: then only its lower triangle counts.
    """

    queries: slice
    keys: slice
    causal: bool

    @property
    def pairs(self) -> int:
        """Number of query–key pairs that attention computes."""
        queries, keys = (part.stop - part.start for part in (self.queries, self.keys))
        return queries * (queries + 1) // 2 if self.causal else queries * keys


def pieces(
    layout: Layout, rank: int, other: int, cu_seqlens: Sequence[int], causal: bool = True
) -> list[Piece]:
    """Rectangles of attention from the queries of rank `rank` to the keys of rank `other`.

    Together they are the causal, block-diagonal mask between the two shards.

    >>> pieces(Layout(tokens=8, ranks=2), rank=1, other=0, cu_seqlens=[0, 3, 8])
    [Piece(queries=slice(0, 1, None), keys=slice(0, 2, None), causal=False)]

    (Rank 1 holds tokens 2 to 5, rank 0 tokens 0, 1, 6 and 7. In the first document, tokens 0 to 2,
    token 2 attends to 0 and 1; no token of the second document lies before rank 1's on rank 0.)
    """
    found = []
    for number, local in enumerate(layout.chunks(rank)):
        for other_number, remote in enumerate(layout.chunks(other)):
            if causal and remote.start > local.start:
                continue

            # from token indices to places in each rank's shard
            shift = number * layout.chunk - local.start
            other_shift = other_number * layout.chunk - remote.start
            for queries, keys in _common(local, remote, cu_seqlens):
                found.append(
                    Piece(
                        slice(queries.start + shift, queries.stop + shift),
                        slice(keys.start + other_shift, keys.stop + other_shift),
                        causal and local == remote,
                    )
                )
    return found


def _common(
    local: range, remote: range, cu_seqlens: Sequence[int]
) -> Iterator[tuple[range, range]]:
    """Token ranges, in both chunks, of every document that lies in both."""
    first = max(bisect_right(cu_seqlens, max(local.start, remote.start)) - 1, 0)
    last = bisect_left(cu_seqlens, min(local.stop, remote.stop))
    for start, end in zip(cu_seqlens[first:last], cu_seqlens[first + 1 : last + 1], strict=False):
        queries = range(max(local.start, start), min(local.stop, end))
        keys = range(max(remote.start, start), min(remote.stop, end))
        if queries and keys:
            yield queries, keys
