"""Contrastive loss (InfoNCE) between image, audio and text of the same moment (CLIP, section 2.3).

Glossary: B batch · T tokens · D decoder width · moments: groups of units that have all modalities.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, TEXT_KIND

KINDS = {"image": IMAGE_KIND, "audio": AUDIO_KIND, "text": TEXT_KIND}
PAIRS = (("image", "text"), ("audio", "text"), ("image", "audio"))


def pooled(
    model: OmniModel, embeddings: Float[Tensor, "B T D"], batch: Batch, units: int
) -> tuple[dict[str, Float[Tensor, "moments D"]], Bool[Tensor, " groups"]]:
    """Unit vector per modality of every group of `units` units with all three, and which these are.

    Parameters
    ----------
    embeddings : what entered the decoder
    """
    per_row = int(batch.unit.max()) // units + 1
    rows = torch.arange(len(batch.unit), device=batch.unit.device)[:, None]
    group = rows * per_row + batch.unit // units

    vectors, complete = {}, None
    for name, kind in KINDS.items():
        here = batch.kind == kind
        total = embeddings.new_zeros(len(batch.unit) * per_row, embeddings.shape[-1])
        states = F.gelu(model.align[name](embeddings[here])).to(total.dtype)
        total = total.index_add(0, group[here], states)
        has = torch.zeros(len(total), dtype=torch.bool, device=total.device)
        has[group[here]] = True
        complete = has if complete is None else complete & has
        vectors[name] = F.normalize(total, dim=-1)
    return {name: states[complete] for name, states in vectors.items()}, complete


def contrastive_loss(
    model: OmniModel, embeddings: Float[Tensor, "B T D"], batch: Batch, units: int
) -> Float[Tensor, ""]:
    """InfoNCE, mean of the three pairs of modalities; zero where no moment has all three."""
    vectors, complete = pooled(model, embeddings, batch, units)
    if not complete.any():  # the mean over nothing would be NaN
        return embeddings.sum() * 0

    here = torch.arange(len(vectors["text"]), device=embeddings.device)
    scale = model.align_scale.exp().clamp(max=100)
    losses = []
    for a, b in PAIRS:
        similarity = scale * vectors[a] @ vectors[b].T
        both = F.cross_entropy(similarity, here) + F.cross_entropy(similarity.T, here)
        losses.append(both / 2)
    return torch.stack(losses).mean()
