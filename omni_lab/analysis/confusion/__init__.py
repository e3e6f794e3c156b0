"""Modality confusion of any model's answers: matrix with bootstrap intervals."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(__name__, {"matrix": "Confusion confusion_matrix"})
