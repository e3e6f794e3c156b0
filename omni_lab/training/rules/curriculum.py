"""Curriculum of losses: phases that weigh alignment and generation, each ended by competence.

Alignment first, generation later (claim O11) is one such list of phases. A phase ends when the
running mean of a loss has fallen below a value, or at its cap, so that a skill that never comes does
not hold up a stage. The word is that of Platanios et al. (2019), whose competence is a given
function of time; here it is measured.
"""

from __future__ import annotations

from typing import Any

from omni_lab.config import PhaseConfig, StageConfig
from omni_lab.training.rules.schedules import contrastive_weight

DECAY = 0.9  # of the running mean of the loss that ends a phase
FEW = 10  # values of it before it can


class Curriculum:
    """Weights of a stage's losses, phase by phase; where it stands is its `state`."""

    def __init__(self, stage: StageConfig) -> None:
        self.stage = stage
        self.phases = stage.phases or (PhaseConfig("all"),)
        self.state: dict[str, Any] = {"phase": 0, "began": 0, "mean": None, "seen": 0}

    @property
    def phase(self) -> PhaseConfig:
        """The phase that training is in."""
        return self.phases[self.state["phase"]]

    def weights(self, step: int) -> dict[str, float]:
        """Weights of the losses at a step: `stream`, `caption` and `align`."""
        number, stage = self.state["phase"], self.stage
        own, before = self.phase, self.phases[max(0, number - 1)]
        ramp = own.ramp * stage.steps
        passed = min(1.0, (step - self.state["began"]) / ramp) if ramp and number else 1.0

        full = {
            "stream": 1.0,
            "caption": stage.caption_weight,
            "align": contrastive_weight(step, stage),
        }
        return {
            name: weight * (getattr(before, name) * (1 - passed) + getattr(own, name) * passed)
            for name, weight in full.items()
        }

    def observe(self, figures: dict[str, Any], step: int) -> dict[str, Any]:
        """Take note of a step's losses; what metrics record, where the stage has phases."""
        if not self.stage.phases:
            return {}
        record: dict[str, Any] = {"name": self.phase.name}
        value = _named(figures, self.phase.until)
        if value is not None:
            before = self.state["mean"]
            mean = value if before is None else DECAY * before + (1 - DECAY) * value
            self.state |= {"mean": mean, "seen": self.state["seen"] + 1}
            record["mean"] = mean

        if self.state["phase"] < len(self.phases) - 1 and (ended := self._ended(step)):
            record["ended"] = ended
            following = self.state["phase"] + 1
            self.state = {"phase": following, "began": step + 1, "mean": None, "seen": 0}
        return {"phase": record}

    def _ended(self, step: int) -> str:
        """What ends the phase after this step, if anything does."""
        mean = self.state["mean"]
        if mean is not None and self.state["seen"] >= FEW and mean < self.phase.below:
            return "competence"
        return "cap" if step + 1 >= self.phase.cap * self.stage.steps else ""


def _named(figures: dict[str, Any], name: str) -> float | None:
    """Value of a loss by its dotted name; None where this step has none."""
    value: Any = figures
    for part in name.split(".") if name else ():
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, float) else None
