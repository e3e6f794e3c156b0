"""Small exercises of notebook 05: slopes, breaks, the criterion, chance, and mixtures of facts."""

from omni_lab.check.phases.chance import guess_level, p_value
from omni_lab.check.phases.criterion import conditions
from omni_lab.check.phases.lines import broken_line, slope
from omni_lab.check.phases.mixtures import foretold_step, total_loss

__all__ = [
    "broken_line",
    "conditions",
    "foretold_step",
    "guess_level",
    "p_value",
    "slope",
    "total_loss",
]
