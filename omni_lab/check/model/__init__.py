"""Small exercises of notebook 03: tokens of pictures and sound, connectors, what learning compares."""

from omni_lab.check.model.connectors import connector_weights, placed
from omni_lab.check.model.learning import contrastive, kv_head, only_change
from omni_lab.check.model.tokens import sound_width, token_of

__all__ = [
    "connector_weights",
    "contrastive",
    "kv_head",
    "only_change",
    "placed",
    "sound_width",
    "token_of",
]
