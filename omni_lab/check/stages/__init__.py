"""Small exercises of notebook 04: what a stage moves, and the rules that steer it."""

from omni_lab.check.stages.balance import factors
from omni_lab.check.stages.clipping import clipped
from omni_lab.check.stages.curriculum import phase_ends
from omni_lab.check.stages.parts import by_fact, moving
from omni_lab.check.stages.schedules import rate
from omni_lab.check.stages.updates import adamw

__all__ = ["adamw", "by_fact", "clipped", "factors", "moving", "phase_ends", "rate"]
