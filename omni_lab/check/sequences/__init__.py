"""Small exercises of notebook 02: formats, tiles, packed rows, attention between modalities."""

from omni_lab.check.sequences.rows import best_fit, document_mask, positions
from omni_lab.check.sequences.streams import album_line, stream_length
from omni_lab.check.sequences.strength import turned_down
from omni_lab.check.sequences.tiles import best_grid

__all__ = [
    "album_line",
    "best_fit",
    "best_grid",
    "document_mask",
    "positions",
    "stream_length",
    "turned_down",
]
