"""Haystack rows: exact lengths and depths, one needle in its place, none in the control."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import UsageError
from omni_lab.sequences.tokens import IMAGE_KIND
from omni_lab.world.haystack.bank import HAYSTACK_WORDS, MARKS, NAMES, draw_bank, sentences
from omni_lab.world.haystack.rows import NEEDLES, HaystackWriter
from omni_lab.world.script import COLOURS, SHAPES, SPOKEN

CONFIG = override(
    tiny(),
    [
        "sequence.layout=haystack",
        "sequence.image_tokens=1",
        "sequence.frames_per_unit=1",
        "world.haystack.pictures=96",
    ],
)
WORDS = build_vocabulary(CONFIG)


@cache
def writer(split="train", *more):
    config = override(CONFIG, more)
    return HaystackWriter(
        config.world.haystack, 1, WORDS, draw_bank(3, 96, 48, config.world, split), split
    )


def exchanges(haystack):
    """Words before the first question, then every question with its answer."""
    first, *asked = " ".join(WORDS.pieces(haystack.tokens.ids)).split("<visitor> ")
    return first.split(), [exchange.strip().split(" <speak> ") for exchange in asked]


def clock(haystack):
    """Time mark before every frame, read off the tokens one by one."""
    readings, mark = [], None
    for word in WORDS.pieces(haystack.tokens.ids):
        mark = word if word in MARKS else mark
        if word == "<image>":
            readings.append(mark)
    return readings


@settings(max_examples=40, deadline=None)
@given(length=st.integers(24, 400), needles=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_a_text_has_its_length_and_each_needle_once_and_its_answers(length, needles, seed):
    haystack = writer().text(np.random.default_rng(seed), length, needles)
    before, asked = exchanges(haystack)
    assert len(haystack.tokens.ids) == length and len(asked) == needles
    for question, answer in asked:
        name = question.split()[0]
        assert before.count(name) == 1
        at = before.index(name)
        assert before[at : at + 3] == [name, "says", answer]
    assert haystack.tokens.ids[haystack.tokens.loss].tolist() == [
        WORDS.ids[answer] for _, answer in asked
    ]


def test_needles_of_training_stand_everywhere_and_at_both_ends_of_a_long_row_by_the_arcsine_law():
    texts, films = [], []
    for seed in range(400):
        before, [(question, _)] = exchanges(writer().text(np.random.default_rng(seed), 300, 1))
        texts.append(before.index(question.split()[0]) / (len(before) - 3))
        film = writer().film(np.random.default_rng(seed), 300, 1, ("what",))
        _, [(question, _)] = exchanges(film)
        shown = writer().bank.shape[film.shows] == SHAPES.index(question.split()[1])
        films.append(np.flatnonzero(shown).item() / (len(shown) - 1))
    for depths in (texts, films):
        fractions = np.histogram(depths, [0, 0.1, 0.5, 0.9, 1])[0] / 400
        np.testing.assert_allclose(fractions, [0.205, 0.295, 0.295, 0.205], atol=0.07)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(48, 400), things=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_a_film_shows_what_is_asked_about_in_one_frame_and_its_answers_are_true(
    length, things, seed
):
    haystack = writer().film(np.random.default_rng(seed), length, things)
    bank, (_, asked), readings = writer().bank, exchanges(haystack), clock(haystack)
    frames = int((haystack.tokens.kind == IMAGE_KIND).sum())
    assert len(haystack.tokens.ids) == length and frames == len(haystack.shows) == len(readings)
    assert len(asked) == 2 * things
    for question, answer in asked:
        kind, shape = question.split()
        (place,) = np.flatnonzero(bank.shape[haystack.shows] == SHAPES.index(shape))
        if kind == "colour":
            assert answer == tuple(COLOURS)[bank.colour[haystack.shows[place]]]
        else:
            assert answer == readings[place]


@pytest.mark.parametrize("length", [64, 65, 86, 501])
@pytest.mark.parametrize("depth", [0.0, 0.25, 1.0])
def test_depth_is_exact_in_frames_and_to_a_sentence_in_texts(length, depth):
    film = writer("test").film(np.random.default_rng(length), length, 1, ("what",), depth)
    (question, _), *_ = exchanges(film)[1]
    (place,) = np.flatnonzero(
        writer("test").bank.shape[film.shows] == SHAPES.index(question.split()[1])
    )
    assert place == round(depth * (len(film.shows) - 1))
    text = writer("test").text(np.random.default_rng(length), length, 1, depth)
    before, asked = exchanges(text)
    at, room = before.index(asked[0][0].split()[0]), len(before) - 3
    assert abs(at - depth * room) <= 2 and (depth not in (0, 1) or at == depth * room)


def test_the_control_has_no_trace_of_the_answer():
    for seed in range(40):
        text = writer().text(np.random.default_rng(seed), 200, 1, 0.5, present=False)
        before, asked = exchanges(text)
        assert len(text.tokens.ids) == 200 and asked[0][0].split()[0] not in before
        film = writer().film(np.random.default_rng(seed), 200, 1, ("what",), 0.5, present=False)
        assert len(film.tokens.ids) == 200
        shape = exchanges(film)[1][0][0].split()[1]
        assert not (writer().bank.shape[film.shows] == SHAPES.index(shape)).any()
    answers = {
        exchanges(writer().text(np.random.default_rng(s), 60, 1, 0.5))[1][0][1] for s in range(400)
    }
    assert answers == set(SPOKEN), "every answer occurs"


def test_a_film_counts_its_clock_on_and_fills_what_is_left_with_a_word():
    film = writer().film(np.random.default_rng(1), 400, 1, ("when",), 0.5)
    readings = [MARKS.index(reading) for reading in clock(film)]
    steps = np.diff(readings) % len(MARKS)
    every = CONFIG.world.haystack.mark
    assert (
        set(steps.tolist()) == {0, 1}
        and readings[:every] == [readings[0]] * every != readings[1 : every + 1]
    )
    films = [
        writer().film(np.random.default_rng(1), n, 1, ("when",), 0.5)
        for n in range(60, 60 + every + 1)
    ]
    assert {exchanges(film)[0].count("frame") for film in films} == {0, 1}, (
        "too little for a mark and a frame"
    )


def test_the_same_generator_writes_the_same_and_another_something_else():
    rows = [writer().film(np.random.default_rng(seed), 100, 2) for seed in (1, 1, 2)]
    assert np.array_equal(rows[0].tokens.ids, rows[1].tokens.ids) and np.array_equal(
        rows[0].shows, rows[1].shows
    )
    assert not np.array_equal(rows[0].shows, rows[2].shows)


def test_tests_have_separate_sentences_and_pictures():
    train, test = sentences("train"), sentences("test")
    assert not set(train) & set(test) and len(test) * 4 == pytest.approx(len(train), abs=4)
    assert not [
        s for s in (*train, *test) if set(WORDS.decode(WORDS.encode(s)).split()) & set(NAMES)
    ]
    ids = [i for s in (*train, *test) for i in WORDS.encode(s)] + [
        WORDS.ids[word] for word in HAYSTACK_WORDS
    ]
    assert WORDS.ids["<unknown>"] not in ids
    frames = [writer(split).bank.frames for split in ("train", "test")]
    assert not (frames[0][:, None] == frames[1][None]).all((2, 3, 4)).any()


def test_a_bank_shows_the_colour_of_its_label():
    bank = writer().bank
    assert bank.frames.shape == (96, 48, 48, 3)
    for picture, colour in zip(bank.frames, bank.colour, strict=True):
        rgb = np.array(tuple(COLOURS.values()), float)[colour]
        nearest = np.abs(picture.astype(float) - rgb).sum(-1).min()
        assert nearest < 60, "some pixel has the thing's colour, but for jitter and noise"


def test_several_image_tokens_a_frame_keep_the_length_and_one_picture_a_frame():
    config = override(CONFIG, ["sequence.image_tokens=4"])
    four = HaystackWriter(config.world.haystack, config.sequence.image_tokens, WORDS, writer().bank)
    for length in range(100, 104):
        film = four.film(np.random.default_rng(0), length, 1, ("what",), 1.0)
        assert len(film.tokens.ids) == length and (film.tokens.kind == IMAGE_KIND).sum() == 4 * len(
            film.shows
        )


@pytest.mark.parametrize("kind", NEEDLES)
def test_the_shortest_length_holds_a_needle_and_one_less_is_refused(kind):
    least = writer().shortest(kind)

    def write(length):
        rng = np.random.default_rng(0)
        return (
            writer().text(rng, length, 1, 0.5)
            if kind == "text"
            else writer().film(rng, length, 1, (kind,), 0.5)
        )

    assert len(write(least).tokens.ids) == least
    with pytest.raises(UsageError, match=f"{least - 1} tokens"):
        write(least - 1)
    with pytest.raises(UsageError, match="there are text, what, when"):
        writer().shortest("why")
