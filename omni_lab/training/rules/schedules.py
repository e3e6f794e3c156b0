"""Schedules over a stage: learning rate (warmup-stable-decay, cosine, constant), contrastive weight."""

from __future__ import annotations

import math

from omni_lab.config import StageConfig

FLOOR = 0.02  # of the full rate: what decay ends at


def learning_rate_factor(step: int, stage: StageConfig, warmup_steps: int) -> float:
    """Factor of the learning rate at a step: linear warmup, then what `stage.schedule` says.

    `wsd` stays and falls linearly over the last `decay_fraction` of the stage (Hu et al. 2024),
    `cosine` falls over all of it, `constant` stays.

    >>> stage = StageConfig(steps=100, decay_fraction=0.5)
    >>> [round(learning_rate_factor(step, stage, 10), 2) for step in (0, 9, 50, 75, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.02]
    """
    up = (step + 1) / max(1, warmup_steps)
    down = 1.0
    if stage.schedule == "wsd":
        down = (stage.steps - step) / max(1.0, stage.steps * stage.decay_fraction)
    elif stage.schedule == "cosine":
        down = (1 + math.cos(math.pi * step / max(1, stage.steps))) / 2
    return min(1.0, up, max(FLOOR, down))


def contrastive_weight(step: int, stage: StageConfig) -> float:
    """Weight of the contrastive loss: alignment first, generation later (claim O11).

    It falls linearly from `align_weight` to zero over the stage's first `align_fraction`.
    """
    if not stage.align_fraction:
        return 0.0
    return stage.align_weight * max(0.0, 1 - step / (stage.align_fraction * stage.steps))
