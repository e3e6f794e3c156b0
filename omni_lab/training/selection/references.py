"""Reference losses of a batch: those that a side table brought along, and the others computed.

What is computed is computed before a step, under frozen models; of the rule `visual` also under the
trainee itself, which is shown grey.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float32
from torch import Tensor

from omni_lab.config import StageConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.sources import no_table
from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.training.selection.frozen import (
    MODELS,
    Reads,
    computed_models,
    losses_of,
    open_models,
)
from omni_lab.training.selection.scores import NEEDS

GREY = 128


class References:
    """Models that a rule's score needs beside the trainee, and their losses of a batch's labels.

    Parameters
    ----------
    stage : rule, where its models lie, and the table that holds losses of some of them
    trainee : whose tokens they must read
    words : hash of the trainee's vocabulary; None compares its size alone

    Raises
    ------
    InputError
        a model that the rule needs is not named, cannot be read, or reads other tokens
    """

    def __init__(self, stage: StageConfig, trainee: OmniModel, words: str | None = None) -> None:
        needed = NEEDS.get(stage.selection.rule, ())
        self.stage, self.trainee, self.blind = stage, trainee, "blind" in needed
        self._paths = computed_models(stage)
        self._tabled = [name for name in MODELS if name in needed and name not in self._paths]
        vocabulary, sequence = trainee.config.vocabulary, trainee.sequence_settings
        reads = Reads(vocabulary, words, sequence, trainee.model_settings)
        self.models = open_models(self._paths, reads, trainee.device)

    @torch.no_grad()
    def add(
        self, batch: TrainingBatch, strength: Float32[Tensor, "M M"] | None = None
    ) -> TrainingBatch:
        """The same batch with the losses that are missing, each a column of its targets.

        Raises
        ------
        InputError
            a model's loss is no finite number
        UsageError
            a table has the losses of these data, and the data do not bring them along
        """
        if not all(_has(batch, name) for name in self._tabled):
            raise no_table(self.stage)
        missing = [name for name in self.models if not _has(batch, name)]
        found = {name: self.models[name](batch, strength) for name in missing}
        for name, columns in found.items():
            self._check_finite(name, batch, columns)
        if self.blind and not _has(batch, "blind"):
            self.trainee.eval()
            found["blind"] = losses_of(self.trainee, without_pictures(batch), strength)
            self.trainee.train()
        return with_known(batch, found)

    def _check_finite(self, name: str, batch: TrainingBatch, columns: list[Tensor]) -> None:
        rows = [one for one in (batch.streams, batch.captions) if one is not None]
        for one, losses in zip(rows, columns, strict=True):
            if not losses[one.labels != IGNORED].isfinite().all():
                wrong = f"losses of {name} are not finite: its training diverged, or it is damaged"
                raise InputError(f"{self._paths[name]}: {wrong}; name another in selection.{name}")


def _has(batch: TrainingBatch, name: str) -> bool:
    rows = (batch.streams, batch.captions)
    return all(name in one.targets.known for one in rows if one is not None)


def with_known(batch: TrainingBatch, found: dict[str, list[Tensor]]) -> TrainingBatch:
    """The same batch with columns of its targets, of streams and of captions, by name."""

    def told(rows: Batch, at: int) -> Batch:
        known = rows.targets.known | {name: columns[at] for name, columns in found.items()}
        return replace(rows, targets=replace(rows.targets, known=known))

    captions = batch.captions and told(batch.captions, 1)
    return replace(batch, streams=told(batch.streams, 0), captions=captions)


def without_pictures(batch: TrainingBatch) -> TrainingBatch:
    """The same batch with grey in place of every picture."""
    grey = torch.full_like(batch.streams.frames, GREY)
    seen = None if batch.seen is None else torch.zeros_like(batch.seen)
    return replace(batch, streams=replace(batch.streams, frames=grey), seen=seen)
