"""Spoken words at known times, in the world's voices: ground truth for speech tests."""

from importlib.util import find_spec

import numpy as np
import pytest

from omni_lab.world.voice import VOICES, speak

SECOND = 16_000  # ticks
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
    """Speech track: words at known times over a little noise, and every word's span in ticks."""
    sound = noise * np.random.default_rng(seed).standard_normal(round(length_s * SECOND))
    spans = []
    for at_s, word in words:
        wave = 0.4 * speak(word, voice)
        start = round(at_s * SECOND)
        sound[start : start + wave.size] += wave
        spans.append((start, start + wave.size))
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16), spans


def sentence(words: list[str], voice: str = GUIDE, gap_s: float = 0.08, start_s: float = 0.3):
    """Spoken sentence: words with a short gap between, and the span of each in ticks."""
    timed, at = [], start_s
    for word in words:
        timed.append((at, word))
        at += speak(word, voice).size / SECOND + gap_s
    return track(at + 0.3, timed, voice)
