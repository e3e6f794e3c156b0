"""The loss of a step: answers, captions, and alignment that fades as generation takes over."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni_lab.data.batch import TrainingBatch
from omni_lab.model.omni import OmniModel
from omni_lab.parallel.batch import Shard
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.optimizers import part_of


class Objective(nn.Module):
    """Wraps the model so that everything a step computes is one forward pass (as data parallel training needs)."""

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

        `counts` are the supervised tokens of streams and captions per process, averaged over all of them: the mean is
        then over every token of every process, however unevenly they are spread. `strength` is how strongly modalities
        interact at this step.
        """
        seen = self.model.see(batch.streams) if len(batch.streams.frames) else batch.seen
        heard = self.model.hear(batch.streams) if len(batch.streams.waves) else None
        output = self.model(batch.streams, seen, heard, strength)
        parts = {
            "stream": output.losses.sum() / (counts[0] or 1.0)
        }  # a step without labels teaches nothing
        loss = parts["stream"]
        parts["caption"] = loss * 0  # a process without captions reports what the others report
        if batch.captions is not None:
            parts["caption"] = self.model(batch.captions, seen, heard, strength).losses.sum() / (
                counts[1] or 1.0
            )
        loss = loss + self.caption_weight * parts["caption"]
        if align_weight > 0:
            parts["align"] = self.model.alignment_loss(
                output.embeddings, batch.streams, self.align_units
            )
            loss = loss + align_weight * parts["align"]
        if isinstance(batch.streams, Shard):
            loss = loss + self._untouched()
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def _untouched(self) -> Float[Tensor, ""]:
        """Zero, by way of a weight that is trained: a rank that holds no tokens of what is trained takes part too.

        Data parallel training sums gradients once some weight of a process has got its own; the others would wait.
        """
        trained = (
            p for name, p in self.named_parameters() if p.requires_grad and part_of(name) != "align"
        )
        return next(trained).flatten()[0] * 0


def supervised(batch: TrainingBatch) -> torch.Tensor:
    """Supervised tokens of streams and captions in this process."""
    captions = (
        (batch.captions.labels != IGNORED).sum() if batch.captions is not None else torch.tensor(0)
    )
    return torch.stack([(batch.streams.labels != IGNORED).sum(), captions]).float()
