"""Text-to-speech by espeak-ng (two voices) and beeps: the 16 kHz soundtrack of a script.

espeak-ng comes as a dynamic library with `espeakng-loader`, so that no system package is needed.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import threading

import numpy as np
from jaxtyping import Float32

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import OmniLabError, UsageError
from omni_lab.world.script import SPOKEN, TRAIN_PITCHES, TRAIN_SPEEDS, Script, Sound

VOICES = {"guide": "en-us+m3", "visitor": "en+f3"}
_RATE, _PITCH, _AUDIO_SYNC = 1, 3, 2  # espeak's parameter and output numbers
# espeak keeps its state in globals: two threads at once would end the process
_ONE_AT_A_TIME = threading.Lock()
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class _Espeak:
    """espeak-ng by ctypes, loaded and unloaded for every utterance.

    Its flutter and breath run on in globals that no call resets: a word would sound different after
    other words, and a seed would no longer determine a film.
    """

    def __enter__(self) -> _Espeak:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate = self.library.espeak_Initialize(
            _AUDIO_SYNC, 0, espeakng_loader.get_data_path().encode(), 0
        )
        if self.rate <= 0:
            right = "reinstall espeakng-loader (pip install --force-reinstall)"
            raise OmniLabError(f"espeak-ng does not start: {right}")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self.heard: list[np.ndarray] = []
        self.callback = _CALLBACK(self._hear)  # kept: ctypes would free it
        self.library.espeak_SetSynthCallback(self.callback)
        return self

    def __exit__(self, *_) -> None:
        import _ctypes

        self.library.espeak_Terminate()
        unload = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # POSIX, else Windows
        unload(self.library._handle)

    def _hear(self, wave, samples: int, events) -> int:
        if wave and samples > 0:
            self.heard.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """Synthesized speech, int16 at the engine's rate."""
        # espeak returns an error code for an unknown voice and keeps the previous one in silence
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            right = f"use {', '.join(VOICES.values())}"
            raise UsageError(f"voice {voice!r}: espeak-ng does not know it; {right}")
        self.library.espeak_SetParameter(_RATE, speed, 0)
        self.library.espeak_SetParameter(_PITCH, pitch, 0)
        data = text.encode()
        self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)


@functools.lru_cache(maxsize=4096)
def speak(
    text: str, voice: str, speed: int = 150, pitch: int = 50
) -> Float32[np.ndarray, " samples"]:
    """Synthesized speech of an espeak voice: 16 kHz, peak 1, silence at both ends trimmed.

    Parameters
    ----------
    speed : words per minute
    pitch : espeak's 0–99

    Raises
    ------
    UsageError
        espeak-ng does not have that voice
    """
    from scipy.signal import resample_poly

    with _ONE_AT_A_TIME, _Espeak() as engine:
        wave = engine.say(text, voice, speed, pitch).astype(np.float32)
    common = math.gcd(TICKS_PER_SECOND, engine.rate)
    wave = resample_poly(wave, TICKS_PER_SECOND // common, engine.rate // common).astype(np.float32)
    wave /= max(np.abs(wave).max(initial=0), 1e-6)
    loud = np.flatnonzero(np.abs(wave) > 0.01)
    return wave[loud[0] : loud[-1] + 1] if len(loud) else wave[:0]


def _spoken(sound: Sound) -> Float32[np.ndarray, " samples"]:
    """Word of a sound in its voice."""
    return speak(sound.word, VOICES[sound.role], sound.speed, sound.pitch)


def _beeps(sound: Sound) -> Float32[np.ndarray, " samples"]:
    """Sine tones of 0.1 s, 0.17 s apart, with edges of 8 ms."""
    time = np.arange(round(0.1 * TICKS_PER_SECOND)) / TICKS_PER_SECOND
    envelope = np.minimum(1, np.minimum(time, time[::-1]) / 0.008)
    tone = np.sin(2 * np.pi * sound.tone_hz * time) * envelope
    step = round(0.17 * TICKS_PER_SECOND)
    wave = np.zeros(step * (sound.beeps - 1) + len(tone), np.float32)
    for index in range(sound.beeps):
        wave[index * step : index * step + len(tone)] = tone
    return wave


def soundtrack(script: Script) -> Float32[np.ndarray, " samples"]:
    """Soundtrack of a film without noise: 16 kHz mono, one tick a sample."""
    track = np.zeros(script.seconds * TICKS_PER_SECOND, np.float32)
    if "audio" in script.muted:
        return track

    for second in range(script.seconds):
        sound = script.sound(second)
        wave = _spoken(sound) if sound.word else _beeps(sound)
        start = second * TICKS_PER_SECOND + round(sound.at_s * TICKS_PER_SECOND)
        end = min(start + len(wave), (second + 1) * TICKS_PER_SECOND)  # cut where its second ends
        track[start:end] += sound.gain * wave[: end - start]
    return track


def rehearse(seconds: int) -> None:
    """Speech cache warm-up: every word in every training voice, before processes are forked.

    Some seconds of film need fewer words than there are: they are then spoken as they come.
    """
    voices = [*itertools.product(SPOKEN, VOICES.values(), TRAIN_SPEEDS, TRAIN_PITCHES)]
    if seconds < len(voices):
        return
    for word, voice, speed, pitch in voices:
        speak(word, voice, speed, pitch)
