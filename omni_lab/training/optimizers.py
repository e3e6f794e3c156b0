"""Muon for matrices, AdamW for the rest, and clipping per modality's part of the model."""

from __future__ import annotations

import torch
from torch import nn

from omni_lab.config import StageConfig, TrainingConfig
from omni_lab.training.muon import Muon

_NO_MUON = ("embed", "place", "lm_head")  # matrices that words or positions enter or leave by


def part_of(name: str) -> str:
    """Which part of the model a parameter belongs to, wrapped or not: image, audio, connector, align or decoder."""
    return (
        name.removeprefix("module.")
        .removeprefix("model.")
        .split(".")[0]
        .replace("align_scale", "align")
    )


def choose_trained(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Let only these parts learn (the alignment heads learn whenever they are used)."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in (*parts, "align"))


def build_optimizers(
    model: nn.Module, training: TrainingConfig, stage: StageConfig
) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices; AdamW for embeddings, output layer, norms, biases, convolutions.

    Each group keeps its full learning rate as `full_lr`, which a schedule's factor multiplies.
    """
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            hidden = parameter.ndim == 2 and not any(part in name for part in _NO_MUON)
            (matrices if hidden else others).append(parameter)

    built: list[torch.optim.Optimizer] = []
    if matrices:
        built.append(Muon(matrices, training.muon_lr * stage.lr_scale, training.weight_decay))
    if others:
        rate = training.adamw_lr * stage.lr_scale
        decay = training.weight_decay
        built.append(torch.optim.AdamW(others, rate, weight_decay=decay, betas=(0.9, 0.98)))
    for optimizer in built:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return built


def clip_per_part(model: nn.Module, limit: float) -> dict[str, float]:
    """Clip the gradient of every part to norm `limit`, so that one modality's spike leaves the others alone.

    Returns the norms before clipping.
    """
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            groups.setdefault(part_of(name), []).append(parameter)
    return {part: float(nn.utils.clip_grad_norm_(group, limit)) for part, group in groups.items()}
