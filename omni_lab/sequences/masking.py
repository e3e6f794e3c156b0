"""Additive attention bias: causal, block-diagonal over documents, modality strengths.

Source document O (claim O6) speaks of a dynamic mask that controls how strongly modalities
interact, and defines it no further. Ours: an interaction strength from 0 to 1 for every pair
(modality of the query, modality of the key). Its logarithm is added to the scores, so that
attention weights are multiplied by it and divided by their new sum: 1 changes nothing, 0 cuts the
pair, and a value between turns it down. A token always sees itself in full, so that no softmax is
empty.

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
    """Modality interaction strength of one query-key pair, with a linear schedule over a stage.

    It goes from `first` to `last` over the fraction `over` of the stage and stays there. Written
    `text>audio=0.5`, or `text>audio=0:1@0.3`.
    """

    query: str
    key: str
    first: float
    last: float
    over: float = 1.0

    @classmethod
    def read(cls, text: str) -> Strength:
        """Parse the written form, `QUERY>KEY=STRENGTH` or `QUERY>KEY=FIRST:LAST@FRACTION`.

        >>> Strength.read("text>audio=0:1@0.3")
        Strength(query='text', key='audio', first=0.0, last=1.0, over=0.3)

        Raises
        ------
        UsageError
            the form is another, a modality is unknown, or a number is not from 0 to 1
        """
        pair, _, course = text.partition("=")
        query, _, key = pair.partition(">")
        ends, _, over = course.partition("@")
        first, _, last = ends.partition(":")
        try:
            numbers = float(first), float(last or first), float(over or 1)
        except ValueError:
            numbers = (-1.0,)

        in_range = all(0 <= number <= 1 for number in numbers)
        if not in_range or not {query, key} <= {*KINDS}:
            form = "QUERY>KEY=STRENGTH or QUERY>KEY=FIRST:LAST@FRACTION"
            right = f"write {form}, of {', '.join(KINDS)}, and 0 to 1"
            raise UsageError(f"interaction {text!r}: {right}")
        return cls(query, key, *numbers)

    def at(self, progress: float) -> float:
        """Strength after the fraction `progress` of the stage."""
        passed = min(1.0, progress / self.over) if self.over else 1.0
        return self.first + (self.last - self.first) * passed


def strengths(course: Iterable[Strength], progress: float = 0.0) -> Float32[Tensor, "M M"] | None:
    """Matrix of modality strengths (query, key) after `progress` of a stage; None where all are 1.

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
    """Log-strength bias of every query–key pair, for the whole map or one block of ring attention.

    Parameters
    ----------
    queries, keys : modality numbers; padding (-1) counts as any, since no token attends to it
    itself : True where query and key are the same token
    """
    bias = matrix.log()[queries.clamp_min(0)[:, :, None], keys.clamp_min(0)[:, None, :]]
    return bias.masked_fill(itself, 0.0)


def attention_bias(
    batch: Batch, matrix: Float32[Tensor, "M M"] | None = None
) -> Float[Tensor, "B 1 T T"] | None:
    """Additive attention bias: causal, block-diagonal over documents, modality strengths.

    None where plain causal attention gives the same. Dense: 4 bytes for every pair of tokens.
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
