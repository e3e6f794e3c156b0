"""Controls of a stage: curriculum, balance and clipping, with what a resumed run needs of them.

They see the figures of every step, averaged over processes, so that all processes agree; what they
remember is plain JSON, and goes into checkpoints.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from omni_lab.config import StageConfig, TrainingConfig
from omni_lab.training.optimizers import trained_modalities
from omni_lab.training.rules.balance import Balance
from omni_lab.training.rules.clipping import Clipping
from omni_lab.training.rules.curriculum import Curriculum
from omni_lab.training.rules.schedules import learning_rate_factor


class Controls:
    """Curriculum, balance and clipping of one stage.

    Parameters
    ----------
    model : whose trained parts are known already (`choose_trained`)
    """

    def __init__(self, stage: StageConfig, settings: TrainingConfig, model: nn.Module) -> None:
        self.stage, self.warmup_steps = stage, settings.warmup_steps
        self.curriculum = Curriculum(stage)
        self.balance = Balance(stage.balance, trained_modalities(model))
        self.clipping = Clipping(stage.clip, settings.grad_clip, settings.warmup_steps)

    def set_rates(self, optimizers: list, step: int) -> float:
        """Set the learning rates of a step; the schedule's factor."""
        factor = learning_rate_factor(step, self.stage, self.warmup_steps)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * factor * self.balance.rate(group["modality"])
        return factor

    def clip(self, model: nn.Module, step: int) -> dict[str, Any]:
        """Clip gradients, with the noise of a balance that adds some; what metrics record of it."""
        clipped = self.clipping.clip(model, step)
        self.balance.disturb(model, step)
        return clipped

    def observe(self, figures: dict[str, Any], step: int) -> dict[str, Any]:
        """Take note of a step's figures; what the rules did to this step, for its record."""
        balance = dict(self.balance.factors)
        self.balance.observe(figures.get("senses", {}), step)
        return {
            **({"balance": balance} if self.stage.balance.rule != "none" else {}),
            **self.curriculum.observe(figures, step),
        }

    @property
    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as plain JSON."""
        parts = (self.curriculum, self.balance, self.clipping)
        return {type(part).__name__.lower(): part.state for part in parts}

    def load(self, state: dict[str, Any]) -> None:
        """Take up where a checkpoint's state stands; without one, at the beginning."""
        for part in (self.curriculum, self.balance, self.clipping):
            part.state = state.get(type(part).__name__.lower(), part.state)
