"""Counterfactual twins: only the named carrier differs, and every answer is true in the twin."""

from dataclasses import replace

import numpy as np
import pytest

from omni_lab.config import WorldConfig
from omni_lab.errors import UsageError
from omni_lab.world.dialogue import dialogue
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import true_answer
from omni_lab.world.rendering import render
from omni_lab.world.script import HELD_OUT_PAIRS
from omni_lab.world.twins import CARRIERS, WAYS, differs, twin
from omni_lab.world.voice import soundtrack

CASES = [(carrier, way) for carrier in CARRIERS for way in WAYS]


def noted(seed):
    """A film that has a note in one room at least, and not in all: text can be moved and muted."""
    for number in range(seed * 1000, seed * 1000 + 1000):
        script = write_script(number, 8)
        if 0 < sum(bool(room.note) for room in script.rooms) < len(script.rooms):
            return script
    raise AssertionError("no such film")


@pytest.fixture(scope="module")
def script():
    return noted(1)


@pytest.fixture(scope="module")
def other():
    return noted(2)


def carried(script):
    """Content of each modality: pixels, samples, and the notes that only subtitles carry."""
    times = np.arange(script.seconds * 2) / 2 + 0.25
    alone = [
        lines[0]
        for lines, carriers in dialogue(script)
        if carriers == ("text",) and len(lines) == 1
    ]
    notes = [(line.start // 32_000, line.text) for line in alone]
    return {
        "image": render(script, times, 48).tobytes(),
        "audio": soundtrack(script).tobytes(),
        "text": notes,
    }


@pytest.mark.parametrize(("carrier", "way"), CASES)
def test_only_the_named_carrier_differs(script, other, carrier, way):
    before, after = carried(script), carried(twin(script, carrier, way, other))
    assert {sense for sense in CARRIERS if before[sense] != after[sense]} == {carrier}


@pytest.mark.parametrize(("carrier", "way"), CASES)
def test_questions_of_a_twin_are_the_old_ones_with_answers_true_in_it(script, other, carrier, way):
    made = twin(script, carrier, way, other)
    asked = [(q.fact, q.second, q.asked) for q in script.questions]
    assert made.questions and all((q.fact, q.second, q.asked) in asked for q in made.questions)
    assert all(true_answer(made, q) == q for q in made.questions)
    old = {(q.fact, q.second, q.asked): q for q in script.questions}
    for q in made.questions:
        if carrier not in q.carriers:
            assert old[q.fact, q.second, q.asked] == q, (
                "what does not need the carrier keeps its answer"
            )
    for q in script.questions:
        if carrier not in q.carriers:
            assert q in made.questions, "what does not need the carrier is still asked"
    changed = [made.questions[i] for i in differs(script, made)]
    assert all(carrier in q.carriers for q in changed)
    if way == "muted":
        assert not any(carrier in q.carriers for q in made.questions)
    elif carrier != "text":
        assert changed, "a twin in which every answer is the same tests nothing"


@pytest.mark.parametrize(("carrier", "way"), CASES)
def test_dialogue_of_a_twin_says_what_is_true_in_it(script, other, carrier, way):
    made = twin(script, carrier, way, other)
    answers = [lines[1].text for lines, _ in dialogue(made) if len(lines) == 2]
    assert answers == [f"{' '.join(q.answer).capitalize()}." for q in made.questions]


def test_a_changed_picture_has_other_names_and_no_held_out_pair():
    for seed in range(60):
        script = write_script(seed, 4, split="test")
        made = twin(script, "image", "changed")
        for old, new in zip(script.rooms, made.rooms, strict=True):
            assert [(t.cell, t.shape, t.corners) for t in old.things] == [
                (t.cell, t.shape, t.corners) for t in new.things
            ]
            colours = [t.colour for t in new.things if t.colour]
            assert len(colours) == len(set(colours))
            assert all(
                a.colour != b.colour
                for a, b in zip(old.things, new.things, strict=True)
                if a.colour
            )
            assert not {(t.colour, t.shape) for t in new.things} & HELD_OUT_PAIRS
            assert (old.sign is None) == (new.sign is None) and (
                old.sign is None or old.sign != new.sign
            )


def test_a_changed_sound_differs_in_every_second():
    for seed in range(60):
        script = write_script(seed, 4)
        for old, new in zip(script.rooms, twin(script, "audio", "changed").rooms, strict=True):
            for a, b in zip(old.sounds, new.sounds, strict=True):
                assert (a.word, a.beeps) != (b.word, b.beeps)
                assert bool(a.word) == bool(b.word) and (b.word or 1 <= b.beeps <= 4)


def test_a_shifted_carrier_comes_one_room_later(script):
    made = twin(script, "audio", "shifted")
    second = script.room_s * 16_000
    assert np.array_equal(soundtrack(made), np.roll(soundtrack(script), second))


def test_a_swapped_twin_takes_the_carrier_from_the_other(script, other):
    times = np.arange(8) + 0.25
    assert np.array_equal(
        render(twin(script, "image", "swapped", other), times, 48), render(other, times, 48)
    )
    assert np.array_equal(soundtrack(twin(script, "audio", "swapped", other)), soundtrack(other))


def test_twins_are_the_same_every_time_and_by_seed(script):
    assert twin(script, "image", "changed", seed=1) == twin(script, "image", "changed", seed=1)
    assert twin(script, "image", "changed", seed=1) != twin(script, "image", "changed", seed=2)


def test_both_senses_can_be_muted(script):
    dark = twin(twin(script, "image", "muted"), "audio", "muted")
    assert dark.muted == {"image", "audio"}
    assert all(q.carriers == ("text",) for q in dark.questions)


@pytest.mark.parametrize(
    ("carrier", "way", "message"),
    [
        ("picture", "muted", "image, audio, text"),
        ("image", "removed", "changed, muted, swapped, shifted"),
    ],
)
def test_an_unknown_carrier_or_way_is_refused(script, carrier, way, message):
    with pytest.raises(UsageError, match=message):
        twin(script, carrier, way)


def test_a_swap_needs_a_film_of_the_same_rooms(script):
    longer_rooms = write_script(0, 16, replace(WorldConfig(), room_s=4))
    assert len(longer_rooms.rooms) == len(script.rooms)
    for other in (None, write_script(0, 4), longer_rooms):
        with pytest.raises(UsageError, match="same length"):
            twin(script, "audio", "swapped", other)
