"""Scores of text tokens for selective training, all behind one function: the highest are kept.

A caption's tokens are of three types: 1 says what the picture shows, 2 follows from the words
before, 3 contradicts the picture. The published sentence on selective visual language modelling
(OmChat, Zhao et al. 2024) ranks them by the difference between training and reference loss and does
not say which end is kept. Both readings can be right: E = L − L_ref of a type-3 token is *lowest*
while the trainee is weaker than the reference, which is surprised while the trainee is still
surprised by everything; and *highest* once the trainee is the stronger of the two. So Rho-1 (Lin et
al. 2024) keeps the highest E of models that begin weak, and ssToken the lowest of models that
overtake their own past. But to turn the sign is no cure: a trainee that knows better than its
reference is best left alone, which is what `switch` does.

Glossary: N text tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.parallel.collectives import Collectives
from omni_lab.training.selection.top import counts_of, gathered

TRAIN = "train"  # the trainee's loss at this step
RIGHT = "right"  # whether a token is true, where the world knows: 1 or 0
NEEDS: dict[str, tuple[str, ...]] = {  # losses of a token that each rule's score is made of
    "random": ("random",),
    "loss": (TRAIN,),
    "reference": ("reference",),
    "excess": (TRAIN, "reference"),
    "static": ("base", "reference"),
    "history": (TRAIN, "base"),
    "visual": (TRAIN, "blind"),
    "prior": ("prior",),
    "switch": (TRAIN, "reference", "random"),
    "oracle": (RIGHT,),
}


def score(
    rule: str,
    losses: Mapping[str, Float[Tensor, " N"]],
    weight: float = 1.0,
    together: Collectives | None = None,
) -> Float[Tensor, " N"]:
    """Score of every text token under a rule.

    `random`: a number drawn at random. `loss`: L. `reference`: −L_ref. `excess`: L − λ · L_ref
    (Rho-1; λ = 2 drops type 3 whichever model is stronger). `static`: L_base − L_ref, of weights
    that do not move (Token Cleaning, Pang et al. 2025). `history`: L_base − L, what the trainee has
    learned since (ssToken, Qin et al. 2025). `visual`: L without the picture − L (visual information
    gain). `prior`: loss of a model of text alone (PRIOR). `switch`: excess while the reference tells
    tokens apart better than the trainee does, by their `separability`, and random from then on.
    `oracle`: 1 where the world knows that the token is true.

    Parameters
    ----------
    losses : by name, those of `NEEDS[rule]`, nats
    weight : λ
    together : ranks that share the tokens, who ask together; None is this one alone
    """
    given = [losses[name] for name in NEEDS[rule]]
    if rule == "switch":
        train, reference, random = given
        ours, theirs = (separability(own, together) for own in (train, reference))
        return train - weight * reference if theirs >= ours else random
    if rule == "reference":
        return -given[0]
    if rule == "excess":
        return given[0] - weight * given[1]
    if rule == "static":
        return given[0] - given[1]
    if rule in ("history", "visual"):
        return given[1] - given[0]
    return given[0]


def separability(losses: Float[Tensor, " N"], together: Collectives | None = None) -> float:
    """Separability of losses into low and high ones, 0 to 1, over the tokens of all ranks.

    The largest fraction of their variance that lies between two groups, whatever the threshold
    (Otsu 1979): 1 where there are two values, .64 for a Gaussian. A model that knows which tokens
    are wrong has two groups of losses; one that knows nothing yet, or has learned all by heart, has
    one. So it tells which of two models knows better, from their losses alone.
    """
    together = together or Collectives(alone=True)
    every = gathered(losses, counts_of(losses, together), together).double().sort().values
    count, total = len(every), every.sum()
    variance = every.var(correction=0) if count else total
    if variance < 1e-12:
        return 0.0
    low = torch.arange(1, count, device=every.device).double()  # tokens below the threshold
    sums = every.cumsum(0)[:-1]
    apart = sums / low - (total - sums) / (count - low)
    return float((low * (count - low) / count**2 * apart**2).max() / variance)


def random_scores(rows: int, tokens: int, seeds: list[int]) -> Float[Tensor, "rows tokens"]:
    """Uniform scores of rows of tokens, each row from a seed of its own."""
    out = torch.empty(rows, tokens)
    for row, seed in zip(out, seeds, strict=True):
        row.uniform_(generator=torch.Generator().manual_seed(seed))
    return out
