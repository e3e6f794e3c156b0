"""What attention over a shared row must know, the same on every rank: layout, documents, modalities, who is who.

Glossary: W ranks · T tokens of the row · B batch · M modalities.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.parallel.collectives import Collectives
from omni_lab.parallel.cost import attended_pairs, balance
from omni_lab.parallel.layout import Layout, Piece, pieces
from omni_lab.sequences.masking import modality_bias


@dataclass(frozen=True, eq=False)
class ShardedRow:
    """One row and how its attention is shared; give the same to every layer.

    Parameters
    ----------
    layout : which rank holds which tokens
    cu_seqlens : where documents begin, and where the last ends; None is one document
    kinds : modality number of every token of the row, where `strength` is given
    strength : how strongly modalities interact (`sequences.masking.strengths`)

    Raises
    ------
    UsageError
        the parts do not fit together
    """

    layout: Layout
    collectives: Collectives = field(default_factory=Collectives)
    cu_seqlens: Sequence[int] | None = None
    causal: bool = True
    kinds: Int64[Tensor, "B T"] | None = None
    strength: Float32[Tensor, "M M"] | None = None

    def __post_init__(self) -> None:
        tokens, edges = self.layout.tokens, self.documents
        if self.layout.ranks != self.collectives.ranks:
            raise UsageError(f"a layout for {self.layout.ranks} ranks on {self.collectives.ranks}")
        if edges[0] != 0 or edges[-1] > tokens or any(a > b for a, b in pairwise(edges)):
            raise UsageError(
                f"cu_seqlens {list(edges)}: they rise from 0 to at most the row's {tokens} tokens"
            )
        if self.strength is not None and (self.kinds is None or self.kinds.shape[-1] != tokens):
            raise UsageError(
                f"a strength between modalities needs the kind of each of the row's {tokens} tokens"
            )

    @cached_property
    def documents(self) -> tuple[int, ...]:
        """`cu_seqlens` as plain numbers."""
        if self.cu_seqlens is None:
            return (0, self.layout.tokens)
        return tuple(int(edge) for edge in self.cu_seqlens)

    @cached_property
    def alone(self) -> ShardedRow:
        """The same row in this process alone."""
        return replace(self, layout=Layout(self.layout.tokens), collectives=Collectives(alone=True))

    @cached_property
    def balance(self) -> float:
        """The work of the rank that has most, against the mean: 1 is even. Of causal attention."""
        layout = self.layout
        return balance(attended_pairs(layout.tokens, layout.ranks, layout.kind, self.documents))

    def agree(self, query: Tensor, key: Tensor, value: Tensor, scale: float, engine: str) -> None:
        """Compare shapes, types and what is shared over all ranks, before anything is sent.

        Raises
        ------
        UsageError
            they differ, or this rank's tensors do not fit its own row
        """
        held = self.layout.per_rank
        parts = {"queries": query, "keys": key, "values": value}
        shapes = {f"shape of {name}": tuple(part.shape) for name, part in parts.items()}
        dtypes = {f"dtype of {name}": part.dtype for name, part in parts.items()}
        learns = torch.is_grad_enabled() and any(part.requires_grad for part in parts.values())
        self.collectives.agree(
            query.device,
            engine=engine,
            **shapes,
            **dtypes,
            gradient=learns,
            scale=scale,
            **self._facts,
        )
        if {query.shape[2], key.shape[2], value.shape[2]} != {held}:
            has = f"queries of {query.shape[2]} tokens, keys of {key.shape[2]}, values of {value.shape[2]}"
            raise UsageError(
                f"{has}: every rank holds {held} of the row's {self.layout.tokens}, padding included"
            )
        if (
            key.shape != value.shape
            or len({(x.shape[0], x.shape[-1], x.dtype) for x in parts.values()}) > 1
        ):
            has = ", ".join(
                f"{name} {tuple(part.shape)} of {part.dtype}" for name, part in parts.items()
            )
            raise UsageError(
                f"{has}: they share rows, head width and type, keys and values all of their shape"
            )
        if query.shape[1] % key.shape[1]:
            raise UsageError(
                f"{query.shape[1]} query heads do not divide over {key.shape[1]} key heads"
            )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What is the same on every rank, short enough to be said in a fault."""
        facts = {"layout": self.layout, "causal": self.causal, "cu_seqlens": _short(self.documents)}
        if self.strength is not None:
            facts |= {
                "strength": self.strength.tolist(),
                "kinds": _short(self.kinds.flatten().tolist()),
            }
        return facts

    @cached_property
    def _pieces(self) -> list[list[Piece]]:
        rank, ranks = self.collectives.rank, self.collectives.ranks
        edges = self.documents
        return [
            pieces(self.layout, rank, (rank - step) % ranks, edges, self.causal)
            for step in range(ranks)
        ]

    def pieces(self, step: int) -> Iterator[tuple[Piece, Float32[Tensor, "B 1 Q J"] | None]]:
        """What this rank's queries see of the keys that it holds in a step, each with its bias: those that were its
        own in step 0, those of the rank `step` places before it later."""
        other = (self.collectives.rank - step) % self.collectives.ranks
        for piece in self._pieces[step]:
            yield piece, self._bias(piece, other)

    def _bias(self, piece: Piece, other: int) -> Float32[Tensor, "B 1 Q J"] | None:
        if self.strength is None:
            return None
        mine, theirs = self._held[self.collectives.rank], self._held[other]
        queries, keys = mine[1][:, piece.queries], theirs[1][:, piece.keys]
        itself = mine[0][piece.queries][:, None] == theirs[0][piece.keys]
        return modality_bias(self.strength.to(queries.device), queries, keys, itself)[:, None]

    @cached_property
    def _held(self) -> list[tuple[Int64[Tensor, " L"], Int64[Tensor, "B L"]]]:
        """Places and modalities of the tokens that every rank holds; the same in all layers."""
        layout, kinds = self.layout, self.kinds
        ranks = range(layout.ranks)
        return [
            (layout.places(rank).to(kinds.device), layout.shard(kinds, rank, fill=-1))
            for rank in ranks
        ]


def _short(numbers: Sequence[int]) -> tuple[int, ...] | str:
    """Numbers as they are where they are few, else how many they are and a checksum of them."""
    few = tuple(numbers)
    return (
        few
        if len(few) <= 16
        else f"{len(few)} numbers, checksum {zlib.crc32(repr(few).encode()):08x}"
    )
