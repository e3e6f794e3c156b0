"""Frozen models of selective training: a run folder each, or a LoRA adapter (peft) on one.

Each is told apart by a digest of its contents: settings, rotary positions and every byte of every
weight, whatever its folder is called. A base that several adapters share is loaded once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.config import Config, ModelConfig, SequenceConfig, StageConfig
from omni_lab.config.differences import Difference, one_line
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.losses import again, read_manifest
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import hash_of
from omni_lab.errors import InputError, UsageError
from omni_lab.model.contents import digest_of, digest_of_files
from omni_lab.model.inputs import encoded_units, forward_batch
from omni_lab.model.loading import adapt_decoder, base_of
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.models import furthest, trained
from omni_lab.training.run import read_config
from omni_lab.training.selection.scores import NEEDS

MODELS = ("reference", "base", "prior")
LossesOf = Callable[[TrainingBatch, Tensor | None], list[Tensor]]
_OWN = ("settings", "vocabulary", "parts", "rope")  # of a model's config.json


class Located(NamedTuple):
    """Where a frozen model lies."""

    run: Path
    adapter: Path | None


@dataclass(frozen=True)
class Reads:
    """What a trainee's batches are written in: vocabulary, and sizes of what is seen and heard."""

    vocabulary: int  # tokens
    words: str | None  # hash of the vocabulary; None is not compared
    sequence: SequenceConfig
    model: ModelConfig

    @classmethod
    def of(cls, config: Config) -> Reads:
        """That of a configuration."""
        vocabulary = build_vocabulary(config)
        return cls(len(vocabulary), hash_of(vocabulary), config.sequence, config.model)

    def sizes(self) -> dict[str, float]:
        """Settings in which a frozen model must be as the trainee is, by dotted key."""
        sequence = ("unit_s", "frames_per_unit", "image_tokens", "audio_tokens")
        found = {f"sequence.{name}": getattr(self.sequence, name) for name in sequence}
        return found | {"model.image.size": self.model.image.size}


def located(path: str) -> Located:
    """Run folder of a frozen model and, where `path` is an adapter, the adapter.

    Raises
    ------
    InputError
        the adapter names no base
    """
    if Path(path).is_dir() and (base := base_of(path)):
        return Located(Path(base), Path(path))
    return Located(Path(path), None)


def digest_of_model(path: str) -> str:
    """Digest of a frozen model's contents, of its adapter too; no model is built.

    Raises
    ------
    InputError
        the folder is no run, has no checkpoint, or the adapter is not saved as safetensors
    """
    run, adapter = located(path)
    checkpoint = furthest(run)
    settings = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    own = {name: settings.get(name) for name in _OWN}
    found = digest_of([own, digest_of_files(sorted(checkpoint.glob("model*.safetensors")))])
    if adapter is None:
        return found
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise InputError(f"{adapter}: has no {weights.name}; save it as safetensors")
    shape = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    for around in ("base_model_name_or_path", "inference_mode", "peft_version"):
        shape.pop(around, None)
    return digest_of([found, shape, digest_of_files([weights])])


def open_models(
    paths: dict[str, str], reads: Reads, device: torch.device | str
) -> dict[str, LossesOf]:
    """Losses of a batch's labels under each of several frozen models, by name.

    Raises
    ------
    InputError
        one cannot be read, or reads other tokens than the trainee
    """
    opened: dict[Path, OmniModel] = {}
    adapted: set[Path] = set()
    out = {}
    for name, path in paths.items():
        run, adapter = located(path)
        # a model and one adapter on it share weights; a second adapter would count on top
        if run not in opened or (adapter and run in adapted):
            check_reads(run, reads)
            opened[run] = trained(run).to(device).requires_grad_(False)
        adapted |= {run} if adapter else set()
        out[name] = _switched(opened[run], adapter)
    return out


def check_reads(run: Path, reads: Reads) -> None:
    """Refuse a frozen model that reads other tokens than the trainee.

    Raises
    ------
    InputError
        vocabularies differ, or sizes of what is seen and heard
    """
    theirs = Reads.of(read_config(run))
    if theirs.vocabulary != reads.vocabulary:
        message = f"a vocabulary of {theirs.vocabulary} tokens, but the trainee has"
        right = "train the reference with the same tokenizer"
        raise InputError(f"{run}: {message} {reads.vocabulary}; {right}")
    if reads.words is not None and theirs.words != reads.words:
        message = f"another vocabulary than the trainee's, of {reads.vocabulary} tokens too"
        raise InputError(f"{run}: {message}; train the reference with the same tokenizer")
    here = reads.sizes()
    found = [Difference(n, value, here[n]) for n, value in theirs.sizes().items()]
    if other := [one for one in found if one.there != one.here]:
        right = "train the reference with the trainee's settings"
        raise InputError(f"{run}: reads other units: {one_line(other)}; {right}")


def check_models(stage: StageConfig) -> None:
    """Refuse models that `computed_models` does, and a table whose losses are of other models.

    That a table is of the very model that is named takes reading every weight, so it is asked once,
    before the first of all stages.

    Raises
    ------
    InputError
        a model that the rule needs is not named or not there, or the table is of another model
    UsageError
        the rule needs no losses that a table can have
    """
    computed = computed_models(stage)
    if stage.selection.table:
        tabled = read_manifest(Path(stage.selection.table), stage)["models"]
        for model in _needed(stage):
            if model not in computed:
                _check_same(stage, model, tabled[model])


def computed_models(stage: StageConfig) -> dict[str, str]:
    """Paths of the models whose losses a stage computes itself; its table has the others.

    Raises
    ------
    InputError
        a model that the rule needs is not named or not there
    UsageError
        the rule needs no losses that a table can have
    """
    settings, name = stage.selection, f"stage {stage.name}: selection"
    needed = _needed(stage)
    if settings.table and not needed:
        wrong = f"{name}.rule={settings.rule} reads no table: it needs no frozen model"
        raise UsageError(f"{wrong}; leave selection.table empty")
    tabled = read_manifest(Path(settings.table), stage)["models"] if settings.table else {}
    paths = {model: getattr(settings, model) for model in needed if model not in tabled}
    for model, path in paths.items():
        if not path:
            wrong = f"selection.rule={settings.rule} needs losses of {model}"
            raise InputError(f"{wrong}; set selection.{model} to a run folder")
        furthest(located(path).run)
    return paths


def _needed(stage: StageConfig) -> list[str]:
    """Frozen models that a stage's rule needs."""
    return [model for model in MODELS if model in NEEDS.get(stage.selection.rule, ())]


def _check_same(stage: StageConfig, model: str, tabled: dict[str, str]) -> None:
    """Refuse a table whose losses are those of another model than the one that is named."""
    path = getattr(stage.selection, model)
    if path and (found := digest_of_model(path)) != tabled["digest"]:
        there = f"{tabled['path']} ({tabled['digest']})"
        wrong = f"losses of {model} are those of {there}, but selection.{model} is"
        right = again(stage, stage.selection.table)
        raise InputError(f"{stage.selection.table}: {wrong} {path} ({found}); {right}")


def losses_of(
    model: OmniModel, batch: TrainingBatch, strength: Float[Tensor, "M M"] | None = None
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


def _switched(model: OmniModel, adapter: Path | None) -> LossesOf:
    """Losses of a batch under a model with an adapter on, or with all of its adapters off."""

    def losses(batch: TrainingBatch, strength: Tensor | None) -> list[Tensor]:
        decoder = model.decoder
        off = getattr(decoder, "disable_adapter", nullcontext) if adapter is None else nullcontext
        with torch.no_grad(), off():
            return losses_of(model, batch, strength)

    if adapter is not None:
        adapt_decoder(model, str(adapter), base_of(str(adapter)))
    return losses
