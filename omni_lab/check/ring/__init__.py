"""Small exercises of notebook 08: softmax in pieces, and attention over several ranks."""

from omni_lab.check.ring.costs import backward_bytes, pass_seconds
from omni_lab.check.ring.layout import pairs_of, zigzag_holders
from omni_lab.check.ring.merging import two_merged
from omni_lab.check.ring.smallest import smallest_ring
from omni_lab.check.ring.softmax import log_sum_exp

__all__ = [
    "backward_bytes",
    "log_sum_exp",
    "pairs_of",
    "pass_seconds",
    "smallest_ring",
    "two_merged",
    "zigzag_holders",
]
