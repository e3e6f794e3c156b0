"""Speaker diarisation of the world's two voices, at trained and unseen speeds and pitches."""

import random
import tracemalloc
from itertools import permutations

import numpy as np
import pytest

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import Film
from omni_lab.media.probe import Source
from omni_lab.media.speech.diarise import LOWEST, PITCH_WEIGHT, embed, group, name_voices
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.cutting.listen import heard
from omni_lab.world.script import SPOKEN, TEST_PITCHES, TEST_SPEEDS, TRAIN_PITCHES, TRAIN_SPEEDS
from omni_lab.world.voice import VOICES, speak

SECOND = 16_000  # ticks
BOTH = tuple(VOICES.values())
RANGES = {"trained": (TRAIN_SPEEDS, TRAIN_PITCHES), "unseen": (TEST_SPEEDS, TEST_PITCHES)}


def talk(seed: int, voices: tuple[str, ...], words: int, kind: str, lines: int = 20):
    """Dialogue in random voices, speeds and pitches: the sound, a cue per line, the speakers."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    parts, cues, who, at = [], [], [], 0
    for _ in range(lines):
        speaker = rng.randrange(len(voices))
        speed, pitch = rng.choice(RANGES[kind][0]), rng.choice(RANGES[kind][1])
        spoken = [speak(rng.choice(SPOKEN), voices[speaker], speed, pitch) for _ in range(words)]
        wave = 0.4 * np.concatenate([np.r_[word, np.zeros(800, np.float32)] for word in spoken])
        cues.append(Cue(at, at + wave.size, "words"))
        parts += [wave, np.zeros(SECOND // 4, np.float32)]
        who.append(speaker)
        at += wave.size + SECOND // 4
    sound = np.concatenate(parts)
    sound = sound + 0.004 * noise.standard_normal(sound.size)
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16), tuple(cues), np.array(who)


def error(cues: tuple[Cue, ...], who: np.ndarray) -> float:
    """Diarisation error: the fraction of cues in a wrong group, under the best naming.

    A voice that is split in two counts its smaller part as wrong.
    """
    names = sorted({cue.role for cue in cues})
    number = np.array([names.index(cue.role) for cue in cues])
    orders = permutations(range(max(len(names), who.max() + 1)))
    return 1 - max(float(np.mean(np.array(order)[number] == who)) for order in orders)


@pytest.mark.parametrize("kind", list(RANGES))
def test_two_voices_are_told_apart(kind):
    errors = []
    for seed in range(3):
        sound, cues, who = talk(seed, BOTH, 3, kind)
        errors.append(error(name_voices(cues, sound), who))
    assert np.mean(errors) <= 0.05


@pytest.mark.parametrize("voice", BOTH)
def test_one_voice_is_one_voice(voice):
    """At one speed and pitch after the other, as one person speaks."""
    for seed in range(3):
        sound, cues, _ = talk(seed, (voice,), 3, "unseen")
        assert {cue.role for cue in name_voices(cues, sound)} == {"voice 1"}


def test_voices_are_numbered_as_they_appear_and_marked_with_where_they_come_from():
    sound, cues, _ = talk(4, BOTH, 3, "trained")
    named = name_voices(cues, sound)
    assert named[0].role == "voice 1"
    assert {cue.role for cue in named} == {"voice 1", "voice 2"}
    assert all(cue.role_source == "voice" and 0 <= cue.role_confidence <= 1 for cue in named)
    assert [(c.start, c.end, c.text) for c in named] == [(c.start, c.end, c.text) for c in cues]
    assert name_voices(cues, sound) == named


def test_a_cue_of_which_too_little_sounds_has_no_voice():
    sound, cues, _ = talk(1, BOTH, 3, "trained", lines=8)
    silent = Cue(sound.size + SECOND, sound.size + 3 * SECOND, "after the end")
    short = Cue(cues[0].start, cues[0].start + 800, "a")
    pause = Cue(cues[2].end, cues[3].start, "…")
    named = name_voices((short, *cues, pause, silent), sound)
    assert [cue.role for cue in (named[0], named[-2], named[-1])] == [None, None, None]
    assert all(cue.role for cue in named[1:-2])
    assert name_voices((silent,), sound) == (silent,)


def test_a_title_that_stands_for_the_whole_film_costs_no_more_than_a_long_cue():
    sound = np.random.default_rng(0).integers(-3000, 3000, 60 * SECOND).astype(np.int16)
    peaks = []
    for length_s in (30, 60):
        tracemalloc.start()
        name_voices((Cue(0, length_s * SECOND, "Title"),), sound)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_the_films_clock_is_kept():
    sound, cues, _ = talk(2, BOTH, 3, "trained", lines=10)
    later = tuple(cue.moved(7 * SECOND) for cue in cues)
    assert [c.role for c in name_voices(later, sound, 7 * SECOND)] == [
        c.role for c in name_voices(cues, sound)
    ]
    assert name_voices((Cue(0, 5 * SECOND, "before"),), sound, 7 * SECOND)[0].role is None


def test_marks_are_never_overruled():
    """A name in the text stays; only cues without one are diarised. Off by default."""
    sound, cues, _ = talk(3, BOTH, 3, "trained", lines=10)
    cues = (*(Cue(c.start, c.end, "GUIDE: Words.") for c in cues[:2]), *cues[2:])
    source = Source("id", "film.mkv", (), sound.size)
    nothing, levels = np.zeros(0, np.int64), np.zeros(0, np.float32)
    film = Film(source, (), nothing, levels, levels, nothing, 0, sound, 0, (), cues)
    named = heard(film, TripletConfig(voices=True)).cues
    assert [(c.role, c.role_source, c.role_confidence) for c in named[:2]] == [
        ("guide", "prefix", None)
    ] * 2
    assert all(cue.role.startswith("voice ") for cue in named[2:])
    assert all(cue.role is None for cue in heard(film, TripletConfig()).cues[2:])


def test_groups_are_found_in_points_that_have_them_and_not_in_one_cloud():
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((60, 8)).astype(np.float32)
    numbers, sure = group(cloud)
    assert set(numbers) == {0} and ((sure >= 0) & (sure <= 1)).all()
    apart = cloud + 12 * np.eye(8, dtype=np.float32)[np.arange(60) % 4]
    numbers, sure = group(apart)
    assert numbers.tolist() == [i % 4 for i in range(60)]
    assert sure.min() > 0.3


def test_equal_and_few_vectors_are_one_voice():
    for count in (1, 2, 3, 9):
        numbers, sure = group(np.ones((count, 4), np.float32))
        assert numbers.tolist() == [0] * count and np.isfinite(sure).all()


def test_more_cues_than_are_compared_at_once_join_their_nearest(monkeypatch):
    from omni_lab.media.speech import diarise as voices

    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((90, 3)) + 15 * (np.arange(90) % 2)[:, None]).astype(np.float32)
    whole = group(vectors)[0]
    monkeypatch.setattr(voices, "AT_ONCE", 20)
    assert group(vectors)[0].tolist() == whole.tolist() == [i % 2 for i in range(90)]


def test_a_tone_has_its_pitch_and_noise_has_no_voice():
    time = np.arange(SECOND) / SECOND
    for hz in (90, 180, 350):
        tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 8))
        vector = embed((6000 * tone).astype(np.int16))
        assert abs(vector[-1] / PITCH_WEIGHT - 12 * np.log2(hz / LOWEST)) < 0.5
    noise = 6000 * np.random.default_rng(0).standard_normal(SECOND)
    assert embed(noise.clip(-32767, 32767).astype(np.int16)) is None
