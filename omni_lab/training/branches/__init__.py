"""Trunk and branches: constant rate, decay branches from its checkpoints, merges of them."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "curve": "Branching explore",
        "held_out": "HeldOut",
        "merging": "mean_weights merge",
    },
)
