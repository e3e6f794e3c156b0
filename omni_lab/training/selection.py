"""Which tokens are worth learning from, out of those of all processes.

Training on a share of tokens keeps those with the highest score, such as excess loss (Rho-1, Lin et al. 2024). Where a
row is shared out over ranks, or every process has rows of its own, the best tokens may all stand on one of them: the
highest share *of each rank* is another choice, and depends on how many ranks there are. So scores, which are small, are
gathered, and every rank finds the same threshold, ties included.

Glossary: N supervised tokens of this rank, each with a score; ranks may have different numbers of
them, or none.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.parallel.collectives import Collectives


def top_fraction(
    scores: Float[Tensor, " N"],
    share: float,
    collectives: Collectives,
    places: Int64[Tensor, " N"] | None = None,
) -> Bool[Tensor, " N"]:
    """Mark the scores of this rank that are among the highest share of all ranks' scores; all ranks call it together.

    The number kept is share times the number of all scores, rounded to the nearest, halves up. Of equal scores the one
    whose place comes first is kept.

    >>> top_fraction(torch.tensor([0.5, 2.0, 2.0, 1.0]), 0.25, Collectives(alone=True)).tolist()
    [False, True, False, False]

    Parameters
    ----------
    share : of all scores, 0 to 1
    places : where each score stands among those of all ranks, as one process would have them; None takes the ranks one
        after the other

    Raises
    ------
    UsageError
        the share is impossible, a score of any rank is no number, or ranks differ in share or type
    RankLostError
        a rank does not answer
    """
    if not 0 <= share <= 1:
        raise UsageError(f"share = {share:g} of tokens is impossible: it must be between 0 and 1")
    collectives.agree(scores.device, share=share, dtype=scores.dtype, places=places is not None)
    counts = (
        collectives.all_gather(torch.tensor([len(scores)], device=scores.device)).flatten().tolist()
    )
    everyone = _gathered(scores.detach(), counts, collectives)
    if bad := int(everyone.isnan().sum()):
        raise UsageError(
            f"{bad} of {len(everyone)} scores are not numbers: no share of them is the highest"
        )
    order = torch.arange(len(everyone), device=scores.device)
    if places is not None:
        order = _gathered(places, counts, collectives).argsort()
    best = everyone[order].argsort(descending=True, stable=True)[
        : math.floor(share * len(everyone) + 0.5)
    ]
    kept = torch.zeros(len(everyone), dtype=torch.bool, device=scores.device)
    kept[order[best]] = True
    first = sum(counts[: collectives.rank])
    return kept[first : first + len(scores)]


def _gathered(values: Tensor, counts: list[int], collectives: Collectives) -> Tensor:
    """What all ranks have, one after the other."""
    padded = values.new_zeros(max(counts))
    padded[: len(values)] = values
    return torch.cat(
        [
            theirs[:count]
            for theirs, count in zip(collectives.all_gather(padded), counts, strict=True)
        ]
    )
