"""Checkers for the exercises of the notebooks: each knows the usual wrong answers and says what is wrong, and why.

A checker never raises for what a learner wrote: it returns a `Verdict`, which a notebook shows as one line. An
exercise that nobody has touched is "not attempted yet", so that a notebook runs through from top to bottom. The truth
comes from the package itself, which is the solution key.
"""

from omni_lab.check.bases import raised_base
from omni_lab.check.cues import rebased
from omni_lab.check.masks import loss_mask
from omni_lab.check.merging import merged
from omni_lab.check.units import interleaved
from omni_lab.check.verdict import NOT_YET, Verdict

__all__ = ["NOT_YET", "Verdict", "interleaved", "loss_mask", "merged", "raised_base", "rebased"]
