"""Small exercises of notebook 08: softmax in pieces, and attention over several ranks."""

from omni_lab.check.steps.ring_costs import backward_bytes, pass_seconds
from omni_lab.check.steps.ring_layout import pairs_of, zigzag_holders
from omni_lab.check.steps.ring_merging import two_merged
from omni_lab.check.steps.ring_smallest import smallest_ring
from omni_lab.check.steps.ring_softmax import log_sum_exp

__all__ = [
    "backward_bytes", "log_sum_exp", "pairs_of", "pass_seconds", "smallest_ring", "two_merged",
    "zigzag_holders",
]  # fmt: skip
