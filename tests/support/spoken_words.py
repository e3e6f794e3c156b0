"""Words spoken by the world's voices at known times: the truth that tests of listening are held against."""

from importlib.util import find_spec

import numpy as np
import pytest

from omni_lab.world.voice import VOICES, speak

S = 16_000
with_silero = pytest.mark.skipif(
    not find_spec("silero_vad"), reason="silero-vad is in the extra `real`"
)
with_pocketsphinx = pytest.mark.skipif(
    not find_spec("pocketsphinx"), reason="pocketsphinx is in the extra `real`"
)
GUIDE, VISITOR = VOICES["guide"], VOICES["visitor"]


def track(
    length_s: float,
    words: list[tuple[float, str]],
    voice: str = GUIDE,
    noise: float = 0.002,
    seed: int = 0,
):
    """Sound with words at known times, over a little noise, and the span of every word in ticks."""
    sound = noise * np.random.default_rng(seed).standard_normal(round(length_s * S))
    spans = []
    for at_s, word in words:
        wave = 0.4 * speak(word, voice)
        start = round(at_s * S)
        sound[start : start + wave.size] += wave
        spans.append((start, start + wave.size))
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16), spans


def sentence(words: list[str], voice: str = GUIDE, gap_s: float = 0.08, start_s: float = 0.3):
    """A cue's text spoken word by word with a short gap: the sound and the words' spans."""
    timed, at = [], start_s
    for word in words:
        timed.append((at, word))
        at += speak(word, voice).size / S + gap_s
    return track(at + 0.3, timed, voice)
