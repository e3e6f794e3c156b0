"""omni_lab: how an omni-modal model is pretrained, to learn from and to reproduce."""

import os
import sys

from omni_lab.faces import public

# Threads that wait for each other go to sleep soon. Spinning, OpenMP's default, loses a laptop that
# has other work to do most of its speed (results/LOG.md); a setting of the user's own wins.
_chosen = "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ
THREADS_SPIN = not _chosen and "torch" in sys.modules  # torch listens when it is loaded, only then
if not _chosen:
    os.environ["GOMP_SPINCOUNT"] = "1000"

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
