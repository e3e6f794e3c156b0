"""Reference models of selective training: per-token losses under frozen models.

Each is computed on the fly, before a step, unless the data bring it along (a side table, read into
`Targets.known`). A reference is a run folder, or a LoRA adapter on one (peft), whose base is
loaded once for both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from omni_lab.config import SelectionConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.errors import InputError, typed
from omni_lab.model.inputs import encoded_units, forward_batch
from omni_lab.model.loading import adapt, base_of
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.training.models import trained
from omni_lab.training.selection.scores import NEEDS

MODELS = ("reference", "base", "prior")
GREY = 128


class References:
    """Models that a rule's score needs beside the trainee, and their losses of a batch's labels.

    Parameters
    ----------
    settings : rule, and where its models lie
    trainee : whose vocabulary they must have

    Raises
    ------
    InputError
        a model that the rule needs is not named, cannot be read, or has another vocabulary
    """

    def __init__(self, settings: SelectionConfig, trainee: OmniModel) -> None:
        needed = NEEDS.get(settings.rule, ())
        self.blind, self.trainee = "blind" in needed, trainee
        self.models: dict[str, Callable[..., object]] = {}
        opened: dict[Path, OmniModel] = {}
        for name in MODELS:
            if name in needed:
                self.models[name] = self._open(name, getattr(settings, name), settings, opened)

    def _open(self, name: str, path: str, settings: SelectionConfig, opened: dict) -> Callable:
        if not path:
            right = f"set selection.{name} to a run folder"
            raise InputError(f"selection.rule={settings.rule} needs losses of {name}; {right}")
        folder, adapter = Path(path), None
        if folder.is_dir() and (base := base_of(path)):
            folder, adapter = Path(base), folder
        if folder not in opened:
            opened[folder] = self._checked(folder)
        return _switched(opened[folder], adapter)

    def _checked(self, folder: Path) -> OmniModel:
        model = trained(folder).to(self.trainee.device).requires_grad_(False)
        theirs, ours = model.config.vocabulary, self.trainee.config.vocabulary
        if theirs != ours:
            message = f"a vocabulary of {theirs} tokens, but the trainee has {ours}"
            raise InputError(f"{folder}: {message}; train the reference with the same tokenizer")
        return model

    @torch.no_grad()
    def add(
        self, batch: TrainingBatch, strength: Float32[Tensor, "M M"] | None = None
    ) -> TrainingBatch:
        """The same batch with the losses that are missing, each a column of its targets."""
        missing = [name for name in self.models if not _has(batch, name)]
        found = {name: self.models[name](batch, strength) for name in missing}
        if self.blind and not _has(batch, "blind"):
            self.trainee.eval()
            found["blind"] = losses_of(self.trainee, without_pictures(batch), strength)
            self.trainee.train()
        return with_known(batch, found)


def _has(batch: TrainingBatch, name: str) -> bool:
    rows = (batch.streams, batch.captions)
    return all(name in one.targets.known for one in rows if one is not None)


def losses_of(
    model: OmniModel, batch: TrainingBatch, strength: Float32[Tensor, "M M"] | None = None
) -> list[Float[Tensor, "B T"]]:
    """Losses of a batch's labels under a model, of streams and of captions, NaN elsewhere."""
    seen, heard = encoded_units(model, batch)
    out = []
    for rows in (batch.streams, batch.captions):
        if rows is not None:
            losses = forward_batch(model, rows, seen, heard, strength).losses
            placed = losses.new_full(rows.labels.shape, torch.nan)
            out.append(placed.masked_scatter(rows.labels != IGNORED, losses))
    return out


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


def _switched(model: OmniModel, adapter: Path | None) -> Callable:
    """Losses of a batch under a model with an adapter on, or with all of its adapters off."""

    def losses(batch: TrainingBatch, strength: Tensor | None) -> list[Tensor]:
        decoder = model.decoder
        off = getattr(decoder, "disable_adapter", nullcontext) if adapter is None else nullcontext
        with off():
            return losses_of(model, batch, strength)

    if adapter is not None:
        with typed(f"{adapter}: no adapter of this base"):
            model.decoder.name_or_path = base_of(str(adapter))  # peft compares them
            model.decoder = adapt(model.decoder, str(adapter))
    return losses
