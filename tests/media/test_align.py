"""Forced alignment: spoken words at known times, and texts that differ from the speech."""

import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken_words import GUIDE, SECOND, VISITOR, sentence, with_pocketsphinx

from omni_lab.errors import UsageError
from omni_lab.media.speech import align as alignment
from omni_lab.media.speech.align import align, guess, spoken
from omni_lab.media.subtitles.reader import Cue
from omni_lab.world.script import SPOKEN


@with_pocketsphinx
@pytest.mark.parametrize("voice", [GUIDE, VISITOR])
def test_words_are_found_where_they_are_said(voice):
    """Measured over 24 sentences: a mean of 19 ms, a standard deviation of 8 ms between them."""
    means = []
    for seed in range(6):
        said = random.Random(seed).sample(SPOKEN, 8)
        sound, truth = sentence(said, voice)
        cue = Cue(truth[0][0] - 2000, truth[-1][1] + 2000, " ".join(said).capitalize() + ".")
        (aligned,) = align((cue,), sound)
        assert (aligned.start, aligned.end, aligned.text) == (cue.start, cue.end, cue.text)
        assert [word.text for word in aligned.words] == cue.text.split()
        starts = zip(aligned.words, truth, strict=True)
        means.append(np.mean([abs(word.start - start) / 16 for word, (start, _) in starts]))  # ms
    assert np.mean(means) < 26


@with_pocketsphinx
def test_text_that_is_not_said_is_mostly_refused():
    """Measured: 13 to 16 of 20; this aligner cannot promise to refuse all."""
    refused = 0
    for seed in range(10):
        said, other = (random.Random(seed).sample(words, 8) for words in (SPOKEN[:12], SPOKEN[12:]))
        sound, truth = sentence(said)
        (aligned,) = align((Cue(truth[0][0], truth[-1][1], " ".join(other)),), sound)
        refused += not aligned.words
    assert refused >= 5


@with_pocketsphinx
def test_what_was_aligned_before_changes_nothing():
    """The aligner lives as long as the process: the order of films must not show in them."""
    sound, _ = sentence(["music", "and", "winter"])
    cue = Cue(0, sound.size, "Music and winter.")
    alone = align((cue,), sound)
    other, _ = sentence(["silver", "river"], VISITOR)
    align((Cue(0, other.size, "Silver river, teshik."),), other)
    align((Cue(0, other.size, "Nobody said all these many words here today."),), other)
    assert align((cue,), sound) == alone


@with_pocketsphinx
def test_alignment_keeps_the_films_clock():
    """Sound that begins late, a cue that is not the first: times are the film's."""
    sound, truth = sentence(["music", "and", "winter"])
    late = 5 * SECOND
    plain = align((Cue(0, sound.size, "Music and winter."),), sound)[0]
    moved = align((Cue(late, late + sound.size, "Music and winter."),), sound, late)[0]
    assert moved == plain.moved(late)
    assert abs(plain.words[0].start - truth[0][0]) < 0.06 * SECOND


@with_pocketsphinx
def test_numbers_marks_and_unknown_words_are_placed_in_order():
    sound, truth = sentence(["in", "nineteen", "sixty", "nine", "teshik", "saw", "the", "river"])
    cue = Cue(0, sound.size, "In 1969 — Teshik saw the river.")
    (aligned,) = align((cue,), sound)
    assert [word.text for word in aligned.words] == cue.text.split()
    edges = [edge for word in aligned.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    starts = {word.text: word.start for word in aligned.words}
    assert abs(starts["1969"] - truth[1][0]) < 0.1 * SECOND
    assert abs(starts["Teshik"] - truth[4][0]) < 0.1 * SECOND
    assert abs(starts["saw"] - truth[5][0]) < 0.1 * SECOND


@with_pocketsphinx
def test_a_cue_that_has_words_or_no_sound_stays():
    sound, _ = sentence(["music", "and", "winter"])
    whole = Cue(0, sound.size, "music and winter")
    (done,) = align((whole,), sound)
    shifted = done.moved(40)
    outside = Cue(90 * SECOND, 91 * SECOND, "music")
    before = Cue(0, 100, "music")
    late = 10 * SECOND
    assert align((shifted, outside), sound) == (shifted, outside)
    assert align((before,), sound, late) == (before,)


@with_pocketsphinx
def test_quotation_marks_are_not_part_of_words():
    """A closing mark looks like an apostrophe: the dictionary is asked without it too."""
    sound, _ = sentence(["silver", "and", "diamond"])
    plain, quoted = (
        align((Cue(0, sound.size, text),), sound)[0].words
        for text in ("silver and diamond", "'silver' ‘and diamond’")
    )
    assert [(word.start, word.end) for word in quoted] == [(word.start, word.end) for word in plain]
    assert {"silver'", "diamond'"}.isdisjoint(alignment._aligner().guessed)


@with_pocketsphinx
def test_another_language_is_left_alone():
    sound, _ = sentence(["music", "and", "winter"])
    cues = (
        Cue(
            0,
            sound.size,
            "Wir möchten später noch spazieren gehen, "
            "weil draußen endlich schönes Wetter herrscht.",
        ),
        Cue(0, sound.size, "Музыка и зима."),
    )
    assert align(cues, sound) == cues
    assert align(cues[1:], sound) == cues[1:]


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=30))
def test_any_text_can_be_spelled(text):
    """Any subtitle becomes words that pocketsphinx accepts, with phones that it has."""
    phones = {phone for phones in alignment._SOUNDS.values() for phone in phones.split()}
    for token in text.split():
        for word in spoken(token):
            assert word and word.isascii() and " " not in word
            assert set(guess(word).split()) <= phones
            assert guess(word) or not any(c.isalpha() for c in word)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("7", "seven"), ("40", "forty"), ("99", "ninety nine"), ("100", "one hundred"),
        ("250", "two hundred fifty"), ("1805", "eighteen oh five"), ("2005", "two thousand five"),
        ("1969", "nineteen sixty nine"),
        ("1900", "nineteen hundred"), ("12,345", "twelve thousand three hundred forty five"),
        ("007", "zero zero seven"),
        ("3:2", "three two"), ("don’t", "don't"), ("naïve", "naive"), ("R&B", "r and b"), ("…", ""),
    ],
)  # fmt: skip
def test_numbers_and_marks_are_said_as_people_say_them(written, said):
    assert " ".join(spoken(written)) == said


def test_without_pocketsphinx_alignment_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    alignment._aligner.cache_clear()
    with pytest.raises(UsageError, match="needs pocketsphinx: pip install"):
        align((Cue(0, SECOND, "music"),), np.zeros(SECOND, np.int16))
