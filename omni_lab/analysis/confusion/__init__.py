"""Modality confusion of any model's answers: tables of answers, matrix with bootstrap intervals."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "conditions": "Condition condition_of",
        "followed": "followed_senses matrices",
        "matrix": "Confusion confusion_matrix",
        "table": "Answers read_answers",
        "wording": "normalised",
    },
)
