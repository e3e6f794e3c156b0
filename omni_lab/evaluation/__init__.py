"""Evaluation: fact accuracy with controls, cross-modal retrieval, needle in a haystack."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "answers": "CONTROLS EvalSet answer_losses by_fact grade make_eval_set predict swapped",
        "gallery.asking": "likeliest",
        "gallery.exam": "answered evaluate world_clips",
        "gallery.needles": "OmniNeedleModel",
        "gallery.reliance": "conflicting",
        "intervals": "wilson",
        "learned": "learned_in_words unlearned",
        "needles.causal": "CausalNeedleModel",
        "needles.interface": "NeedleModel Trial",
        "needles.measure": "Cell measure read_cells",
        "retrieval": "moments",
    },
)
