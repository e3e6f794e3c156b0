"""How learning rate and alignment weight move over a stage, as shares of their configured value."""

from __future__ import annotations

from omni_lab.config import StageConfig


def learning_rate_factor(step: int, stage: StageConfig, warmup_steps: int) -> float:
    """Warm up linearly, stay, then fall linearly to 2 % over the stage's last `decay` share (trapezoid)."""
    up = (step + 1) / max(1, warmup_steps)
    down = (stage.steps - step) / max(1.0, stage.steps * stage.decay)
    return min(1.0, up, max(0.02, down))


def alignment_weight(step: int, stage: StageConfig) -> float:
    """Alignment first, generation later: the weight falls linearly to zero over the stage's first `align` share."""
    return (
        stage.align_weight * max(0.0, 1 - step / (stage.align * stage.steps))
        if stage.align
        else 0.0
    )
