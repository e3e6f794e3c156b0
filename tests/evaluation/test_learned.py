"""One question about one moment, and what a run has learned, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omni_lab.config import tiny
from omni_lab.demo import recorded_run
from omni_lab.errors import UsageError
from omni_lab.evaluation.gallery.asking import likeliest
from omni_lab.evaluation.gallery.exam import world_clips
from omni_lab.evaluation.learned import learned_in_words, unlearned
from omni_lab.training import trained

CONFIG = tiny()


@pytest.fixture(scope="module")
def model():
    return trained(recorded_run())


@pytest.fixture(scope="module")
def clip():
    (clip,) = world_clips(CONFIG, "test", 1, seconds=4)
    return clip


def test_a_question_is_answered_from_the_last_second_of_a_scene(model, clip):
    fact = next(fact for fact in clip.facts if fact["fact"] in ("colour", "shape"))
    second = fact["start"] // 16_000
    scene = replace(clip.window(0, (second + 1) * 16_000), cues=())
    told = likeliest(model, scene, fact["asked"], CONFIG)
    assert next(iter(told["answers"])) == fact["answer"]
    shares = list(told["answers"].values())
    assert len(shares) == 5 and shares == sorted(shares, reverse=True) and sum(shares) <= 1.001
    assert told["seen"].shape == (48, 48, 3)

    grey = replace(scene, frames=np.full_like(scene.frames, 128))
    blind = likeliest(model, grey, fact["asked"], CONFIG)
    assert blind["answers"].get(fact["answer"], 0) < told["answers"][fact["answer"]]


def test_lines_of_the_scene_itself_are_not_read(model, clip):
    scene = clip.window(0, 16_000)
    with_lines, without = (
        likeliest(model, one, "Word said?", CONFIG) for one in (scene, replace(scene, cues=()))
    )
    assert with_lines["answers"] == without["answers"]


def test_a_word_that_is_in_no_vocabulary_is_refused(model, clip):
    with pytest.raises(UsageError, match="never learned one of these words"):
        likeliest(model, clip, "Colour of the elephant?", CONFIG)


def test_facts_are_learned_in_part_or_not_by_how_far_they_are_from_chance():
    facts = {
        "motion": {"accuracy": 0.33, "chance": 0.2},
        "speaker": {"accuracy": 0.7, "chance": 0.5},  # .7 is not half of the way from .5 to 1
        "word": {"accuracy": 0.8, "chance": 0.04},
        "colour": {"accuracy": 0.9, "chance": 0.125},
        "sign": None,
    }
    assert unlearned({"facts": facts}) == {
        "motion": "not learned", "speaker": "not learned", "word": "learned in part",
    }  # fmt: skip
    lines = learned_in_words({"facts": facts})
    assert [line.partition(".")[0] for line in lines] == [
        "✗ NOT LEARNED: motion", "✗ NOT LEARNED: speaker", "✗ LEARNED IN PART: word",
    ]  # fmt: skip
    assert unlearned({}) == {} and learned_in_words({})[0].startswith("○ no questions")
