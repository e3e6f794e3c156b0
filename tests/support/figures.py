"""Test helpers for figures: texts, artists by group id, small clips and sequences to draw."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import numpy as np

from omni_lab.config import tiny
from omni_lab.sequences.formats import lay_out
from omni_lab.sequences.tokens import tokenize
from omni_lab.triplets.record import Triplet
from omni_lab.world.vocabulary import WorldVocabulary


def words(figure):
    """Texts of a figure, empty ones left out."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def gids(figure, start):
    """Artists whose group id begins with `start`, by group id."""
    return {a.get_gid(): a for a in figure.findobj() if (a.get_gid() or "").startswith(start)}


def empty_clip(**changes):
    """Clip of 2 s without image, audio or text, with changes to its fields."""
    bare = Triplet(
        source_id="film", start=0, end=32_000, frames=np.zeros((0, 0, 0, 3), np.uint8),
        frame_times=np.zeros(0, np.int64), audio=np.zeros(0, np.float32), cues=(), has=frozenset(),
    )  # fmt: skip
    return replace(bare, **changes)


def laid_out(content, layout="stream", **changes):
    """Sequence, tokens and their words, under the tiny preset with changed sequence settings."""
    config = tiny()
    config = replace(
        config, sequence=replace(config.sequence, layout=layout, max_tokens=1 << 20, **changes)
    )
    vocabulary = WorldVocabulary(layout)
    sequence = lay_out(content, config, supervised=False)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    return sequence, tokens, vocabulary.pieces(tokens.ids)
