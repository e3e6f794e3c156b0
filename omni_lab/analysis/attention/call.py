"""One call of an attention function: its queries, keys and values, and who attends to whom.

Glossary: B batch · H query heads · G key/value heads · T tokens of the sequence · Q queries
· J keys · K head width · q, k queries and keys of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from omni_lab.analysis.attention.mask import STEP, LazyMask
from omni_lab.parallel.sharded_row import ShardedRow

_BYTES = 2**25  # of queries or values that are copied at a time


@dataclass(eq=False)
class AttentionCall:
    """Queries, keys and values of one layer, with its mask, scale and learned sinks.

    Parameters
    ----------
    causal : query i attends to keys 0 to i, where there is no mask
    mask : lazy; or of booleans, or additive, of shape B or 1, H or 1, Q, J
    scale : of the scores; None is 1 / √K
    softcap : scores s become softcap · tanh(s / softcap) (Gemma 2)
    sinks : score of every head's learned sink, which takes mass and gives no value (GPT-OSS)
    layer, name : of the module, in its part of the model
    first_query, first_key : index of their first token in the sequence; with a mask it knows them
    row : of the ranks that hold the sequence together; queries and keys are then one rank's
    engine : of context-parallel attention over `row`
    """

    query: Float[Tensor, "B H Q K"]
    key: Float[Tensor, "B G J K"]
    value: Float[Tensor, "B G J _"]
    causal: bool = True
    mask: LazyMask | Tensor | None = None
    scale: float | None = None
    softcap: float | None = None
    sinks: Float[Tensor, " H"] | None = None
    layer: int = 0
    name: str = ""
    first_query: int | None = None
    first_key: int | None = None
    row: ShardedRow | None = None
    engine: str = "auto"
    cuts: int = 0  # widths that were added to the heads, one for every cut
    output: Tensor | None = field(default=None, init=False)  # B H Q _, once a pass has given it

    def __post_init__(self) -> None:
        self.scale = self.query.shape[-1] ** -0.5 if self.scale is None else self.scale
        if isinstance(self.mask, LazyMask):
            self.first_query, self.first_key = self.mask.first_query, self.mask.first_key
            self.causal = self.mask.causal
            if self.mask.causal or self.mask.full:
                self.mask = None
        elif self.mask is not None:  # of all tokens so far
            self.first_key = 0
            self.first_query = self.key.shape[2] - self.query.shape[2]

    def at_queries(self, of_tokens: Shaped[Tensor, "B T"], fill: int = -1) -> Shaped[Tensor, "B Q"]:
        """Entries of the queries in a tensor over all tokens; `fill` beyond its end."""
        return self._at(of_tokens, self.first_query, self.query.shape[2], fill)

    def at_keys(self, of_tokens: Shaped[Tensor, "B T"], fill: int = -1) -> Shaped[Tensor, "B J"]:
        """Entries of the keys in a tensor over all tokens; `fill` beyond its end."""
        return self._at(of_tokens, self.first_key, self.key.shape[2], fill)

    def _at(self, of_tokens: Tensor, first: int | None, count: int, fill: int) -> Tensor:
        if self.row is not None:
            return self.row.layout.shard(of_tokens, self.row.collectives.rank, fill=fill)
        first = first or 0
        own = of_tokens[:, first : first + count]
        return F.pad(own, (0, count - own.shape[1]), value=fill)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Queries in blocks of `STEP`, each with all keys that any of them may attend to."""
        queries, keys = self.query.shape[2], self.key.shape[2]
        for first in range(0, queries, STEP):
            rows = slice(first, min(first + STEP, queries))
            if isinstance(self.mask, LazyMask):
                yield rows, self.mask.spans[first // STEP][0]
            else:
                last = rows.stop if self.mask is None and self.causal else keys
                yield rows, slice(0, last)

    def bias(self, rows: slice, columns: slice) -> Float[Tensor, "_ _ q k"] | None:
        """Additive mask of a block of queries and some of its keys; None where all attend."""
        if self.mask is None:
            if not self.causal or columns.stop <= rows.start + 1:
                return None
            place = torch.arange(rows.start, rows.stop, device=self.query.device)
            keys = torch.arange(columns.start, columns.stop, device=self.query.device)
            allowed = (keys <= place[:, None])[None, None]
        elif isinstance(self.mask, LazyMask):
            if self.mask.spans[rows.start // STEP][1]:
                return None
            allowed = self.mask.block(rows, columns)
        else:
            allowed = self.mask[:, :, rows, columns]
        if allowed.dtype != torch.bool:
            return allowed
        nothing = torch.zeros(allowed.shape, device=allowed.device)
        return nothing.masked_fill(~allowed, -math.inf)

    def in_parts(self, width: int) -> Iterator[tuple[slice, slice, AttentionCall]]:
        """The same call for some heads at a time: slices of query and of key heads, and the call.

        Parameters
        ----------
        width : of the values it will carry, which decides how many heads fit
        """
        heads, groups = self.query.shape[1], self.key.shape[1]
        repeats = heads // groups
        size = max(width, self.query.shape[-1]) * self.query.element_size()
        each = len(self.query) * max(self.query.shape[2] * repeats, self.key.shape[2]) * size
        at_once = max(1, _BYTES // max(1, each))
        if at_once >= groups:
            yield slice(0, heads), slice(0, groups), self
            return
        for first in range(0, groups, at_once):
            keys = slice(first, min(first + at_once, groups))
            own = slice(keys.start * repeats, keys.stop * repeats)
            per_head = isinstance(self.mask, Tensor) and self.mask.shape[1] > 1
            part = replace(
                self,
                query=self.query[:, own], key=self.key[:, keys], value=self.value[:, keys],
                mask=self.mask[:, own] if per_head else self.mask,
                sinks=None if self.sinks is None else self.sinks[own],
            )  # fmt: skip
            yield own, keys, part
