"""Muon for matrices, AdamW for the rest, or AdamW alone; which parts train, and how fast each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from omni_lab.config import StageConfig, TrainingConfig
from omni_lab.training.muon import Muon

_NO_MUON = ("embed", "place", "lm_head")  # matrices that words or positions enter or leave by
_MODALITIES = {
    "image": ("image", "connector.image", "align.image"),
    "audio": ("audio", "connector.audio", "align.audio"),
    "text": ("decoder", "align.text"),
}


def _plain(name: str) -> str:
    """Name of a parameter as the model has it, wrapped or not."""
    name = name.removeprefix("module.").removeprefix("model.")
    return name.replace("align_scale", "align.scale")


def part_of(name: str) -> str:
    """Which part of the model a parameter belongs to: image, audio, connector, align or decoder."""
    return _plain(name).split(".")[0]


def belongs(name: str, part: str) -> bool:
    """Whether a parameter is of a part, such as `connector` or `connector.image`.

    >>> belongs("module.model.connector.image.project.weight", "connector.image")
    True
    """
    plain = _plain(name)
    return plain == part or plain.startswith(f"{part}.")


def modality_of(name: str) -> str:
    """Modality whose part of the model a parameter is in: image, audio or text; else empty.

    A modality's part is its encoder and its connector; text has the decoder.
    """
    for modality, parts in _MODALITIES.items():
        if any(belongs(name, part) for part in parts):
            return modality
    return ""


def rates_of(stage: StageConfig) -> dict[str, float]:
    """Multiples of the learning rate by part, as `stage.rates` has them.

    >>> rates_of(StageConfig(rates=("image=0.5", "connector=2")))
    {'image': 0.5, 'connector': 2.0}
    """
    pairs = (spec.split("=") for spec in stage.rates)
    return {part: float(multiple) for part, multiple in pairs}


def rate_of(name: str, rates: Mapping[str, float]) -> float:
    """Multiple of the learning rate of a parameter; the narrowest part that names it decides."""
    parts = [part for part in rates if belongs(name, part)]
    return rates[max(parts, key=len)] if parts else 1.0


def trains(name: str, stage: StageConfig) -> bool:
    """Whether a parameter learns in a stage: its part does, at a rate above 0.

    The alignment heads learn whenever they are used.
    """
    chosen = any(belongs(name, part) for part in (*stage.train, "align"))
    return chosen and rate_of(name, rates_of(stage)) * stage.lr_scale > 0


def choose_trained(model: nn.Module, stage: StageConfig) -> None:
    """Let only the parts of a stage learn; a rate of 0 moves nothing, not even by weight decay."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trains(name, stage))


def trained_modalities(model: nn.Module) -> set[str]:
    """Modalities that have a part of the model which trains."""
    names = (name for name, p in model.named_parameters() if p.requires_grad)
    return {modality_of(name) for name in names} - {""}


def build_optimizers(
    model: nn.Module, training: TrainingConfig, stage: StageConfig
) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices; AdamW for embeddings, output layer, norms, biases, convolutions.

    With `stage.optimizer=adamw`, AdamW for all. Each group keeps its full learning rate as
    `full_lr`, which a schedule's factor multiplies, and the modality that a balance may slow.
    """
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            hidden = parameter.ndim == 2 and not any(part in name for part in _NO_MUON)
            chosen = matrices if hidden and stage.optimizer == "muon" else others
            chosen.append((name, parameter))

    decay = training.weight_decay
    built: list[torch.optim.Optimizer] = []
    if matrices:
        rate = training.muon_lr * stage.lr_scale
        built.append(Muon(_groups(matrices, rate, stage), rate, decay))
    if others:
        rate = training.adamw_lr * stage.lr_scale
        groups = _groups(others, rate, stage)
        built.append(torch.optim.AdamW(groups, rate, weight_decay=decay, betas=(0.9, 0.98)))
    return built


def _groups(
    named: Iterable[tuple[str, nn.Parameter]], rate: float, stage: StageConfig
) -> list[dict]:
    """Parameter groups: one of all where nothing tells them apart, since few updates are fast."""
    rates, groups = rates_of(stage), {}
    for name, parameter in named:
        modality = "" if stage.balance.rule == "none" else modality_of(name)
        groups.setdefault((rate_of(name, rates), modality), []).append(parameter)
    return [
        {"params": own, "lr": rate * multiple, "full_lr": rate * multiple, "modality": modality}
        for (multiple, modality), own in groups.items()
    ]
