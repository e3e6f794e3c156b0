"""Small exercises of notebook 01: films on one clock, and where to cut them."""

from omni_lab.check.triplets.clock import nearest_pictures, sample_at, share_astray, to_ticks
from omni_lab.check.triplets.cuts import best_way, bits_apart, clip_of

__all__ = [
    "best_way",
    "bits_apart",
    "clip_of",
    "nearest_pictures",
    "sample_at",
    "share_astray",
    "to_ticks",
]
