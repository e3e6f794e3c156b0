"""Small exercises of notebook 06: which words a loss can tell apart, and which of them are kept."""

from omni_lab.check.selection.chosen import kept
from omni_lab.check.selection.separable import separability
from omni_lab.check.selection.telling import auc
from omni_lab.check.selection.words import kept_loss, word_types

__all__ = ["auc", "kept", "kept_loss", "separability", "word_types"]
