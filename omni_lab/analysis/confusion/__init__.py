"""Modality confusion of any model's answers: matrix, permutation reliance, Shapley shares, kinds of tokens."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "conditions": "Condition condition_of",
        "followed": "followed_senses matrices",
        "kinds": "kind_confusion kind_of_ids",
        "matrix": "Confusion confusion_matrix",
        "record": "confusion_record",
        "shares": "outcomes_of permutation_reliance shapley shapley_shares",
        "table": "Answers read_answers",
        "wording": "normalised",
    },
)
