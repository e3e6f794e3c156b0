"""Small exercises of notebook 07: rotary positions, growing contexts, needles and their intervals."""

from omni_lab.check.context.haystack import half_way
from omni_lab.check.context.intervals import plausible, student
from omni_lab.check.context.offsets import looks_back, new_pairs
from omni_lab.check.context.rotary import turned, turned_head

__all__ = ["half_way", "looks_back", "new_pairs", "plausible", "student", "turned", "turned_head"]
