"""Clips with recognisable frames and samples, and their streams, for tests of sequences."""

import numpy as np

from omni_lab.config import TICKS_PER_SECOND, override, tiny
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.stream import omni_stream
from omni_lab.triplets.record import Triplet
from omni_lab.world.vocabulary import WorldVocabulary

S = TICKS_PER_SECOND
VOCABULARY = WorldVocabulary()
CONFIG = tiny()


def clip(seconds=2.0, has=("image", "audio", "text"), cues=(), size=48, per_second=2.0):
    """A clip whose frame k is filled with k and whose sample i is i / 10⁶, to recognise them."""
    ticks = round(seconds * S)
    count = max(1, int(seconds * per_second)) if "image" in has else 0
    return Triplet(
        source_id="film",
        start=3 * S,
        end=3 * S + ticks,
        frames=np.arange(count, dtype=np.uint8)[:, None, None, None]
        * np.ones((1, size, size, 3), np.uint8),
        frame_times=((np.arange(count) + 0.5) / per_second * S).astype(np.int64),
        audio=(np.arange(ticks if "audio" in has else 0) / 1e6).astype(np.float32),
        cues=tuple(cues),
        has=frozenset(has),
    )


def cue(start_s, text, role="guide", seconds=0.2):
    return Cue(round(start_s * S), round((start_s + seconds) * S), text, role)


def stream(triplet, config=CONFIG):
    return omni_stream(triplet, config.sequence, supervised=False)


def kinds(sequence):
    return [item.text if item.kind == "control" else item.kind for item in sequence.items]


def settings_of(*settings):
    return override(tiny(), [f"sequence.{setting}" for setting in settings])
