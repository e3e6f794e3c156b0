"""Cross-modal retrieval: recall@k between image, audio and text of the same moment.

Given what one sense carried in a moment, find the same moment in another sense.

Glossary: D decoder width · moments: groups of units that have all modalities.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.model.inputs import embed_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.training.losses.contrastive import pooled

SENSES = ("image", "audio", "text")


@torch.no_grad()
def moments(
    model: OmniModel, batches: list[Batch], units: int
) -> dict[str, Float[Tensor, "moments D"]]:
    """Contrastive (alignment) vectors per modality, of every moment that has all three modalities.

    Parameters
    ----------
    units : units of the omni stream in one moment
    """
    found: dict[str, list[Tensor]] = {sense: [] for sense in SENSES}
    for batch in batches:
        batch = batch.to(model.device)
        for sense, states in pooled(model, embed_batch(model, batch), batch, units)[0].items():
            found[sense].append(states)
    return {sense: torch.cat(states) for sense, states in found.items()}


def recall(
    query: Float[Tensor, "moments D"], candidates: Float[Tensor, "moments D"], k: int
) -> Float[Tensor, " moments"]:
    """Recall@k of every query: 1 where its own moment is among its k nearest candidates, else 0.

    Row i of `query` belongs to row i of `candidates`. A tie counts against the query.
    """
    scores = query @ candidates.T
    own = scores.diagonal()[:, None]
    # ties count against, else a collapsed model, whose vectors are all alike, looks perfect
    ahead = (scores > own).sum(1) + ((scores == own).sum(1) - 1)
    return (ahead < k).float()


def retrieval_scores(vectors: dict[str, Float[Tensor, "moments D"]], limit: int) -> dict[str, dict]:
    """Recall@1 and recall@5 in all six directions among the first `limit` moments, with chance.

    Returns
    -------
    scores : `<from>_to_<to>` → `r1`, `r5`, `chance` (of `r1`), `n` (candidates), and the 95 %
        interval `low`, `high` of `r1`
    """
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
