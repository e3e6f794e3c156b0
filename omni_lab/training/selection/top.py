"""Top fraction of scores, over the tokens of all ranks or within each sequence.

Where a row is sharded over ranks, or every process has rows of its own, the best tokens may all
stand on one of them: the highest fraction *of each rank* is another choice, and depends on how many
ranks there are. So scores, which are small, are gathered, and every rank finds the same threshold,
ties included.

Glossary: N supervised tokens of this rank, each with a score; ranks may have different numbers of
them, or none.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.parallel.collectives import Collectives


def top_fraction(
    scores: Float[Tensor, " N"],
    fraction: float,
    collectives: Collectives,
    places: Int64[Tensor, " N"] | None = None,
    groups: Int64[Tensor, " N"] | None = None,
) -> Bool[Tensor, " N"]:
    """Mark this rank's scores among the highest fraction of all ranks'; all ranks call it together.

    The number kept is fraction times the number of scores, rounded to the nearest, halves up. Of
    equal scores the one whose place comes first is kept.

    >>> top_fraction(torch.tensor([0.5, 2.0, 2.0, 1.0]), 0.25, Collectives(alone=True)).tolist()
    [False, True, False, False]

    Parameters
    ----------
    fraction : of all scores, 0 to 1
    places : where each score stands among those of all ranks, as one process would have them; None
        takes the ranks one after the other
    groups : number of the group (sequence) of each score, the fraction of each of which is kept;
        None is one group

    Raises
    ------
    UsageError
        the fraction is impossible, a score of any rank is no number, or ranks differ in fraction or
        type
    RankLostError
        a rank does not answer
    """
    if not 0 <= fraction <= 1:
        wrong = f"fraction = {fraction:g} of tokens is impossible"
        raise UsageError(f"{wrong}: it must be between 0 and 1")
    given = {"places": places is not None, "groups": groups is not None}
    collectives.agree(scores.device, fraction=fraction, dtype=scores.dtype, **given)
    counts = counts_of(scores, collectives)
    everyone = gathered(scores, counts, collectives)
    if bad := int(everyone.isnan().sum()):
        wrong = f"{bad} of {len(everyone)} scores are not numbers"
        raise UsageError(f"{wrong}: no fraction of them is the highest")

    order = torch.arange(len(everyone), device=scores.device)
    if places is not None:
        order = gathered(places, counts, collectives).argsort()
    order = order[everyone[order].argsort(descending=True, stable=True)]
    most = torch.full_like(order, round_half_up(fraction, len(everyone)))
    rank = torch.arange(len(everyone), device=scores.device)
    if groups is not None:
        _, group = gathered(groups, counts, collectives).unique(return_inverse=True)
        order = order[group[order].argsort(stable=True)]
        sizes = group.bincount()
        most = round_half_up(fraction, sizes)[group[order]]
        rank -= (sizes.cumsum(0) - sizes)[group[order]]

    kept = torch.zeros(len(everyone), dtype=torch.bool, device=scores.device)
    kept[order] = rank < most
    first = sum(counts[: collectives.rank])
    return kept[first : first + len(scores)]


def round_half_up(fraction: float, count: int | Tensor) -> int | Tensor:
    """Fraction of a count, or of counts, rounded to the nearest whole number, halves up.

    >>> round_half_up(0.5, 5)
    3
    """
    whole = fraction * count + 0.5
    return whole.floor().long() if isinstance(whole, Tensor) else int(whole)


def counts_of(values: Shaped[Tensor, " N"], collectives: Collectives) -> list[int]:
    """Number of values of every rank."""
    own = torch.tensor([len(values)], device=values.device)
    return collectives.all_gather(own).flatten().tolist()


def gathered(
    values: Shaped[Tensor, " N"], counts: list[int], collectives: Collectives
) -> Shaped[Tensor, " M"]:
    """What all ranks have, one after the other; `counts` are their `counts_of`."""
    padded = values.new_zeros(max(counts))
    padded[: len(values)] = values.detach()
    parts = zip(collectives.all_gather(padded), counts, strict=True)
    return torch.cat([theirs[:count] for theirs, count in parts])
