"""Selective training: scores of text tokens, references, and the fraction of tokens that is kept."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "references": "References",
        "scores": "NEEDS score separability",
        "selection": "Selection",
        "top": "top_fraction",
    },
)
