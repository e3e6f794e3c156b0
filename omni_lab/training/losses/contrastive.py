"""Contrastive loss (InfoNCE) of image, audio and text of the same moment, in six directions (CLIP, section 2.3).

Under data parallelism the negatives are the moments of every process, as one process would have
them.

Glossary: B batch · T tokens · D decoder width · moments: groups of units that have all modalities.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, TEXT_KIND

KINDS = {"image": IMAGE_KIND, "audio": AUDIO_KIND, "text": TEXT_KIND}
# loss from one modality to another and back, by pair
Directions = dict[tuple[str, str], tuple[Float[Tensor, ""], Float[Tensor, ""]]]
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


def contrastive_losses(
    model: OmniModel, embeddings: Float[Tensor, "B T D"], batch: Batch, units: int
) -> Directions:
    """InfoNCE of every pair of modalities, there and back; zeros where no moment has all three."""
    local, _ = pooled(model, embeddings, batch, units)
    vectors = dict(zip(local, of_all_processes(torch.stack([*local.values()])), strict=True))
    moments = len(vectors["text"])
    if not moments:  # the mean over nothing would be NaN
        return dict.fromkeys(PAIRS, (embeddings.sum() * 0, embeddings.sum() * 0))

    here = torch.arange(moments, device=embeddings.device)
    scale = model.align_scale.exp().clamp(max=100)
    losses = {}
    for a, b in PAIRS:
        similarity = scale * vectors[a] @ vectors[b].T
        losses[a, b] = F.cross_entropy(similarity, here), F.cross_entropy(similarity.T, here)
    return losses


def contrastive_loss(
    model: OmniModel, embeddings: Float[Tensor, "B T D"], batch: Batch, units: int
) -> Float[Tensor, ""]:
    """InfoNCE, mean of the six directions; zero where no moment has all three modalities."""
    return mean_of(contrastive_losses(model, embeddings, batch, units))


def mean_of(pairs: Directions) -> Float[Tensor, ""]:
    """Mean over pairs of modalities, there and back."""
    return torch.stack([(there + back) / 2 for there, back in pairs.values()]).mean()


def of_all_processes(
    vectors: Float[Tensor, "modalities moments D"],
) -> Float[Tensor, "modalities all_moments D"]:
    """Vectors of every process's moments, in rank order, with gradients back to where they are from.

    Each process then has the loss of all of them, and the mean of their gradients, which
    data-parallel training takes, is the gradient of that loss.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return vectors
    count = torch.tensor([vectors.shape[1]], device=vectors.device)
    counts = _stacked(count).flatten().tolist()

    # processes have unequal numbers of moments, and a collective wants equal shapes
    padded = F.pad(vectors, (0, 0, 0, max(counts) - vectors.shape[1]))
    gathered = _AllGather.apply(padded)
    return torch.cat([part[:, :n] for part, n in zip(gathered, counts, strict=True)], dim=1)


def _stacked(tensor: Tensor) -> Tensor:
    """Tensors of one shape from all processes, along a new first axis in rank order."""
    gathered = tensor.new_empty((dist.get_world_size(), *tensor.shape))
    dist.all_gather(list(gathered), tensor.contiguous())
    return gathered


class _AllGather(torch.autograd.Function):
    """All-gather with gradients: its backward is a reduce-scatter, written as an all-reduce."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _stacked(tensor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]
