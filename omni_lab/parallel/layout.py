"""Which rank holds which tokens of a long row, and which pairs of them attention has to look at.

Causal attention of a row cut into W equal pieces leaves the first rank almost idle: its tokens have little before them.
*Zigzag* cuts the row into 2W chunks and gives rank r the chunks r and 2W − 1 − r, an early one and a late one, so that
all have the same work (the load balancing of Llama 3's context parallelism, section 3.3.2 of its report; Brandon et al.
2023, *Striped attention*, had the idea with single tokens).

Documents of a packed row are never looked at across their boundaries. What one chunk sees of another is therefore a few
rectangles, each either whole or a causal square: no mask is needed, and nothing is computed to be thrown away.

Glossary: W ranks · T tokens of the row · L tokens per rank, padding included · `cu_seqlens` where documents begin, and
where the last ends.
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
    """How a row of any length is shared out: equal chunks, padded behind the row's end.

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
        """Tokens of a chunk."""
        return -(-self.tokens // (self.ranks * CHUNKS[self.kind]))

    @property
    def per_rank(self) -> int:
        """Tokens that every rank holds, padding included."""
        return self.chunk * CHUNKS[self.kind]

    def chunks(self, rank: int) -> tuple[range, ...]:
        """Places in the row that a rank holds, one range per chunk, in the order in which it holds them."""
        numbers = (rank, 2 * self.ranks - 1 - rank) if self.kind == "zigzag" else (rank,)
        return tuple(range(number * self.chunk, (number + 1) * self.chunk) for number in numbers)

    def places(self, rank: int) -> Int64[Tensor, " L"]:
        """Places in the row that a rank holds; those from `tokens` on are padding."""
        return torch.cat([torch.arange(c.start, c.stop) for c in self.chunks(rank)])

    def shard(self, row: Tensor, rank: int, dim: int = -1, fill: float = 0) -> Tensor:
        """The part of a tensor over the whole row that a rank holds; padding is `fill`."""
        if row.shape[dim] != self.tokens:
            raise UsageError(
                f"a tensor with {row.shape[dim]} places for a row of {self.tokens} tokens"
            )
        places = self.places(rank).to(row.device)
        padding = places >= self.tokens
        part = row.index_select(dim, places.masked_fill(padding, 0))
        shape = [1] * row.ndim
        shape[dim] = len(places)
        return part.masked_fill(padding.view(shape), fill)

    def join(self, shards: Sequence[Tensor], dim: int = -1) -> Tensor:
        """The tensor over the whole row, from the parts of all ranks in their order; padding is dropped."""
        places = torch.cat([self.places(rank) for rank in range(self.ranks)]).to(shards[0].device)
        return torch.cat(list(shards), dim).index_select(dim, places.argsort()[: self.tokens])


class Piece(NamedTuple):
    """A rectangle of query–key pairs, as slices of what two ranks hold; `causal` where both are the same tokens."""

    queries: slice
    keys: slice
    causal: bool

    @property
    def pairs(self) -> int:
        """Query–key pairs that attention looks at."""
        queries, keys = (part.stop - part.start for part in (self.queries, self.keys))
        return queries * (queries + 1) // 2 if self.causal else queries * keys


def pieces(
    layout: Layout, rank: int, other: int, cu_seqlens: Sequence[int], causal: bool = True
) -> list[Piece]:
    """What the queries of `rank` look at among the keys of `other`, as rectangles without a mask.

    >>> pieces(Layout(tokens=8, ranks=2), rank=1, other=0, cu_seqlens=[0, 3, 8])
    [Piece(queries=slice(0, 1, None), keys=slice(0, 2, None), causal=False)]

    (Rank 1 holds the places 2 to 5, rank 0 those at 0, 1, 6 and 7. Of the first document, 0 to 2, place 2 looks at 0
    and 1; nothing of the second lies before it on rank 0.)
    """
    found = []
    for number, mine in enumerate(layout.chunks(rank)):
        for their_number, theirs in enumerate(layout.chunks(other)):
            if causal and theirs.start > mine.start:
                continue
            for queries, keys in _shared(mine, theirs, cu_seqlens):
                shift, their_shift = (
                    n * layout.chunk - c.start for n, c in ((number, mine), (their_number, theirs))
                )
                found.append(
                    Piece(
                        slice(queries.start + shift, queries.stop + shift),
                        slice(keys.start + their_shift, keys.stop + their_shift),
                        causal and mine == theirs,
                    )
                )
    return found


def _shared(mine: range, theirs: range, cu_seqlens: Sequence[int]) -> Iterator[tuple[range, range]]:
    """Of every document that lies in both chunks: its places in the one, and in the other."""
    first = max(bisect_right(cu_seqlens, max(mine.start, theirs.start)) - 1, 0)
    last = bisect_left(cu_seqlens, min(mine.stop, theirs.stop))
    for start, end in zip(cu_seqlens[first:last], cu_seqlens[first + 1 : last + 1], strict=False):
        queries = range(max(mine.start, start), min(mine.stop, end))
        keys = range(max(theirs.start, start), min(theirs.stop, end))
        if queries and keys:
            yield queries, keys
