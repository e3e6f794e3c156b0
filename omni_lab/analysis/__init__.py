"""Attention analysis: capture during a forward pass, exact attention mass per modality, and by distance."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "capture": "capture_attention modality_mass",
        "mass": "attention_mass mass_matrix",
        "offsets": "distance_mass positions_divided",
    },
)
