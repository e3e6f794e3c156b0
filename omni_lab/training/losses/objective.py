"""Training objective: cross-entropy on streams and captions, a contrastive loss that fades.

The means are over every supervised token of every process, however unevenly they are spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni_lab.config import StageConfig, TrainingConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.model.inputs import encoded_units, forward_batch
from omni_lab.model.omni import Chooser, OmniModel, OmniOutput
from omni_lab.parallel.batch import ShardedBatch
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.training.losses.contrastive import contrastive_losses, mean_of
from omni_lab.training.losses.groups import token_weights
from omni_lab.training.optimizers import choose_trained, part_of
from omni_lab.training.processes import Processes
from omni_lab.training.selection.selection import Selection


class Objective(nn.Module):
    """Loss of a step as one forward pass of one module, as data-parallel training needs it.

    Parameters
    ----------
    align_units : units of one moment of the contrastive loss
    selection : of tokens that are worth learning from; None is all
    """

    def __init__(
        self, model: OmniModel, align_units: int, selection: Selection | None = None
    ) -> None:
        super().__init__()
        self.model, self.align_units, self.selection = model, align_units, selection

    def forward(
        self,
        batch: TrainingBatch,
        weights: Mapping[str, float],
        counts: tuple[float, float],
        strength: Float[Tensor, "M M"] | None = None,
        by_sense: Float[Tensor, " senses"] | None = None,
    ) -> dict[str, Any]:
        """Losses of a batch in nats per supervised token, and their weighted sum as `loss`.

        Parameters
        ----------
        weights : of the losses on streams (`stream`), on captions (`caption`) and of the
            contrastive loss (`align`) at this step
        counts : tokens of streams and captions that have a loss, mean over all processes
        strength : of attention between modalities at this step
        by_sense : weight of a token's loss by the sense that carries it; None is 1

        Returns
        -------
        losses : `loss`, which has the gradient; its `parts`; `tokens`, the loss of every
            supervised token of streams and of captions; which of them were `kept`; `directions`
            of the contrastive loss
        """
        model, streams = self.model, batch.streams
        seen, heard = encoded_units(model, batch)
        output = forward_batch(model, streams, seen, heard, strength, self._chooser(streams))
        # 0 labels teach nothing
        parts = {"stream": _kept_sum(output) / (counts[0] or 1.0)}
        loss = weights["stream"] * _weighed(output, streams, by_sense) / (counts[0] or 1.0)
        tokens, kept, directions = [output.losses.detach()], [output.kept], {}

        parts["caption"] = loss * 0  # a process without captions reports what the others report
        if batch.captions is not None:
            choose = self._chooser(batch.captions)
            captions = forward_batch(model, batch.captions, seen, heard, strength, choose)
            parts["caption"] = _kept_sum(captions) / (counts[1] or 1.0)
            weighed = _weighed(captions, batch.captions, by_sense) / (counts[1] or 1.0)
            loss = loss + weights["caption"] * weighed
            tokens.append(captions.losses.detach())
            kept.append(captions.kept)

        if weights["align"] > 0:
            pairs = contrastive_losses(model, output.embeddings, streams, self.align_units)
            parts["align"] = mean_of(pairs)
            loss = loss + weights["align"] * parts["align"]
            for (one, other), (there, back) in pairs.items():
                directions |= {f"{one}_to_{other}": there.detach()}
                directions |= {f"{other}_to_{one}": back.detach()}
        if isinstance(streams, ShardedBatch):
            loss = loss + self._untouched()
        parts = {name: value.detach() for name, value in parts.items()}
        return {
            "loss": loss, "parts": parts, "tokens": tokens, "kept": kept,
            "directions": directions,
        }  # fmt: skip

    def _chooser(self, rows: Batch) -> Chooser | None:
        return self.selection and self.selection.chooser(rows)

    def _untouched(self) -> Float[Tensor, ""]:
        """Zero, by way of a trained weight: a rank without tokens of what trains takes part too.

        Data-parallel training sums gradients once some weight of a process has got its gradient;
        the others would wait.
        """
        trained = (
            p for name, p in self.named_parameters() if p.requires_grad and part_of(name) != "align"
        )
        return next(trained).flatten()[0] * 0


def _kept_sum(output: OmniOutput) -> Float[Tensor, ""]:
    """Sum of the losses of the tokens that are kept."""
    return (output.losses if output.kept is None else output.losses[output.kept]).sum()


def _weighed(
    output: OmniOutput, rows: Batch, by_sense: Float[Tensor, " senses"] | None
) -> Float[Tensor, ""]:
    """The same sum, each loss with the weight of its token's sense."""
    if by_sense is None:
        return _kept_sum(output)
    return _kept_sum(replace(output, losses=output.losses * token_weights(rows, by_sense)))


def stage_objective(
    model: OmniModel,
    settings: TrainingConfig,
    stage: StageConfig,
    processes: Processes | None = None,
) -> Objective:
    """Objective of a stage, with those parts of the model set to learn that the stage trains.

    Parameters
    ----------
    processes : that train together, where tokens are selected over several; None is this one
    """
    chosen = stage.selection.rule != "none"
    selection = Selection(stage, processes) if chosen else None
    objective = Objective(model, settings.align_units, selection)
    choose_trained(objective, stage)
    return objective


def scalars(losses: Mapping[str, Any]) -> dict[str, Tensor]:
    """The loss and its parts, of all that an objective gives."""
    return {"loss": losses["loss"], **losses["parts"]}


def supervised(batch: TrainingBatch, selection: Selection | None = None) -> Float[Tensor, " 2"]:
    """Number of tokens of streams and captions in this process that have a loss."""

    def count(rows: Batch | None) -> float:
        if rows is None:
            return 0.0
        return selection.counts(rows) if selection else float((rows.labels != IGNORED).sum())

    return torch.tensor([count(batch.streams), count(batch.captions)])
