"""Voice activity detection by Silero and by energy, against words spoken at known times."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken_words import SECOND, track, with_silero

from omni_lab.errors import UsageError
from omni_lab.media.speech.vad import voice_activity


def wrong(found, truth, length: int) -> tuple[float, float]:
    """Miss rate (fraction of the true ticks) and false-alarm rate (of the found ticks)."""
    masks = np.zeros((2, length), bool)
    for mask, spans in zip(masks, (found, truth), strict=True):
        for start, end in spans:
            mask[start:end] = True
    return float((~masks[0] & masks[1]).sum() / masks[1].sum()), float(
        (masks[0] & ~masks[1]).sum() / masks[0].sum()
    )


@pytest.mark.parametrize("detector", ["energy", pytest.param("silero", marks=with_silero)])
@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_speech_is_found_where_it_is(detector, noise):
    sound, truth = track(
        8.0, [(1.0, "garden river lemon"), (5.0, "winter music bridge")], noise=noise
    )
    found = [(a - 1000, b - 1000) for a, b in voice_activity(sound, detector, start=1000)]
    missed, invented = wrong(found, truth, sound.size)
    assert missed < 0.1 and invented < 0.15
    assert (
        abs(found[0][0] - truth[0][0]) < 0.1 * SECOND
        and abs(found[-1][1] - truth[-1][1]) < 0.2 * SECOND
    )


@pytest.mark.parametrize("detector", ["energy", pytest.param("silero", marks=with_silero)])
def test_silence_and_steady_noise_hold_no_speech(detector):
    noise = np.random.default_rng(0).standard_normal(20 * SECOND)
    for sound in (0 * noise, 30 * noise, 2000 * noise):
        assert voice_activity(sound.astype(np.int16), detector) == []
    assert voice_activity(np.zeros(0, np.int16), detector) == []


@with_silero
def test_silero_rejects_beeps_and_energy_does_not():
    sound, (word, _) = track(6.0, [(1.0, "garden river lemon"), (5.0, "red")])
    beep = (9000 * np.sin(2 * np.pi * 880 * np.arange(SECOND) / SECOND)).astype(np.int16)
    sound[3 * SECOND : 4 * SECOND] += beep

    def over_beep(detector: str) -> list[tuple[int, int]]:
        found = voice_activity(sound, detector)
        return [(a, b) for a, b in found if a < 3.9 * SECOND and b > 3.1 * SECOND]

    assert len(over_beep("energy")) == 1 and over_beep("silero") == []
    assert word[0] == SECOND


def test_a_whisper_is_heard_after_a_shout():
    """The threshold goes by what is around: speech 24 dB softer, half a minute later, is speech."""
    loud, shouts = track(30.0, [(at, "garden river lemon") for at in range(1, 28, 2)], noise=0)
    soft, (spoken_softly,) = track(30.0, [(20.0, "garden river lemon")], noise=0)
    truth = [*shouts, (spoken_softly[0] + 30 * SECOND, spoken_softly[1] + 30 * SECOND)]
    found = voice_activity(np.concatenate([loud, soft // 16]), "energy")
    assert (
        wrong([span for span in found if span[0] > 30 * SECOND], truth[-1:], 60 * SECOND)[0] < 0.2
    )
    assert max(wrong(found, truth, 60 * SECOND)) < 0.15


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 32767), max_size=40), st.integers(-100, 100))
def test_spans_are_in_order_and_inside_the_sound(loudness, start):
    """Any sound: tenths of a second of any loudness."""
    sound = np.repeat(np.array(loudness, np.int16), SECOND // 10) * np.tile(
        np.array([1, -1], np.int16), len(loudness) * 800
    )
    edges = [
        start,
        *(edge for span in voice_activity(sound, "energy", start) for edge in span),
        start + sound.size,
    ]
    assert edges == sorted(edges)
    assert len(set(edges[1:-1])) == len(edges) - 2


def test_an_unknown_detector_is_refused():
    with pytest.raises(UsageError, match="'ears' does not exist: use one of silero, energy"):
        voice_activity(np.zeros(SECOND, np.int16), "ears")


@with_silero
def test_silero_leaves_torch_its_threads():
    """Its package sets torch to one thread when it is imported: training after it would crawl."""
    import subprocess

    code = (
        "import torch, numpy; torch.set_num_threads(3); "
        "from omni_lab.media.speech.vad import voice_activity; "
        "voice_activity(numpy.zeros(16000, numpy.int16), 'silero'); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"
