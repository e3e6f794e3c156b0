"""Voice activity detection by Silero or by energy.

Energy finds whatever is louder than its surroundings: in a quiet recording that is speech, and
beeps and door slams as well. Silero was trained on speech beside music and noise; it needs the
extra `real`.

Measured on four films of the world, half a minute each, with and without hiss: both find .98 of the
spoken ticks; energy takes every beep for speech, Silero none (one in 30 under loud hiss). A fifth
of what Silero finds, and a third of what energy does, is no speech: padding and short pauses, and
the beeps.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings

import numpy as np
from jaxtyping import Bool, Float32, Int16

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.config.types import DETECTORS
from omni_lab.errors import UsageError

WINDOW = TICKS_PER_SECOND // 50  # 20 ms
STRETCH = 5 * TICKS_PER_SECOND // WINDOW  # windows with one threshold, from them and neighbours
FAINTEST = 1e-3  # of full scale (-60 dB): softer windows count as this loud
ABOVE = 6.0  # dB by which speech is louder than its surroundings, at least
FRACTION = 0.35  # of the way from the quiet to the loud of a stretch: its threshold
PAUSE = TICKS_PER_SECOND // 5  # a shorter pause does not end a span
SHORTEST = TICKS_PER_SECOND // 10  # a shorter span is a click
PAD = 3 * TICKS_PER_SECOND // 100  # soft beginnings and ends, as Silero's default has it


def voice_activity(
    audio: Int16[np.ndarray, " samples"], detector: str, start: int = 0
) -> list[tuple[int, int]]:
    """Voice activity detection: the spans in which somebody speaks.

    Silero VAD: github.com/snakers4/silero-vad.

    Parameters
    ----------
    audio : 16 kHz mono
    detector : `silero` or `energy`
    start : tick of the first sample

    Returns
    -------
    (start, end) in ticks, in order, without overlap

    Raises
    ------
    UsageError
        the detector does not exist, or is not installed

    >>> word = (8000 * np.sin(np.arange(16000))).astype(np.int16)
    >>> [(a / 16000, b / 16000) for a, b in voice_activity(np.pad(word, 16000), "energy")]
    [(0.97, 2.03)]
    """
    check_detector(detector)
    find = _silero if detector == "silero" else _energy
    return [(start + a, start + b) for a, b in find(audio)]


def check_detector(detector: str) -> None:
    """Availability check of a voice activity detector.

    Raises
    ------
    UsageError
        the detector does not exist, or is not installed
    """
    if detector not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise UsageError(f"triplets.detector = {detector!r} does not exist: use one of {known}")
    if detector == "silero" and importlib.util.find_spec("silero_vad") is None:
        need = "triplets.detector = 'silero' needs silero-vad: "
        raise UsageError(need + "pip install -e '.[real]', or take 'energy'")


def runs(mask: Bool[np.ndarray, " windows"]) -> list[tuple[int, int]]:
    """Runs of True in a mask, as (first, one past the last).

    >>> runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def loudness(audio: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, " windows"]:
    """Root mean square of every 20 ms window, as a fraction of full scale.

    A last window that is not full is left out.

    >>> loudness(np.full(650, 8192, np.int16)).tolist()
    [0.25, 0.25]
    """
    windows = audio[: audio.size // WINDOW * WINDOW].reshape(-1, WINDOW)
    # einsum squares without a float copy of hours of sound
    power = np.einsum("ws,ws->w", windows, windows, dtype=np.float32) / WINDOW
    return np.sqrt(power) / 32768


def _energy(audio: np.ndarray) -> list[tuple[int, int]]:
    """Voice activity by energy: windows louder than the 15 s around, joined, without clicks."""
    level = 20 * np.log10(np.maximum(loudness(audio), FAINTEST))
    threshold = np.empty_like(level)
    for at in range(0, level.size, STRETCH):
        quiet, loud = np.percentile(level[max(0, at - STRETCH) : at + 2 * STRETCH], [10, 95])
        threshold[at : at + STRETCH] = quiet + max(ABOVE, FRACTION * (loud - quiet))

    spans: list[tuple[int, int]] = []
    for a, b in runs(level > threshold):
        a, b = a * WINDOW, min(b * WINDOW, audio.size)
        if spans and a - spans[-1][1] < PAUSE:
            spans[-1] = spans[-1][0], b
        else:
            spans.append((a, b))
    return [(max(0, a - PAD), min(audio.size, b + PAD)) for a, b in spans if b - a >= SHORTEST]


def _silero(audio: np.ndarray) -> list[tuple[int, int]]:
    """Voice activity by Silero's model."""
    import torch

    model = _silero_model()  # before its package is imported, which sets torch to one thread
    from silero_vad import get_speech_timestamps

    found = get_speech_timestamps(torch.from_numpy(audio.astype(np.float32) / 32768), model)
    return [(span["start"], min(span["end"], audio.size)) for span in found]


@functools.lru_cache(maxsize=1)
def _silero_model():
    """Silero's model, loaded once per process.

    Its package sets torch to one thread when it is imported; that is undone here.
    """
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        # torch.jit is deprecated; the model is published in it
        warnings.simplefilter("ignore", DeprecationWarning)
        return load_silero_vad()
