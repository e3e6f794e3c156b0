"""Scripts: ground truth, held-out pairs, and no leak of an answer from the text before it."""

import functools
import math
import random
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.config import TICKS_PER_SECOND, WorldConfig, override, tiny
from omni_lab.errors import UsageError
from omni_lab.world.dialogue import dialogue, facts
from omni_lab.world.drawing import write_script
from omni_lab.world.gallery_lessons import GalleryLessons
from omni_lab.world.questions import CHANCE, FACTS, captions, true_answer
from omni_lab.world.script import (
    CELLS,
    COLOURS,
    COUNTS,
    HELD_OUT_PAIRS,
    MOTIONS,
    SHAPES,
    SPLITS,
    TEST_PITCHES,
    TEST_SPEEDS,
    TRAIN_PITCHES,
    TRAIN_SPEEDS,
)

ONE_FRAME_CEILING = 1 / 3  # a rest and one hop sideways or upright are all that a corner allows
BY_EAR = {"shape_to_colour", "colour_to_shape"}


@functools.cache
def films():
    """Films of every split, length and combination of settings."""
    draw = random.Random(0)
    return [
        write_script(
            draw.randrange(10**12),
            draw.choice((2, 4, 8)),
            WorldConfig(
                questions_per_second=draw.randint(1, 6),
                unnamed_colours=draw.choice((0.0, 0.35, 1.0)),
                blobs=draw.choice((0.0, 0.1)),
                signs=draw.choice((0.0, 0.5, 1.0)),
                beeps=draw.choice((0.0, 0.3, 1.0)),
            ),
            draw.choice(SPLITS),
            draw.random() < 0.3,
        )
        for _ in range(400)
    ]


def room_of(script, question):
    """A question's room, and its second in that room."""
    return script.rooms[question.second // script.room_s], question.second % script.room_s


@given(st.integers(), st.sampled_from(SPLITS))
@settings(max_examples=30, deadline=None)
def test_a_seed_and_a_split_name_one_film(seed, split):
    assert write_script(seed, 8, split=split) == write_script(seed, 8, split=split)
    others = {s: write_script(seed, 8, split=s).rooms for s in SPLITS}
    assert len(set(others.values())) == len(SPLITS), "no film in two splits"


def test_different_seeds_are_different_films():
    assert len({write_script(seed, 2).rooms for seed in range(200)}) == 200


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"seconds": 3}, "whole number of rooms of 2 s"),
        ({"seconds": 0}, "whole number of rooms"),
        ({"seconds": 4, "split": "valid"}, "train, test, held_out"),
    ],
)
def test_an_impossible_film_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        write_script(0, **call)


def test_held_out_pairs_name_every_colour_and_every_shape_once():
    assert sorted(c for c, _ in HELD_OUT_PAIRS) == sorted(COLOURS)
    assert sorted(s for _, s in HELD_OUT_PAIRS) == sorted(SHAPES)


def test_training_never_shows_a_held_out_pair_and_shows_all_others():
    for split in ("train", "test"):
        pairs = Counter(
            (t.colour, t.shape)
            for seed in range(1000)
            for r in write_script(seed, 2, split=split).rooms
            for t in r.things
        )
        assert not HELD_OUT_PAIRS & set(pairs)
        named = {pair for pair in pairs if None not in pair}
        assert len(named) == len(COLOURS) * len(SHAPES) - len(HELD_OUT_PAIRS)


def test_a_held_out_film_has_one_such_pair_in_every_room_and_marks_its_questions():
    marked = 0
    for seed in range(100):
        script = write_script(seed, 4, split="held_out")
        for room in script.rooms:
            assert sum((t.colour, t.shape) in HELD_OUT_PAIRS for t in room.things) == 1
        for question in script.questions:
            room, _ = room_of(script, question)
            rare = next(t for t in room.things if t.held_out)
            if question.fact in ("colour", "shape", "motion"):
                about = question.asked[1] == CELLS[rare.cell]
            elif question.fact in ("shape_to_colour", "colour_to_shape"):
                about = question.answer[0] in (rare.colour, rare.shape)
            elif question.fact == "position":
                about = question.asked[1] in (rare.colour, rare.shape)
            else:
                about = False
            assert question.held_out == about
            marked += about
    assert marked > 300


def test_voices_of_the_test_are_never_heard_in_training():
    heard = defaultdict(set)
    for split in SPLITS:
        for seed in range(100):
            for room in write_script(seed, 2, split=split).rooms:
                heard[split] |= {(s.speed, s.pitch) for s in room.sounds if s.word}
    for split in ("test", "held_out"):
        assert not {v[0] for v in heard["train"]} & {v[0] for v in heard[split]}
        assert not {v[1] for v in heard["train"]} & {v[1] for v in heard[split]}
    assert not set(TRAIN_SPEEDS) & set(TEST_SPEEDS) and not set(TRAIN_PITCHES) & set(TEST_PITCHES)


def seen_truth(room, second, question):
    """Answer to a question from the room alone, without the code under test."""
    asked, fact = question.asked[1], question.fact
    here = next((t for t in room.things if CELLS[t.cell] == asked), None)
    sound = room.sounds[second]

    if fact == "colour":
        return here.colour
    if fact == "shape":
        return here.shape
    if fact == "motion":
        (x0, y0), (x1, y1) = ((c % 2, c // 2) for c in here.corners[second : second + 2])
        return {(0, 0): "still", (1, 0): "right", (-1, 0): "left", (0, 1): "down", (0, -1): "up"}[
            x1 - x0, y1 - y0
        ]
    if fact == "position":
        (thing,) = (t for t in room.things if asked in (t.colour, t.shape))
        return CELLS[thing.cell]

    if fact == "shape_to_colour":
        (thing,) = (t for t in room.things if t.shape == sound.word)
        return thing.colour
    if fact == "colour_to_shape":
        (thing,) = (t for t in room.things if t.colour == sound.word)
        return thing.shape
    if fact == "absent":  # nothing in the room bears the heard word
        kind = {"colour": "shape", "shape": "colour"}[question.asked[0]]
        assert sound.word is None or all(getattr(t, kind) != sound.word for t in room.things)
        return "nothing"

    simple = {
        "sign": lambda: room.sign.digits,
        "word": lambda: sound.word,
        "speaker": lambda: sound.role,
    }
    simple |= {"beeps": lambda: COUNTS[sound.beeps - 1], "note": lambda: room.note}
    return simple[fact]()


def test_every_answer_is_true_and_among_the_words_of_its_fact():
    for script in films():
        for question in script.questions:
            room, second = room_of(script, question)
            assert question.answer == (seen_truth(room, second, question),)
            assert question.answer[0] in FACTS[question.fact][1]
            assert question.carriers == FACTS[question.fact][0]
            assert true_answer(script, question) == question


def test_nothing_that_is_asked_stands_in_the_text_before():
    """By structure: a thing's name at most once in a room, no heard word beside its use."""
    for script in films():
        for index, room in enumerate(script.rooms):
            written = Counter()
            own = [q for q in script.questions if q.second // script.room_s == index]

            for question in own:
                words, second = (*question.asked, *question.answer), question.second % script.room_s
                if question.fact in ("colour", "shape", "position", *BY_EAR):
                    written.update(w for w in words if w in COLOURS or w in SHAPES)
                    if question.fact in BY_EAR:
                        assert room.sounds[second].word not in words
                if question.fact == "note":
                    assert second > 0, "a note is asked about in a later second than it is written"
            assert all(count == 1 for count in written.values())

            # a thing's colour occurs once, in a question or an answer, and so does its shape
            for thing in room.things:
                about = [
                    q
                    for q in own
                    if q.fact in ("colour", "shape") and q.asked[1] == CELLS[thing.cell]
                ]
                assert Counter(q.fact for q in about).total() == len({q.fact for q in about})

            once = Counter(
                (q.fact, q.asked, q.second) for q in own if q.fact not in ("sign", "note")
            )
            once.update((q.fact, q.asked) for q in own if q.fact in ("sign", "note"))
            assert all(count == 1 for count in once.values())
            for second in range(script.room_s):
                heard = {q.fact for q in own if q.second % script.room_s == second}
                assert not ("word" in heard and heard & BY_EAR)


def histories(question, before):
    """Features of a text-only reader: views of the text before a question, coarse to fine."""
    words = [w for q in before for w in (*q.asked, *q.answer)]
    same = [q for q in before if q.second == question.second]

    yield "nothing", ()
    yield "the question", question.asked
    yield (
        "the line before",
        (question.asked, (before[-1].asked, before[-1].answer) if before else ()),
    )
    yield "kinds asked", (question.asked, tuple(sorted(q.fact for q in before)))
    yield (
        "kinds asked in this second",
        (question.asked, tuple(sorted((q.fact, q.asked[0]) for q in same))),
    )

    yield "panels", (question.asked, frozenset(w for w in words if w in CELLS))
    yield "first colour", (question.asked, next((w for w in words if w in COLOURS), None))
    yield "last colour", (question.asked, next((w for w in reversed(words) if w in COLOURS), None))
    yield "last shape", (question.asked, next((w for w in reversed(words) if w in SHAPES), None))
    yield (
        "same panel",
        (
            question.asked,
            tuple(q.answer for q in before if question.asked[1] in (*q.asked, *q.answer)),
        ),
    )


def test_a_reader_without_eyes_and_ears_does_not_beat_chance():
    """By statistics: majority answers of half the rooms for every view of the text."""
    seen = []
    for seed in range(4000):
        questions = write_script(seed, 2).questions
        seen.extend((q, questions[:i]) for i, q in enumerate(questions))
    half = len(seen) // 2
    counts = defaultdict(Counter)
    for question, before in seen[:half]:
        for view in histories(question, before):
            counts[question.fact, view][question.answer] += 1

    right, tried = Counter(), Counter()
    for question, before in seen[half:]:
        for view in histories(question, before):
            guess = counts.get((question.fact, view)) or counts[question.fact, ("nothing", ())]
            right[question.fact, view[0]] += guess.most_common(1)[0][0] == question.answer
            tried[question.fact, view[0]] += 1

    for (fact, view), total in tried.items():
        if FACTS[fact][0] != ("text",) and fact != "absent":  # whose answer is always the same
            ceiling = max(CHANCE[fact], ONE_FRAME_CEILING if fact == "motion" else 0)
            noise = 2 * (ceiling * (1 - ceiling) / total) ** 0.5
            rate = right[fact, view] / total
            assert rate < ceiling + 0.02 + noise, (
                f"{fact} from {view}: {rate:.3f}, chance {ceiling:.3f}, n {total}"
            )
    assert {fact for fact, _ in tried} == set(FACTS), "every kind of fact is asked"


def test_one_frame_allows_a_third_on_motion():
    before, after = defaultdict(Counter), defaultdict(Counter)
    for seed in range(1500):
        for thing in write_script(seed, 2).rooms[0].things:
            for second in range(2):
                before[thing.corners[second]][thing.motion(second)] += 1
                after[thing.corners[second + 1]][thing.motion(second)] += 1
    for counts in (before, after):
        best = sum(c.most_common(1)[0][1] for c in counts.values()) / sum(
            c.total() for c in counts.values()
        )
        assert best < ONE_FRAME_CEILING + 0.02
    assert {m for c in before.values() for m in c} == set(MOTIONS)


def test_what_stands_in_a_room_can_be_seen_and_an_unnamed_colour_is_no_named_one():
    for room in (room for script in films() for room in script.rooms):
        for thing in room.things:
            assert math.dist(thing.rgb, room.wall) > 40, (
                "a thing of the wall's colour has an invisible shape"
            )
            if thing.colour is None:
                assert min(math.dist(thing.rgb, named) for named in COLOURS.values()) > 40


def test_notes_are_carried_by_text_alone():
    """Without the notes all pictures and sounds are the same: nothing else depends on them."""
    import numpy as np

    from omni_lab.world.rendering import render
    from omni_lab.world.voice import soundtrack

    script = next(
        s for s in (write_script(seed, 4) for seed in range(50)) if any(r.note for r in s.rooms)
    )
    without = replace(script, rooms=tuple(replace(r, note=None) for r in script.rooms))
    assert np.array_equal(render(script, [0.2, 2.8], 48), render(without, [0.2, 2.8], 48))
    assert np.array_equal(soundtrack(script), soundtrack(without))
    written = [
        line.text
        for lines, _ in dialogue(script)
        for line in lines
        if line.text.startswith("Note ")
    ]
    asked = [q for q in script.questions if q.fact == "note"]
    assert len(written) >= sum(bool(r.note) for r in script.rooms) + len(asked)


def test_dialogue_keeps_order_whole_milliseconds_and_its_second():
    for script in films():
        lines = [line for exchange, _ in dialogue(script) for line in exchange]
        for line in lines:
            assert (
                line.start < line.end
                and line.start // TICKS_PER_SECOND == (line.end - 1) // TICKS_PER_SECOND
            )
            assert line.start % 16 == 0 and line.end % 16 == 0, "no subtitle format has this time"
        assert all(a.end <= b.start for a, b in pairwise(lines))


def test_facts_stand_where_their_answers_are_written():
    for script in films():
        answers = {
            line.start: line
            for exchange, _ in dialogue(script)
            for line in exchange
            if line.role == "guide"
        }
        truth = facts(script)
        assert len(truth) == len(script.questions) == len(answers)
        for fact in truth:
            line = answers[fact["start"]]
            assert (line.end, line.text.lower()) == (fact["end"], f"{fact['answer']}.")


def test_a_caption_never_names_a_things_colour_and_shape_together():
    for script in films():
        for room in script.rooms:
            for low in (0, 2):  # orders 0 and 1, and 2 and 3, are complementary
                both_orders = [captions(room, 0, low + order) for order in (0, 1)]
                for thing in room.things:
                    named = [
                        {w for pair in caption if CELLS[thing.cell] in pair for w in pair}
                        for caption in both_orders
                    ]
                    assert all(
                        not {thing.colour, thing.shape} - {None} <= n
                        or None in (thing.colour, thing.shape)
                        for n in named
                    )
                    both = {thing.colour, thing.shape} - {None}
                    assert both <= named[0] | named[1]


def test_a_calm_film_asks_one_question_a_second():
    for seed in range(50):
        seconds = Counter(q.second for q in write_script(seed, 8, calm=True).questions)
        assert set(seconds.values()) == {1}


def test_moves_are_told_of_after_what_is_found_and_in_one_order_alone():
    for seed in range(6):
        for room in write_script(seed, 4).rooms:
            moves = [
                (CELLS[t.cell], t.motion(1)) for t in sorted(room.things, key=lambda t: t.cell)
            ]
            alone, told = captions(room, 1, 2), captions(room, 1, 4)
            assert set(moves) & set(alone) == set(moves) & set(captions(room, 1, 3)) == set()
            found = [pair for pair in alone if pair[1] in CELLS]
            assert told == found + moves + alone[len(found) :]


def test_finding_comes_first_then_moves_then_describing():
    """The order decides what is learned at all (results/LOG.md)."""
    config = override(tiny(), ["training.stages.vision.steps=60"])
    lessons = GalleryLessons(config, config.training.stage("vision"))
    orders = [set(lessons._orders(step)) for step in range(60)]
    assert orders == [{2, 3}] * 7 + [{3, 4}] * 29 + [{0, 1, 3, 4}] * 24
