"""Cross-modal retrieval: given what one sense carried in a moment, find the moment in another sense."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.model.inputs import embed_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.training.contrastive import pooled

SENSES = ("image", "audio", "text")


@torch.no_grad()
def moments(model: OmniModel, batches: list[Batch], units: int) -> dict[str, Float[Tensor, "moments D"]]:
    """Alignment vectors of every moment (`units` units) that has all three senses."""
    found: dict[str, list[Tensor]] = {sense: [] for sense in SENSES}
    for batch in batches:
        batch = batch.to(model.device)
        for sense, states in pooled(model, embed_batch(model, batch), batch, units)[0].items():
            found[sense].append(states)
    return {sense: torch.cat(states) for sense, states in found.items()}


def recall(
    query: Float[Tensor, "moments D"], candidates: Float[Tensor, "moments D"], k: int
) -> Float[Tensor, " moments"]:
    """1 where a query's own moment is among its k nearest candidates, else 0."""
    scores = query @ candidates.T
    own = scores.diagonal()[:, None]
    ahead = (scores > own).sum(1) + ((scores == own).sum(1) - 1)  # a tie counts against
    return (ahead < k).float()


def retrieval(vectors: dict[str, Float[Tensor, "moments D"]], limit: int) -> dict[str, dict]:
    """Recall at 1 and 5 in all six directions among the first `limit` moments, with the chance level."""
    from omni_lab.evaluation.intervals import wilson

    scores = {}
    for a, b in itertools.permutations(SENSES, 2):
        query, candidates = vectors[a][:limit], vectors[b][:limit]
        hits = recall(query, candidates, 1)
        low, high = wilson(int(hits.sum()), len(hits))
        scores[f"{a}_to_{b}"] = {
            "r1": float(hits.mean()), "r5": float(recall(query, candidates, 5).mean()),
            "chance": 1 / len(hits), "n": len(hits), "low": low, "high": high,
        }  # fmt: skip
    return scores
