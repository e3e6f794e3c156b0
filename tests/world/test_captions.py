"""Captioned pictures with wrong words: types tell the truth, sets are finite and nested."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from omni_lab.config import StageConfig, override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.models import new_model
from omni_lab.world.captions.lessons import CaptionLessons, CaptionSet
from omni_lab.world.captions.pictures import FOLLOWS, SHOWN, WRONG, caption_of, draw_room
from omni_lab.world.script import CELLS, COLOURS, SHAPES

CONFIG = override(tiny(), ["world.captions.count=20", "world.captions.wrong=0.4"])
STAGE = StageConfig("captions", train=("decoder",), steps=5, batch_size=8)


@pytest.fixture(scope="module")
def lessons():
    return CaptionLessons(CONFIG, STAGE)


def test_a_word_is_wrong_exactly_where_its_type_says_so_and_of_the_same_kind():
    for number in range(200):
        room = draw_room("train", number)
        told = {CELLS[t.cell]: (t.colour, t.shape) for t in room.things}
        words = caption_of(room, number, 0.4)
        cell, place = "", 0
        for word in words:
            if word.type == FOLLOWS:
                cell, place = word.text, 0
                continue
            true = told.get(cell, ("nothing",))[place]
            place += 1
            assert word.true == true and (word.text != true) is (word.type == WRONG)
            if word.type == WRONG:
                assert any(word.text in kind and true in kind for kind in (COLOURS, SHAPES))
            else:
                assert word.type == SHOWN
        assert [w.text for w in words if w.type == FOLLOWS] == list(CELLS)


def test_the_fraction_of_wrong_words_is_the_one_asked_for_and_sets_are_nested():
    counts: Counter[float] = Counter()
    for number in range(400):
        room = draw_room("train", number)
        marks = [
            [word.type == WRONG for word in caption_of(room, number, wrong)]
            for wrong in (0.0, 0.2, 0.4)
        ]
        assert not any(marks[0])
        assert all(b for a, b in zip(marks[1], marks[2], strict=True) if a)
        counts += Counter({0.2: sum(marks[1]), 0.4: sum(marks[2])})
        counts["named"] += sum(w.true in (*COLOURS, *SHAPES) for w in caption_of(room, number, 0))
    for wrong in (0.2, 0.4):
        assert counts[wrong] / counts["named"] == pytest.approx(wrong, abs=0.04)


def test_every_label_has_its_type_and_nothing_else_has_one(lessons):
    batch = lessons.batch(0).streams
    types, words = batch.targets.known["type"], build_vocabulary(CONFIG)
    labels = batch.labels
    for row, number in enumerate(batch.seen.tolist()):
        said = lessons.set.captions[number]
        places = types[row].isfinite().nonzero()[:, 0]
        assert [w.type for w in said] == types[row, places].tolist()
        assert words.decode(labels[row, places].tolist()).split() == [w.text for w in said]
    assert (labels[types.isfinite()] != IGNORED).all()
    right = batch.targets.known["right"]
    assert torch.equal(right[types.isfinite()] == 0, types[types.isfinite()] == WRONG)


def test_an_epoch_shows_every_picture_once_whatever_the_number_of_processes(lessons):
    shown = [lessons.batch(step).streams.seen.tolist() for step in range(5)]
    assert sorted(n for numbers in shown for n in numbers) == sorted([*range(20)] * 2)
    for step, numbers in enumerate(shown):
        halves = [lessons.batch(step, rank, 2).streams.seen.tolist() for rank in (0, 1)]
        assert [halves[n % 2][n // 2] for n in range(8)] == numbers


def test_pictures_are_encoded_once_and_a_set_that_begins_elsewhere_has_others(lessons):
    model = new_model(CONFIG).eval()
    lessons.enter(model)
    assert lessons.seen.shape[0] == 20 and not lessons.seen.requires_grad
    later = CaptionSet(CONFIG, "train", 5, 20, 0.4)
    assert later.captions[:15] == lessons.set.captions[5:]
    test = CaptionSet(CONFIG, "test", 0, 20, 0.4)
    assert not np.array_equal(test.pictures, lessons.set.pictures)
    again = CaptionLessons(replace(CONFIG, seed=1), STAGE).batch(0).streams.seen
    assert again.tolist() != lessons.batch(0).streams.seen.tolist(), "another order"
