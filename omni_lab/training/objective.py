"""Training objective: cross-entropy on streams and captions, a contrastive loss that fades.

The means are over every supervised token of every process, however unevenly they are spread.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni_lab.data.batch import TrainingBatch
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.parallel.batch import ShardedBatch
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.contrastive import contrastive_loss
from omni_lab.training.optimizers import part_of


class Objective(nn.Module):
    """Loss of a step as one forward pass of one module, as data-parallel training needs it.

    Parameters
    ----------
    caption_weight : of captions beside streams at 1
    align_units : units of one moment of the contrastive loss
    """

    def __init__(self, model: OmniModel, caption_weight: float, align_units: int) -> None:
        super().__init__()
        self.model = model
        self.caption_weight, self.align_units = caption_weight, align_units

    def forward(
        self,
        batch: TrainingBatch,
        align_weight: float,
        counts: tuple[float, float],
        strength: Float[Tensor, "M M"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Losses of a batch in nats per supervised token, and their weighted sum as `loss`.

        Parameters
        ----------
        align_weight : of the contrastive loss at this step
        counts : supervised tokens of streams and captions, mean over all processes
        strength : of attention between modalities at this step
        """
        model, streams = self.model, batch.streams
        # units are encoded once, for streams and for the captions that point into them
        seen = model.see(streams.frames) if len(streams.frames) else batch.seen
        heard = model.hear(streams.waves) if len(streams.waves) else None
        output = forward_batch(model, streams, seen, heard, strength)
        parts = {"stream": output.losses.sum() / (counts[0] or 1.0)}  # 0 labels teach nothing
        loss = parts["stream"]

        parts["caption"] = loss * 0  # a process without captions reports what the others report
        if batch.captions is not None:
            captions = forward_batch(model, batch.captions, seen, heard, strength)
            parts["caption"] = captions.losses.sum() / (counts[1] or 1.0)
        loss = loss + self.caption_weight * parts["caption"]

        if align_weight > 0:
            embeddings = output.embeddings
            parts["align"] = contrastive_loss(model, embeddings, streams, self.align_units)
            loss = loss + align_weight * parts["align"]
        if isinstance(streams, ShardedBatch):
            loss = loss + self._untouched()
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def _untouched(self) -> Float[Tensor, ""]:
        """Zero, by way of a trained weight: a rank without tokens of what trains takes part too.

        Data-parallel training sums gradients once some weight of a process has got its gradient;
        the others would wait.
        """
        trained = (
            p for name, p in self.named_parameters() if p.requires_grad and part_of(name) != "align"
        )
        return next(trained).flatten()[0] * 0


def supervised(batch: TrainingBatch) -> Float[Tensor, " 2"]:
    """Number of supervised tokens of streams and captions in this process."""
    captions = torch.tensor(0)
    if batch.captions is not None:
        captions = (batch.captions.labels != IGNORED).sum()
    return torch.stack([(batch.streams.labels != IGNORED).sum(), captions]).float()
