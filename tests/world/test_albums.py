"""Albums: every answer is true of the pictures, and no shortcut beats chance."""

import functools
import random
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import AlbumConfig, override, tiny
from omni_lab.errors import ConfigError, UsageError
from omni_lab.sequences.vocabulary import UNKNOWN
from omni_lab.world.albums.album import KINDS, STAY, write_album
from omni_lab.world.script import CELLS, COLOURS, HELD_OUT_PAIRS
from omni_lab.world.vocabulary import WorldVocabulary

SINGLE = AlbumConfig(1, 1, videos=0.0, questions=1)
MANY, VIDEO = AlbumConfig(2, 5, videos=0.0, questions=3), AlbumConfig(videos=1.0, questions=3)
SEEDS = st.integers(0, 10**12)


@functools.cache
def albums():
    """Albums of all three sorts."""
    return [
        write_album(seed, sort, split="test")
        for sort in (SINGLE, MANY, VIDEO)
        for seed in range(1000)
    ]


@functools.cache
def questions():
    """Every question, by its kind."""
    by_kind = defaultdict(list)
    for album in albums():
        for question in album.questions:
            by_kind[question.kind].append((album, question))
    return by_kind


def standing(album, number):
    """Panel → (colour, shape) in one picture, counted from 1."""
    return {
        CELLS[thing.cell]: (thing.colour, thing.shape)
        for thing in album.script.rooms[number - 1].things
    }


def answer_of(album, number, asks, word):
    """Answer of one picture, read from the script without the code under test."""
    panels = standing(album, number)
    if asks == "where":
        return next(cell for cell, names in panels.items() if word in names)
    return panels[word][asks == "shape"]


def frames_with(album, word):
    rooms = range(1, album.script.seconds + 1)
    return [
        number
        for number in rooms
        if any(word in names for names in standing(album, number).values())
    ]


def truth(album, question):
    """The answer, worked out again."""
    match question.asked:
        case ("image" | "frame", number, asks, word):
            return answer_of(album, int(number), asks, word)
        case ("which", "image", word):
            (number,) = frames_with(album, word)
            return str(number)
        case ("same", "image", one, "image", other, asks, word):
            alike = answer_of(album, int(one), asks, word) == answer_of(
                album, int(other), asks, word
            )
            return "same" if alike else "different"
        case ("when", word):
            return str(frames_with(album, word)[0])
        case ("first", one, other):
            return one if frames_with(album, one)[0] < frames_with(album, other)[0] else other
    raise AssertionError(question.asked)


@given(SEEDS, st.sampled_from((SINGLE, MANY, VIDEO, AlbumConfig())))
@settings(max_examples=60, deadline=None)
def test_every_answer_is_true_and_among_its_choices(seed, sort):
    album = write_album(seed, sort)
    for question in album.questions:
        assert question.answer == truth(album, question) and question.answer in question.choices
        assert len(set(question.choices)) == len(question.choices) > 1
        assert KINDS[question.kind] == (
            "video" if album.video else "multi" if album.script.seconds > 1 else "single"
        )


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_pixels_show_the_colours_that_the_answers_name(seed):
    names, tints = list(COLOURS), np.array(list(COLOURS.values()), np.float64)
    for sort in (SINGLE, MANY, VIDEO):
        album = write_album(seed, sort)
        pictures = album.pictures(96).astype(np.float64)
        for question in album.questions:
            if question.kind in ("single", "look", "watch") and question.asked[2] == "colour":
                row, column = divmod(CELLS.index(question.asked[3]), 2)
                number = int(question.asked[1]) - 1
                panel = (
                    pictures[number]
                    .reshape(2, 48, 2, 48, 3)[row, 4:44, column, 4:44]
                    .reshape(-1, 3)
                )
                away = np.linalg.norm(panel - np.asarray(album.script.rooms[number].wall), axis=1)
                seen = np.median(panel[away > 0.9 * away.max()], axis=0)
                assert names[np.linalg.norm(tints - seen, axis=1).argmin()] == question.answer


def test_a_seed_and_a_split_name_one_album_and_the_splits_have_none_in_common():
    seeds = range(300)
    train, again, test = (
        [write_album(s, split=split) for s in seeds] for split in ("train", "train", "test")
    )
    assert train == again
    rooms = {album.script.rooms for album in (*train, *test)}
    assert len(rooms) == 2 * len(seeds)
    pairs = {
        (thing.colour, thing.shape)
        for rooms_of in rooms
        for room in rooms_of
        for thing in room.things
    }
    assert not pairs & HELD_OUT_PAIRS


def test_in_a_video_one_thing_stays_and_changes_its_panel_and_guests_are_seen_for_two_frames():
    moved = 0
    for album in albums():
        if not album.video:
            continue
        rooms = album.script.rooms
        assert 4 <= len(rooms) <= 6 and len({room.wall for room in rooms}) == 1
        seen = defaultdict(list)
        for number, room in enumerate(rooms):
            assert len({thing.cell for thing in room.things}) == len(room.things), (
                "two things in one panel"
            )
            for thing in room.things:
                seen[thing.colour, thing.shape].append((number, thing.cell))
        assert sorted(len(places) for places in seen.values()) == [STAY] * 3 + [len(rooms)]
        moved += len({cell for _, cell in max(seen.values(), key=len)}) > 1
        assert all(b[0] == a[0] + 1 for places in seen.values() for a, b in pairwise(places)), (
            "gone in between"
        )
    assert moved > 940


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_from_the_text_alone_beats_chance(kind):
    """Majority answers learned on half of the albums: of a question, of its form, or overall."""
    asked = questions()[kind]
    guess = np.mean([1 / len(question.choices) for _, question in asked])
    for key in (
        lambda q: q.asked,
        lambda q: (len(q.asked), q.asked[0], q.asked[-2]),
        lambda q: q.kind,
    ):
        table = defaultdict(Counter)
        for _, question in asked[::2]:
            table[key(question)][question.answer] += 1
        right = [
            bool(table[key(question)])
            and table[key(question)].most_common(1)[0][0] == question.answer
            for _, question in asked[1::2]
        ]
        by_luck = 4 * (guess * (1 - guess) / len(right)) ** 0.5
        assert np.mean(right) < guess + by_luck, (kind, np.mean(right), guess)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_drawn_evenly_from_its_choices(kind):
    """Seeing all pictures without their order gives the choices: none of them is likelier."""
    asked = questions()[kind]
    assert len(asked) > 300
    ranks = [
        (sorted(question.choices).index(question.answer) + 0.5) / len(question.choices)
        for _, question in asked
    ]
    deviation = np.std(ranks) / len(ranks) ** 0.5
    assert abs(np.mean(ranks) - 0.5) < 4 * deviation
    if kind == "first":
        assert (
            abs(np.mean([question.answer == question.asked[1] for _, question in asked]) - 0.5)
            < 0.06
        )


@pytest.mark.parametrize("kind", ["look", "watch", "which", "when", "first"])
def test_what_is_seen_in_most_pictures_is_no_better_a_guess(kind):
    """A shortcut by counting, without the numbers of the pictures."""
    draw = random.Random(0)
    right, chance = [], []
    for album, question in questions()[kind]:
        numbers = range(1, album.script.seconds + 1)

        if kind in ("look", "watch"):
            asks, word = question.asked[2:]
            there = [
                n
                for n in numbers
                if any(word in (cell, *names) for cell, names in standing(album, n).items())
            ]
            often = Counter(answer_of(album, n, asks, word) for n in there)
        elif kind == "first":
            often = Counter({word: len(frames_with(album, word)) for word in question.choices})
        else:
            often = Counter(
                {str(n): len(standing(album, n)) for n in numbers if str(n) in question.choices}
            )

        most = max(often.values())
        right.append(
            draw.choice(sorted(word for word, times in often.items() if times == most))
            == question.answer
        )
        chance.append(1 / len(question.choices))
    assert np.mean(right) < np.mean(chance) + 0.06


def test_a_thing_is_asked_about_once_in_an_album():
    for album in albums():
        spent = Counter()
        for question in album.questions:
            spent.update(mentioned(album, question))
        assert max(spent.values(), default=1) == 1, album.questions


def mentioned(album, question):
    """Things that a question gives information on: (picture, thing), the thing alone in a video."""
    numbers = range(1, album.script.seconds + 1)
    if question.kind == "same":
        numbers = [int(question.asked[2]), int(question.asked[4])]
    things = set()
    for number in numbers:
        for cell, names in standing(album, number).items():
            if {cell, *names} & set(question.asked):
                things.add((0 if album.video else number, names))
    return things


def test_albums_of_every_sort_are_as_long_as_their_settings():
    lengths = Counter(write_album(seed, MANY).script.seconds for seed in range(400))
    assert set(lengths) == {2, 3, 4, 5} and min(lengths.values()) > 60
    assert {write_album(seed, SINGLE).script.seconds for seed in range(50)} == {1}
    videos = np.mean([write_album(seed).video for seed in range(400)])
    assert 0.4 < videos < 0.6
    assert all(len(album.questions) <= 3 for album in albums())


def test_all_their_words_are_in_the_vocabulary_of_the_formats_and_in_no_stream():
    vocabulary = WorldVocabulary("F0")
    for album in albums():
        for question in album.questions:
            for text in question.text:
                assert vocabulary.ids[UNKNOWN] not in vocabulary.encode(text), text
    assert WorldVocabulary("F4").tokens == vocabulary.tokens, "one vocabulary for all formats"
    assert not {"which", "image", "same"} & set(WorldVocabulary().tokens)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("albums.most=10", "at most 9"),
        ("albums.fewest=6", "albums.most = 5"),
        ("albums.frames=2", "from 3 to 9"),
        ("albums.videos=2", "between 0 and 1"),
    ],
)
def test_impossible_albums_are_refused_by_name(setting, message):
    with pytest.raises(ConfigError, match=message):
        override(tiny(), [setting])


def test_there_are_no_albums_of_another_split():
    with pytest.raises(UsageError, match="held_out"):
        write_album(0, split="held_out")
