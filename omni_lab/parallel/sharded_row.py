"""Sharded row: layout over the ranks, documents and modalities, equal on every rank.

It is everything that context-parallel attention needs besides queries, keys and values.

Glossary: W ranks · T tokens · t tokens per rank · B batch · M modalities · Q queries · J keys.
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
    """Row sharded over ranks, with its causal, document and modality masks; one for all layers.

    Parameters
    ----------
    layout : which rank holds which tokens
    collectives : the ranks that hold the row together; their number is the context-parallel size
    cu_seqlens : token indices where documents begin, and where the last ends; None: one document
    causal : whether a token attends only to itself and to tokens before it
    kinds : modality number of every token of the row, needed with `strength`
    strength : how strongly modalities interact (`sequences.masking.strengths`)

    Raises
    ------
    UsageError
        layout, ranks, documents or modalities do not fit together
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
            has = f"a layout for {self.layout.ranks} ranks on {self.collectives.ranks}"
            raise UsageError(f"{has}: both must be the context-parallel size")
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
        """Document boundaries, `cu_seqlens` as a tuple of integers."""
        if self.cu_seqlens is None:
            return (0, self.layout.tokens)
        return tuple(int(edge) for edge in self.cu_seqlens)

    @cached_property
    def alone(self) -> ShardedRow:
        """Unsharded copy of the row, in this process alone."""
        return replace(self, layout=Layout(self.layout.tokens), collectives=Collectives(alone=True))

    @cached_property
    def balance(self) -> float:
        """Load balance of causal attention: the busiest rank's work over the mean; 1 is even."""
        layout = self.layout
        return balance(attended_pairs(layout.tokens, layout.ranks, layout.kind, self.documents))

    def agree(self, query: Tensor, key: Tensor, value: Tensor, scale: float, engine: str) -> None:
        """Agreement of all ranks on shapes, types and the row, checked before anything is sent.

        Raises
        ------
        UsageError
            the ranks differ, or this rank's tensors do not fit its own row
        """
        parts = {"queries": query, "keys": key, "values": value}
        shapes = {f"shape of {name}": tuple(part.shape) for name, part in parts.items()}
        dtypes = {f"dtype of {name}": part.dtype for name, part in parts.items()}
        learns = torch.is_grad_enabled() and any(part.requires_grad for part in parts.values())

        # across ranks first: a rank that raised alone would leave the others waiting for it
        self.collectives.agree(
            query.device,
            engine=engine,
            **shapes,
            **dtypes,
            gradient=learns,
            scale=scale,
            **self._facts,
        )
        self._check_fit(query, key, value)

    def _check_fit(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Fit of one rank's queries, keys and values to its shard and to each other."""
        held, parts = self.layout.per_rank, {"queries": query, "keys": key, "values": value}
        if {part.shape[2] for part in parts.values()} != {held}:
            has = ", ".join(f"{name} of {part.shape[2]} tokens" for name, part in parts.items())
            rule = f"every rank holds {held} of the row's {self.layout.tokens}, padding included"
            raise UsageError(f"{has}: {rule}")

        unlike = len({(x.shape[0], x.shape[-1], x.dtype) for x in parts.values()}) > 1
        if key.shape != value.shape or unlike:
            has = ", ".join(f"{name} {tuple(x.shape)} of {x.dtype}" for name, x in parts.items())
            rule = "batch, head width and type must be equal, and keys and values of one shape"
            raise UsageError(f"{has}: {rule}")

        if query.shape[1] % key.shape[1]:
            raise UsageError(
                f"{query.shape[1]} query heads do not divide over {key.shape[1]} key heads"
            )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """Facts of the row that all ranks must agree on, short enough for an error message."""
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
        """Rectangles of attention in one step of the ring, each with its additive bias.

        In step 0 the keys are this rank's own, later those of the rank `step` places before it.
        """
        other = (self.collectives.rank - step) % self.collectives.ranks
        for piece in self._pieces[step]:
            yield piece, self._bias(piece, other)

    def _bias(self, piece: Piece, other: int) -> Float32[Tensor, "B 1 Q J"] | None:
        """Additive bias of a rectangle by modality strengths; None where there are none."""
        if self.strength is None:
            return None
        (places, kinds), (other_places, other_kinds) = (
            self._held[rank] for rank in (self.collectives.rank, other)
        )
        queries, keys = kinds[:, piece.queries], other_kinds[:, piece.keys]
        itself = places[piece.queries][:, None] == other_places[piece.keys]
        return modality_bias(self.strength.to(queries.device), queries, keys, itself)[:, None]

    @cached_property
    def _held(self) -> list[tuple[Int64[Tensor, " t"], Int64[Tensor, "B t"]]]:
        """Token indices and modalities of every rank's shard, reused by all layers."""
        layout, kinds = self.layout, self.kinds
        return [
            (layout.places(rank).to(kinds.device), layout.shard(kinds, rank, fill=-1))
            for rank in range(layout.ranks)
        ]


def _short(numbers: Sequence[int]) -> tuple[int, ...] | str:
    """Numbers where they are few, else their count and a checksum."""
    few = tuple(numbers)
    if len(few) <= 16:
        return few
    return f"{len(few)} numbers, checksum {zlib.crc32(repr(few).encode()):08x}"
