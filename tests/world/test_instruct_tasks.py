"""Instruction tasks of the gallery: true answers, no guess from the question, splits apart, mixtures."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from omni_lab.config import StageConfig, tiny
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.instruct.mixture import Dataset, mix
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import writing_of
from omni_lab.errors import InputError, UsageError
from omni_lab.evaluation.gallery.instruct import AVERAGE, task_scores
from omni_lab.model.inputs import encoded_units, forward_batch
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.models import new_model
from omni_lab.world.haystack.lessons import still_units
from omni_lab.world.instruct.datasets import instruct_sets
from omni_lab.world.instruct.examples import FRAMES, TASKS, draw_example
from omni_lab.world.instruct.lessons import InstructLessons, WordLessons
from omni_lab.world.instruct.words import draw_text, for_tests, lore
from omni_lab.world.script import (
    CELLS,
    COLOURS,
    COUNTS,
    SPOKEN,
    TEST_SPEEDS,
    TRAIN_SPEEDS,
)

CONFIG = tiny()
STAGE = StageConfig("instruct", train=("decoder",), steps=4, batch_size=12)
SIZES = {"captions": 12, "vqa": 9, "compare": 7, "order": 6, "speech": 4, "text": 5}
SPECS = ("captions=25", "vqa=25", "compare=15", "order=15", "speech=10", "text=10")
WRITING = writing_of(CONFIG, STAGE, build_vocabulary(CONFIG))
NUMBERS = range(600)


@pytest.fixture(scope="module")
def sets():
    return instruct_sets(WRITING, "train", SIZES)


@pytest.fixture(scope="module")
def model():
    return new_model(CONFIG).eval()


@pytest.fixture(scope="module")
def units(sets, model):
    found = {name: own.encode(model) for name, own in sets.items()}
    assert found.pop("text") is None
    return found


def examples(task, split="train"):
    return [draw_example(task, split, number) for number in NUMBERS]


def of_kind(word):
    return "colour" if word in COLOURS else "shape"


def test_a_caption_names_what_stands_in_every_panel_and_examines_colours_and_shapes():
    for example in examples("captions"):
        told = " ".join(example.answer)
        for thing in example.rooms[0].things:
            assert f"{CELLS[thing.cell]} {thing.colour} {thing.shape}" in told
        assert sum(example.scored) == 2 * len(example.rooms[0].things)


def test_a_question_on_one_picture_has_the_answer_that_the_picture_shows():
    for example in examples("vqa"):
        (room,), (what, about), (answer,) = example.rooms, example.asked, example.answer
        if what == "where":
            (thing,) = [t for t in room.things if about in (t.colour, t.shape)]
            assert answer == CELLS[thing.cell]
        else:
            (thing,) = [t for t in room.things if CELLS[t.cell] == about]
            assert answer == getattr(thing, what)


def test_a_comparison_asks_for_what_is_in_the_second_picture_alone():
    for example in examples("compare"):
        before, after = example.rooms
        (came,) = set(after.things) - set(before.things)
        assert set(before.things) < set(after.things) and before.wall == after.wall
        assert example.answer == (getattr(came, example.asked[0]),)
        assert len(after.things) == 3, "the second picture alone leaves three"


def test_a_video_shows_the_motion_that_is_the_answer_and_backwards_another_one():
    ways = {
        (0, 1): "right", (1, 0): "left", (2, 3): "right", (3, 2): "left",
        (0, 2): "down", (2, 0): "up", (1, 3): "down", (3, 1): "up",
    }  # fmt: skip
    for example in examples("order"):
        word = example.asked[1]
        path = [
            next(t.cell for t in room.things if word in (t.colour, t.shape))
            for room in example.rooms
        ]
        assert len(path) == FRAMES
        assert ways.get((path[0], path[-1]), "still") == example.answer[0]
        assert all(len({t.cell for t in room.things}) == 2 for room in example.rooms)


def test_a_spoken_word_is_the_answer_in_voices_of_its_split():
    for split, speeds in (("train", TRAIN_SPEEDS), ("test", TEST_SPEEDS)):
        sounds = [(e.sound, e.answer) for e in examples("speech", split)]
        assert all(sound.word == answer[0] and sound.speed in speeds for sound, answer in sounds)
    assert not set(TRAIN_SPEEDS) & set(TEST_SPEEDS)


def test_lore_is_known_by_both_words_together_and_a_place_in_a_list_by_the_list():
    for asked in (0, 1):
        answers = defaultdict(list)
        for words, answer in lore().items():
            answers[words[asked], of_kind(answer)].append(answer)
        assert all(len(set(own)) == 8 and len(own) == 8 for own in answers.values())
    for example in examples("text"):
        if example.asked[0] == "note":
            assert lore()[example.asked[1:]] == example.answer[0]
        else:
            *listed, _, place = example.asked[1:]
            assert listed[COUNTS.index(place)] == example.answer[0]


@pytest.mark.parametrize("task", TASKS)
def test_training_and_test_samples_are_different_ones(task):
    def told(split):
        return {
            (e.asked, e.rooms, e.sound) if task != "text" else e.asked
            for e in examples(task, split)
        }  # fmt: skip

    assert not told("train") & told("test")


# the most that a guess from the form of a question may reach, by its first word
FORMS = {"where": 1 / 4, "colour": 1 / 8, "shape": 1 / 8, "motion": 1 / 5, "word": 1 / 24}
FORMS |= {"note": 1 / 16, "heard": 1 / 24}


@pytest.mark.parametrize("task", [task for task in TASKS if task != "captions"])
def test_the_question_alone_leaves_a_guess_at_chance(task):
    answers = defaultdict(Counter)
    for number in range(3000):
        example = draw_example(task, "train", number)
        answers[example.asked[0]][example.answer] += 1
    for form, own in answers.items():
        most, of = own.most_common(1)[0][1], own.total()
        assert of > 400 and most / of < FORMS[form] + 0.05, (form, own.most_common(2))


def test_a_word_of_the_question_tells_no_more_than_its_form():
    told = defaultdict(Counter)
    for task in ("vqa", "compare", "order"):
        for number in range(4000):
            example = draw_example(task, "train", number)
            told[task, example.asked][example.answer] += 1
    for (task, asked), own in told.items():
        if own.total() > 150:
            most = own.most_common(1)[0][1] / own.total()
            assert most < FORMS[asked[0]] + 0.12, (task, asked, own.most_common(2))


def test_pretraining_knows_all_lore_and_more_forms_than_the_task():
    drawn = [draw_text(0, number) for number in range(4000)]
    known = {asked[1:] for asked, _ in drawn if asked[0] == "note"}
    assert known == set(lore())
    assert {len(asked) for asked, _ in drawn if asked[0] == "heard"} == {6, 7, 8}
    assert any(asked[0] == CELLS[0] for asked, _ in drawn)
    assert 40 < sum(for_tests(("note", *words)) for words in lore()) < 88


def test_what_does_not_exist_is_refused_by_name():
    for wrong in (("read", "train", 0), ("vqa", "held_out", 0)):
        with pytest.raises(UsageError, match="tasks are captions, vqa, compare, order, speech"):
            draw_example(*wrong)


def test_sets_are_what_a_mixture_asks_for_and_other_sets_have_other_fingerprints(sets):
    assert all(isinstance(own, Dataset) and len(own) == SIZES[name] for name, own in sets.items())
    others = [instruct_sets(WRITING, "test", SIZES), instruct_sets(WRITING, "train", {**SIZES, "vqa": 8})]  # fmt: skip
    assert len({own.fingerprint for s in (sets, *others) for own in s.values()}) == 13
    again = instruct_sets(WRITING, "train", SIZES)
    for name, own in sets.items():
        assert own.fingerprint == again[name].fingerprint
        assert own.lengths().tolist() == [len(row.ids) for row in again[name].rows]


def lessons(sets, units, stage=STAGE, sizes=(24, 24), seed=0):
    mixture = mix({n: sets[n] for n in sets}, SPECS, sizes, seed)
    return InstructLessons(stage, WRITING, sets, mixture, units)


def test_the_same_mixture_gives_the_same_batches_and_another_seed_another_order(sets, units):
    one, two = lessons(sets, units), lessons(sets, units, replace(STAGE, steps=2))
    other = lessons(sets, units, seed=1)
    assert one.fingerprint == two.fingerprint != other.fingerprint
    for step in range(2):
        a, b = one.batch(step).streams, two.batch(step).streams
        assert torch.equal(a.input_ids, b.input_ids)
        assert torch.equal(a.seen, b.seen) and torch.equal(a.heard, b.heard)
    assert not torch.equal(one.batch(0).streams.seen, other.batch(0).streams.seen)
    halves = [one.batch(1, rank, 2).streams for rank in range(2)]
    assert sum(len(half.seen) for half in halves) == len(one.batch(1).streams.seen)


def test_encoded_units_are_those_of_the_samples_own_pictures_and_sounds(sets, units, model):
    data = lessons(sets, units)
    batch = next(iter(data.batches(0)))
    assert isinstance(batch, TrainingBatch) and len(batch.streams.heard)
    seen, heard = encoded_units(model, batch)
    shown, said = iter(seen[batch.streams.seen]), iter(heard[batch.streams.heard])
    for (draw,) in data.plan.rows(0):
        own = sets[draw.source]
        for unit in own.units([draw.number]):
            stands = next(said if own.sense == "audio" else shown)
            assert torch.equal(stands, units[draw.source][unit])
    assert next(shown, None) is None and next(said, None) is None
    assert batch.to("cpu").heard is not None


def test_a_cached_unit_gives_the_losses_that_its_pixels_give(sets, units, model):
    own = sets["compare"]
    batch = own.batch([3, 1])
    cached = forward_batch(model, batch, units["compare"]).losses
    frames = still_units(own._pictures(), CONFIG.sequence)[own.units([3, 1])]
    itself = replace(batch, frames=torch.from_numpy(frames), seen=torch.arange(len(frames)))
    torch.testing.assert_close(forward_batch(model, itself).losses, cached)
    swapped = own.batch([1, 3])
    assert not torch.allclose(forward_batch(model, swapped, units["compare"]).losses, cached)


def test_a_mixture_lacks_no_units_of_its_datasets(sets, units):
    short = {name: own for name, own in units.items() if name != "order"}
    with pytest.raises(InputError, match="order"):
        lessons(sets, short)
    fewer = units | {"order": units["order"][:-1]}
    with pytest.raises(InputError, match="order: 17 units, its samples have 18"):
        lessons(sets, fewer)


def test_only_answers_are_learned_and_only_their_examined_words_count(sets):
    vocabulary = build_vocabulary(CONFIG)
    for name, own in sets.items():
        batch = own.batch(range(len(own)))
        for row, example in enumerate(own.examples):
            labels = batch.labels[row]
            told = vocabulary.decode(labels[labels != IGNORED].tolist()).split()
            assert tuple(told) == example.answer
            scored = batch.targets.known["scored"][row] == 1
            assert int(scored.sum()) == sum(example.scored)
        assert batch.targets.facts == (name,)
        assert (batch.input_ids != vocabulary.ids["<unknown>"]).all()


def test_the_exam_is_right_for_a_model_that_knows_and_wrong_for_one_that_does_not(
    sets, units, model, monkeypatch
):
    found = task_scores(model, sets, units)
    assert set(found) == {*TASKS, AVERAGE}
    assert found[AVERAGE] == pytest.approx(np.mean([found[task] for task in TASKS]))
    assert found[AVERAGE] < 0.5

    class Knows(type(model)):
        def logits(self, states):
            return torch.nn.functional.one_hot(self.told, self.config.vocabulary).float()

        def forward(self, **given):
            output = super().forward(**given)
            self.told = output.targets
            return output

    monkeypatch.setattr(model, "__class__", Knows)
    assert set(task_scores(model, sets, units).values()) == {1.0}


def test_text_alone_is_read_again_from_the_same_seed_and_has_no_units():
    data = WordLessons(CONFIG, replace(STAGE, name="words"))
    batch = data.batch(2).streams
    assert torch.equal(batch.input_ids, data.batch(2).streams.input_ids)
    assert not len(batch.seen) and not len(batch.heard)
    other = WordLessons(replace(CONFIG, seed=1), replace(STAGE, name="words")).batch(2).streams
    assert batch.input_ids.shape != other.input_ids.shape or not torch.equal(
        batch.input_ids, other.input_ids
    )
    assert set(SPOKEN) & set(build_vocabulary(CONFIG).decode(batch.input_ids[0].tolist()).split())
