"""omni_lab: how an omni-modal model is pretrained, to learn from and to reproduce."""

from omni_lab.faces import public

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "config": "Config PRESETS override tiny",
        "triplets": "ClipStream Triplet build read_shards",
        "sequences": "omni_stream tokenize",
        "data": "build_vocabulary",
        "model": "OmniModel forward_batch",
        "training": "RunFolder Trainer train trained",
        "evaluation": "measure",
    },
)
