"""Soundtrack: words and beeps begin on their tick and stay inside their second."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import UsageError
from omni_lab.world.drawing import write_script
from omni_lab.world.script import SPOKEN, TEST_SPEEDS, TRAIN_SPEEDS, Room, Script, Sound
from omni_lab.world.voice import VOICES, rehearse, soundtrack, speak


def scene(*sounds):
    """A script that sounds as we choose, one sound a second."""
    return Script(0, "train", len(sounds), (Room((200, 200, 200), (), sounds),), ())


def onset(wave):
    """First loud sample."""
    return int(np.flatnonzero(np.abs(wave) > 0.01)[0])


def test_the_slowest_word_fits_its_second():
    """From .2 s on, no word is cut off at the slowest speed."""
    for word in SPOKEN:
        for voice in VOICES.values():
            assert (
                1000 < len(speak(word, voice, min(TRAIN_SPEEDS), 35)) <= 0.8 * TICKS_PER_SECOND
            ), word


def test_words_and_beeps_begin_on_their_tick():
    script = scene(
        Sound(0.05, word="red", gain=0.9),
        Sound(0.2, beeps=2, gain=0.5),
        Sound(0.1, word="star", gain=0.9),
    )
    track = soundtrack(script)
    assert track.shape == (3 * TICKS_PER_SECOND,) and track.dtype == np.float32
    seconds = track.reshape(3, -1)
    for second, at_s in zip(seconds, (0.05, 0.2, 0.1), strict=True):
        assert abs(onset(second) - at_s * TICKS_PER_SECOND) <= 16
    assert np.allclose(
        seconds[2][1600 : 1600 + 4000], 0.9 * speak("star", VOICES["guide"])[:4000], atol=1e-6
    )


@pytest.mark.parametrize("beeps", [1, 2, 3, 4])
def test_beeps_can_be_counted(beeps):
    track = soundtrack(scene(Sound(0.2, beeps=beeps, tone_hz=700.0, gain=0.3)))
    loud = np.abs(track[: TICKS_PER_SECOND // 160 * 160]).reshape(-1, 160).max(-1) > 0.1
    assert np.count_nonzero(np.diff(loud.astype(int)) == 1) == beeps
    assert not loud[-1]


def test_voices_words_speeds_and_pitches_sound_different():
    base = speak("garden", VOICES["guide"], 150, 45)
    others = [
        speak("garden", VOICES["visitor"], 150, 45),
        speak("bridge", VOICES["guide"], 150, 45),
        speak("garden", VOICES["guide"], TEST_SPEEDS[0], 45),
        speak("garden", VOICES["guide"], 150, 60),
    ]
    for other in others:
        n = min(len(base), len(other))
        assert np.corrcoef(base[:n], other[:n])[0, 1] < 0.9


def test_an_unknown_voice_is_refused_and_does_not_change_the_next_word():
    speak.cache_clear()
    before = speak("river", VOICES["guide"])
    speak.cache_clear()
    with pytest.raises(UsageError, match="'en-nowhere'"):
        speak("river", "en-nowhere")
    assert np.array_equal(speak("river", VOICES["guide"]), before)


def test_a_word_sounds_the_same_after_any_other_word():
    """Resumed and uninterrupted runs hear the same, although espeak's flutter and breath run on."""
    words = [("river", VOICES["guide"]), ("star", VOICES["visitor"])]
    alone = {}
    for word in words:
        speak.cache_clear()
        alone[word] = speak(*word)
    for word in reversed(words):
        speak.cache_clear()
        speak("garden", VOICES["visitor"], 130, 35)
        assert np.array_equal(speak(*word), alone[word])


def test_two_threads_that_speak_at_once_each_hear_their_own_words():
    """Batches are made in a second thread beside the first; espeak keeps its state in globals."""
    words = [(word, voice) for word in SPOKEN for voice in VOICES.values()]
    alone = [speak(*w) for w in words]
    speak.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda w: speak(*w), words))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)


def test_another_process_hears_the_same():
    say = "from omni_lab.world.voice import speak; import hashlib, sys; "
    say += "sys.stdout.write(hashlib.sha256(speak('lemon', 'en+f3', 170, 45)).hexdigest())"
    there = subprocess.run(
        [sys.executable, "-c", say], capture_output=True, text=True, check=True
    ).stdout
    assert there == hashlib.sha256(speak("lemon", "en+f3", 170, 45)).hexdigest()


def test_the_track_is_the_same_every_time_and_within_full_scale():
    script = write_script(4, 8)
    first = soundtrack(script)
    speak.cache_clear()
    assert np.array_equal(first, soundtrack(script))
    assert 0.1 < np.abs(first).max() <= 1.0


def test_a_muted_track_is_silent():
    assert not soundtrack(replace(write_script(4, 2), muted=frozenset({"audio"}))).any()


def test_words_that_are_kept_are_not_changed_by_their_use():
    word = speak("red", VOICES["guide"]).copy()
    soundtrack(scene(Sound(0.1, word="red", gain=0.3)))
    assert np.array_equal(speak("red", VOICES["guide"]), word)


def test_a_short_stage_speaks_its_words_as_they_come(monkeypatch):
    spoken = []
    monkeypatch.setattr("omni_lab.world.voice.speak", lambda *words: spoken.append(words))
    rehearse(767)
    assert not spoken
    rehearse(768)
    assert len(set(spoken)) == 768, "24 words, two voices, four speeds and pitches"
