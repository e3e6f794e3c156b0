"""What a token may look at, and how strongly: an additive bias on attention scores, from documents and modalities.

Source document O (claim O6) speaks of a dynamic mask that controls how strongly modalities interact, and defines it no
further. Ours: an interaction strength from 0 to 1 for every pair (modality of the query, modality of the key). Its
logarithm is added to the scores, so that attention weights are multiplied by it and divided by their new sum: 1 changes
nothing, 0 cuts the pair, and what lies between turns it down. A token always sees itself in full, so that none is left
with nothing to look at.

Glossary: B batch · T tokens · Q queries · J keys · M modalities (KINDS).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.items import KINDS


@dataclass(frozen=True)
class Strength:
    """How strongly one modality attends to another, from `first` at the stage's start to `last`, then kept.

    It changes evenly over the share `over` of the stage. Written `text>audio=0.5`, or `text>audio=0:1@0.3`.
    """

    query: str
    key: str
    first: float
    last: float
    over: float = 1.0

    @classmethod
    def read(cls, text: str) -> Strength:
        """Read the written form.

        >>> Strength.read("text>audio=0:1@0.3")
        Strength(query='text', key='audio', first=0.0, last=1.0, over=0.3)

        Raises
        ------
        UsageError
            it is not of that form, a modality does not exist, or a number is not from 0 to 1
        """
        pair, _, course = text.partition("=")
        query, _, key = pair.partition(">")
        ends, _, over = course.partition("@")
        first, _, last = ends.partition(":")
        try:
            numbers = float(first), float(last or first), float(over or 1)
        except ValueError:
            numbers = (-1.0,)
        if (
            query not in KINDS
            or key not in KINDS
            or not all(0 <= number <= 1 for number in numbers)
        ):
            message = f"write QUERY>KEY=STRENGTH or QUERY>KEY=FIRST:LAST@SHARE, of {', '.join(KINDS)}, and 0 to 1"
            raise UsageError(f"interaction {text!r}: {message}")
        return cls(query, key, *numbers)

    def at(self, progress: float) -> float:
        """The strength when the share `progress` of the stage is over."""
        passed = min(1.0, progress / self.over) if self.over else 1.0
        return self.first + (self.last - self.first) * passed


def strengths(course: Iterable[Strength], progress: float = 0.0) -> Float32[Tensor, "M M"] | None:
    """The matrix of strengths (query, key) at one moment of a stage; None where all are 1 and nothing is to be done.

    A pair that is named twice takes the last.
    """
    matrix = torch.ones(len(KINDS), len(KINDS))
    for pair in course:
        matrix[KINDS.index(pair.query), KINDS.index(pair.key)] = pair.at(progress)
    return None if bool((matrix == 1).all()) else matrix


def modality_bias(
    matrix: Float32[Tensor, "M M"],
    queries: Int64[Tensor, "B Q"],
    keys: Int64[Tensor, "B J"],
    itself: Bool[Tensor, "B Q J"] | Bool[Tensor, "Q J"],
) -> Float32[Tensor, "B Q J"]:
    """Log strength of every query–key pair, for the whole map or for any block of it (as ring attention needs).

    Parameters
    ----------
    queries, keys : modality numbers; padding (-1) reads as any, since it is never looked at
    itself : where query and key are the same token
    """
    bias = matrix.log()[queries.clamp_min(0)[:, :, None], keys.clamp_min(0)[:, None, :]]
    return bias.masked_fill(itself, 0.0)


def attention_bias(
    batch: Batch, matrix: Float32[Tensor, "M M"] | None = None
) -> Float[Tensor, "B 1 T T"] | None:
    """Everything that attention of a batch must be told, as one additive bias; None where plain causal attention does.

    It is causal, keeps documents of a packed row apart, and holds the modalities' strengths. It is dense: 4 bytes for
    every pair of tokens.
    """
    if matrix is None and not batch.packed:
        return None
    place = torch.arange(batch.kind.shape[1], device=batch.kind.device)
    seen = (place[:, None] >= place) & (batch.document[:, :, None] == batch.document[:, None, :])
    if matrix is None:
        bias = torch.zeros(seen.shape, device=seen.device)
    else:
        bias = modality_bias(
            matrix.to(seen.device), batch.kind, batch.kind, place[:, None] == place
        )
    return bias.masked_fill(~seen, -math.inf)[:, None]
