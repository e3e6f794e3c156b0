"""Scores of text tokens for selective training, all behind one function: the highest are kept.

A caption's tokens are of three types: 1 says what the picture shows, 2 follows from the words
before, 3 contradicts the picture. The published sentence on selective visual language modelling
(OmChat, Zhao et al. 2024) ranks them by the difference between training and reference loss and does
not say which end is kept. Both readings can be right: E = L − L_ref of a type-3 token is *lowest*
while the trainee is weaker than the reference, which is surprised while the trainee is still
surprised by everything; and *highest* once the trainee is the stronger of the two. So Rho-1 (Lin et
al. 2024) keeps the highest E of models that begin weak, and ssToken the lowest of models that
overtake their own past.

Glossary: N text tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.parallel.collectives import Collectives

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
    "switch": (TRAIN, "reference"),
    "oracle": (RIGHT,),
}


def score(
    rule: str, losses: Mapping[str, Float[Tensor, " N"]], weight: float = 1.0
) -> Float[Tensor, " N"]:
    """Score of every text token under a rule.

    `random`: a number drawn at random. `loss`: L. `reference`: −L_ref. `excess`: L − λ · L_ref
    (Rho-1; λ = 2 drops type 3 whichever model is stronger). `static`: L_base − L_ref, of weights
    that do not move (Token Cleaning, Pang et al. 2025). `history`: L_base − L, what the trainee has
    learned since (ssToken, Qin et al. 2025). `visual`: L without the picture − L (visual information
    gain). `prior`: loss of a model of text alone (PRIOR). `switch`: excess with λ = 1 + `slope`.
    `oracle`: 1 where the world knows that the token is true.

    Parameters
    ----------
    losses : by name, those of `NEEDS[rule]`, nats
    weight : λ
    """
    given = [losses[name] for name in NEEDS[rule]]
    if rule == "reference":
        return -given[0]
    if rule in ("excess", "switch"):
        return given[0] - weight * given[1]
    if rule == "static":
        return given[0] - given[1]
    if rule in ("history", "visual"):
        return given[1] - given[0]
    return given[0]


def slope(
    train: Float[Tensor, " N"], reference: Float[Tensor, " N"], together: Collectives
) -> float:
    """Slope of L on L_ref over the tokens of all ranks: how strong a trainee is, from its losses.

    Where the reference is surprised, a weak trainee is no more surprised than elsewhere (0), one as
    strong as much (1), a stronger one more (above 1). So E = L − L_ref falls with L_ref where the
    slope is below 1, and rises where it is above: there its sign turns. L − slope · L_ref is what
    the reference does not explain, and so what is left to be learned; L_ref is how wrong a token
    is. The rule `switch` takes one minus the other, L − (1 + slope) · L_ref: where the trainee is
    weak that is E, and where it is strong it keeps the lowest L_ref.
    """
    pair = torch.stack([torch.ones_like(reference), reference, train]).double()
    moments = together.all_gather(pair @ pair.T).sum(0)
    count, of_reference, of_train = moments[0]
    if count < 2:
        return 0.0
    variance = moments[1, 1] - of_reference**2 / count
    covariance = moments[1, 2] - of_reference * of_train / count
    return max(0.0, float(covariance / variance)) if variance > 1e-12 else 0.0


def random_scores(rows: int, tokens: int, seeds: list[int]) -> Float[Tensor, "rows tokens"]:
    """Uniform scores of rows of tokens, each row from a seed of its own."""
    out = torch.empty(rows, tokens)
    for row, seed in zip(out, seeds, strict=True):
        row.uniform_(generator=torch.Generator().manual_seed(seed))
    return out
