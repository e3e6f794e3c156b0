"""Lazy attention mask: any block of it on demand, never the whole.

Hugging Face builds its masks from a function of two token indices. Registered as the mask function
of an attention implementation, `lazy_mask` keeps that function, and the mask of some queries and
some keys is made when attention gets there. Causality, sliding windows, padding, packed documents
and caches are honoured, since the same function decides.

Glossary: B batch · Q queries · J keys · q, k those of a block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from transformers.masking_utils import sdpa_mask

STEP = 256  # queries per block
_ENTRIES = 2**22  # of a mask that exist at a time


@dataclass(frozen=True, eq=False)
class LazyMask:
    """Attention mask of Q queries and J keys, evaluated block by block.

    Parameters
    ----------
    queries, keys : Q and J
    first_query, first_key : index of their first token in the sequence; with a cache they differ
    causal : whether it is causality alone and Q is J, or one query of a cache
    full : whether it masks nothing
    arguments : of the mask function, as the model gave them
    """

    queries: int
    keys: int
    first_query: int
    first_key: int
    causal: bool
    full: bool
    arguments: dict[str, Any] = field(repr=False)

    def block(self, rows: slice, columns: slice) -> Bool[Tensor, "B 1 q k"]:
        """Mask of some queries and some keys; True where they attend."""
        return sdpa_mask(
            **self.arguments,
            q_length=rows.stop - rows.start,
            kv_length=columns.stop - columns.start,
            q_offset=self.first_query + rows.start,
            kv_offset=self.first_key + columns.start,
            allow_is_causal_skip=False,
        )

    @property
    def whole(self) -> Bool[Tensor, "B 1 Q J"] | None:
        """The whole mask, as attention with gradients takes it; None where a kernel knows it."""
        if self.causal or self.full:
            return None
        return self._whole

    @cached_property
    def _whole(self) -> Tensor:
        return self.block(slice(0, self.queries), slice(0, self.keys))

    @cached_property
    def spans(self) -> list[tuple[slice, bool]]:
        """Keys between the first and the last that any of `STEP` queries attends to.

        Beside it, whether these queries attend to all of them. One for all layers: a sliding window
        of a long sequence costs what its keys cost.
        """
        return [
            self._span(slice(first, min(first + STEP, self.queries)))
            for first in range(0, self.queries, STEP)
        ]

    def _span(self, rows: slice) -> tuple[slice, bool]:
        width = max(1, _ENTRIES // (self.arguments["batch_size"] * (rows.stop - rows.start)))
        used, whole = [], []
        for start in range(0, self.keys, width):
            block = self.block(rows, slice(start, min(start + width, self.keys)))
            used.append(block.any(0).any(0).any(0))
            whole.append(block.all(0).all(0).all(0))
        at = torch.cat(used).nonzero()[:, 0]
        if not len(at):
            return slice(0, 0), True
        span = slice(int(at[0]), int(at[-1]) + 1)
        return span, bool(torch.cat(whole)[span].all())


def lazy_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    attention_mask: Bool[Tensor, "B seen"] | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    **others: Any,
) -> LazyMask:
    """Mask function of Hugging Face's mask interface that evaluates nothing yet.

    Parameters
    ----------
    q_length, kv_length, q_offset, kv_offset : queries, keys, and their first tokens' indices
    attention_mask : False where a token is padding
    local_size : of a sliding window or a chunk
    allow_is_causal_skip, allow_is_bidirectional_skip : the mask function is causality, or nothing
    """
    plain = local_size is None or kv_length < local_size
    if plain and attention_mask is not None:
        own = attention_mask[:, kv_offset : kv_offset + kv_length]
        plain = own.shape[1] == kv_length and bool(own.all())

    # one query of a cache that grows attends to all keys; those of a static one may be unwritten
    first_query = int(q_offset)
    last = q_length == 1 and first_query == kv_offset + kv_length - 1
    square = q_length == kv_length and first_query == kv_offset
    causal = plain and allow_is_causal_skip and square and q_length > 1
    full = plain and (allow_is_bidirectional_skip or (allow_is_causal_skip and last))
    arguments = dict(batch_size=batch_size, attention_mask=attention_mask, **others)
    return LazyMask(q_length, kv_length, first_query, kv_offset, causal, full, arguments)
