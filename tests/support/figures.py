"""What tests of pictures look at: the words and the named artists of a figure, and what is drawn in it."""

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
    """Every word in a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def gids(figure, start):
    """Artists by the name they carry."""
    return {a.get_gid(): a for a in figure.findobj() if (a.get_gid() or "").startswith(start)}


def empty_clip(**changes):
    bare = Triplet(
        source_id="film", start=0, end=32_000, frames=np.zeros((0, 0, 0, 3), np.uint8),
        frame_times=np.zeros(0, np.int64), audio=np.zeros(0, np.float32), cues=(), has=frozenset(),
    )  # fmt: skip
    return replace(bare, **changes)


def laid_out(content, layout="stream", **changes):
    """A sequence, its tokens and their words, under the tiny preset with changes to its sequence settings."""
    config = tiny()
    config = replace(
        config, sequence=replace(config.sequence, layout=layout, max_tokens=1 << 20, **changes)
    )
    vocabulary = WorldVocabulary(layout)
    sequence = lay_out(content, config, supervised=False)
    tokens = tokenize(sequence, vocabulary, config)
    return sequence, tokens, vocabulary.pieces(tokens.ids)
