"""Image and audio encoders, connectors and a decoder, built from Hugging Face's modules."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "cost": "part_costs part_times",
        "inputs": "embed_batch forward_batch",
        "omni": "OmniConfig OmniModel OmniOutput",
        "rope": "pairs_that_turn rope_of set_rope theta_for turns",
    },
)
