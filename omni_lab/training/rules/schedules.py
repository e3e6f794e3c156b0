"""Schedules over a stage: learning rate (warmup-stable-decay, cosine, constant), contrastive weight."""

from __future__ import annotations

import math

from omni_lab.config import StageConfig

STEEPNESS = 5.0  # of an exponential decay: half way it is at 8 % of the full rate


def learning_rate_factor(step: int, stage: StageConfig, warmup_steps: int) -> float:
    """Factor of the learning rate at a step: linear warmup, then what `stage.schedule` says.

    `wsd` stays and falls over the last `decay_steps`, or `decay_fraction`, of the stage, as
    `decay_shape` says (Hu et al. 2024), `cosine` falls over all of it, `constant` stays. What falls
    ends at `decay_floor`.

    >>> stage = StageConfig(steps=100, decay_fraction=0.5)
    >>> [round(learning_rate_factor(step, stage, 10), 2) for step in (0, 9, 50, 75, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.02]
    """
    up = (step + 1) / max(1, warmup_steps)
    down = 1.0
    if stage.schedule == "wsd":
        length = stage.decay_steps or stage.steps * stage.decay_fraction
        down = decay((stage.steps - step) / max(1.0, length), stage.decay_shape)
    elif stage.schedule == "cosine":
        down = (1 + math.cos(math.pi * step / max(1, stage.steps))) / 2
    return min(1.0, up, max(stage.decay_floor, down))


def decay(left: float, shape: str) -> float:
    """Decay of the learning rate from 1 to 0, linear, cosine or exponential.

    Parameters
    ----------
    left : fraction of the decay that is still to come; above 1 before it begins

    >>> [round(decay(0.5, shape), 3) for shape in ("linear", "cosine", "exponential")]
    [0.5, 0.5, 0.076]
    """
    left = min(1.0, left)
    if shape == "cosine":
        return (1 - math.cos(math.pi * left)) / 2
    if shape == "exponential":  # shifted, so that it ends at zero
        return math.expm1(STEEPNESS * left) / math.expm1(STEEPNESS)
    return left


def contrastive_weight(step: int, stage: StageConfig) -> float:
    """Weight of the contrastive loss: alignment first, generation later (claim O11).

    It falls linearly from `align_weight` to zero over the stage's first `align_fraction`.
    """
    if not stage.align_fraction:
        return 0.0
    return stage.align_weight * max(0.0, 1 - step / (stage.align_fraction * stage.steps))
