"""Exercise checkers of the notebooks: each recognises the usual mistakes and explains them.

The small ones stand in a room for each notebook: `check.way.uniform_loss(my_function)`.

A checker never raises for what a learner wrote: it returns a `Verdict`, which a notebook shows as
one line. An untouched exercise is "not attempted yet", so that every notebook runs from top to
bottom. The right answers come from the package itself, which is the solution key.
"""

from omni_lab.check import (
    context,
    mixture,
    model,
    phases,
    ring,
    selection,
    sequences,
    stages,
    triplets,
    way,
)
from omni_lab.check.bases import raised_base
from omni_lab.check.connectors import connected
from omni_lab.check.cues import rebased
from omni_lab.check.guess import guess
from omni_lab.check.masks import loss_mask
from omni_lab.check.merging import merged
from omni_lab.check.units import interleaved
from omni_lab.check.verdict import NOT_YET, Verdict

__all__ = [
    "NOT_YET", "Verdict", "connected", "context", "guess", "interleaved", "loss_mask", "merged", "mixture", "model",
    "phases", "raised_base", "rebased", "ring", "selection", "sequences", "stages", "triplets", "way",
]  # fmt: skip
