"""Attention analysis: capture during a forward pass, exact attention mass per modality, and by distance."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "attention.call": "AttentionCall",
        "attention.capture": "capture_attention",
        "attention.knockout": "Cut Effect answer_probability knock_out knockout_effects",
        "attention.labels": "Labels labels_of",
        "attention.mass": "MassMatrix attention_mass",
        "attention.modalities": "modality_mass",
        "offsets": "distance_mass positions_divided",
    },
)
