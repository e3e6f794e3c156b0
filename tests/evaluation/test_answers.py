"""Accuracy per fact: questions are found, answers are graded, controls swap one modality only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omni_lab.config import tiny
from omni_lab.errors import UsageError
from omni_lab.evaluation.answers import CONTROLS, by_fact, grade, make_eval_set, predict, swapped
from omni_lab.model.inputs import embed_batch
from omni_lab.model.omni import OmniModel, OmniOutput
from omni_lab.sequences.batch import collate
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import CHANCE, FACTS
from omni_lab.world.vocabulary import WorldVocabulary

CONFIG = tiny()
VOCABULARY = WorldVocabulary()


def exam_of(*seeds, seconds=4, split="test"):
    clips = [from_script(write_script(seed, seconds, split=split), 48) for seed in seeds]
    return make_eval_set(clips, CONFIG, VOCABULARY)


@pytest.fixture(scope="module")
def exam():
    return exam_of(*range(12))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY)).eval()


def test_every_question_of_a_script_is_asked_with_its_words_and_its_answer(exam):
    assert len(exam.asked) == sum(
        len(write_script(seed, 4, split="test").questions) for seed in range(12)
    )
    for asked in exam.asked:
        ids = exam.rows[asked.row].ids
        assert VOCABULARY.decode(ids[list(asked.question)]) == asked.fact["asked"]
        assert VOCABULARY.decode(ids[list(asked.answer)]).replace(" ", "") == asked.fact["answer"]
        assert exam.rows[asked.row].loss[list(asked.answer)].all()
        assert not exam.rows[asked.row].loss[list(asked.question)].any()
        assert max(asked.question) < min(asked.answer)


class Knowing(OmniModel):
    """Model that gives every true answer, but for some words."""

    def __init__(self, wrong=()):
        small = OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY))
        super().__init__(small.config)
        self.wrong = wrong

    def forward(self, labels, **inputs):
        targets = labels[labels >= 0]
        logits = torch.nn.functional.one_hot(targets, len(VOCABULARY)).float()
        for word in self.wrong:
            rows = targets == VOCABULARY.ids[word]
            logits[rows] = logits[rows].roll(1, dims=-1)
        return OmniOutput(states=logits, targets=targets)

    def logits(self, states):
        return states


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_a_model_that_is_always_right_is_counted_right_in_batches_of_any_size(exam, batch_size):
    assert grade(Knowing(), exam, batch_size).all()


def test_a_wrong_token_makes_its_answers_wrong_and_no_others(exam):
    right = grade(Knowing(wrong=("red", "7")), exam)
    expected = [
        not (a.fact["answer"] == "red" or (a.fact["fact"] == "sign" and "7" in a.fact["answer"]))
        for a in exam.asked
    ]
    assert right.tolist() == expected and not all(expected)


def test_predictions_stand_at_their_own_tokens(model, exam):
    batch = collate(exam.rows[:3], CONFIG.sequence, CONFIG.model.image.size)
    predicted = predict(model, batch)
    assert ((predicted >= 0) == batch.loss_mask.numpy()).all()
    with torch.no_grad():
        logits = (
            model.decoder(inputs_embeds=embed_batch(model, batch)).last_hidden_state
            @ model.decoder.embed_tokens.weight.T
        )
    row, place = (int(x) for x in batch.loss_mask.nonzero()[5])
    assert predicted[row, place] == int(logits[row, place - 1].argmax())


def changed(one, other):
    """Names of the streams in which two rows differ."""
    streams = {
        "image": all(np.array_equal(a, b) for a, b in zip(one.frames, other.frames, strict=True)),
        "audio": all(np.array_equal(a, b) for a, b in zip(one.waves, other.waves, strict=True)),
        "tokens": np.array_equal(one.ids, other.ids),
        "layout": all(
            np.array_equal(getattr(one, n), getattr(other, n))
            for n in ("kind", "loss", "unit", "time", "item")
        ),
    }
    return {name for name, equal in streams.items() if not equal}


@pytest.mark.parametrize(
    ("control", "stream"),
    [("swap_image", "image"), ("swap_audio", "audio"), ("swap_question", "tokens")],
)
def test_a_control_swaps_what_it_says_and_nothing_else(exam, control, stream):
    before = [replace(row, ids=row.ids.copy()) for row in exam.rows]
    made = swapped(exam, control)
    assert made.asked == exam.asked
    assert all(changed(a, b) == {stream} for a, b in zip(exam.rows, made.rows, strict=True))
    assert all(not changed(a, b) for a, b in zip(before, exam.rows, strict=True)), (
        "the exam itself stays as it is"
    )


def test_swapped_questions_stand_where_the_old_ones_stood_and_answers_stay(exam):
    made = swapped(exam, "swap_question")
    for old, new in zip(exam.rows, made.rows, strict=True):
        places = np.flatnonzero(old.ids != new.ids)
        own = {place for a in exam.asked if exam.rows[a.row] is old for place in a.question}
        assert set(places.tolist()) <= own
    known = {tuple(exam.rows[a.row].ids[list(a.question)].tolist()) for a in exam.asked}
    for asked in made.asked:
        assert tuple(made.rows[asked.row].ids[list(asked.question)].tolist()) in known


def test_clips_are_swapped_with_clips_of_their_own_length():
    clips = [from_script(write_script(seed, s), 48) for seed, s in enumerate((2, 4, 2, 4))]
    exam = make_eval_set(clips, CONFIG, VOCABULARY)
    made = swapped(exam, "swap_image")
    for row, partner in enumerate((2, 3, 0, 1)):
        assert all(
            a is b for a, b in zip(made.rows[row].frames, exam.rows[partner].frames, strict=True)
        )


def test_clips_without_pictures_are_swapped_by_the_length_of_their_sound(model):
    clips = [
        from_script(write_script(seed, s), 48, senses=("audio", "text"))
        for seed, s in enumerate((4, 8, 4, 8))
    ]
    exam = make_eval_set(clips, CONFIG, VOCABULARY)
    made = swapped(exam, "swap_audio")
    assert [len(row.waves) for row in made.rows] == [4, 8, 4, 8]
    assert len(grade(model, made)) == len(exam.asked)


def test_a_clip_that_has_no_partner_is_not_swapped_with_itself():
    with pytest.raises(UsageError, match="no other clip of its length"):
        swapped(exam_of(0), "swap_image")


def test_an_unknown_control_is_refused(exam):
    with pytest.raises(UsageError, match=", ".join(CONTROLS)):
        swapped(exam, "swap_smell")


def test_an_exam_without_questions_is_refused():
    clip = replace(from_script(write_script(0, 2), 48), facts=())
    with pytest.raises(UsageError, match=r"truth\.json"):
        make_eval_set([clip], CONFIG, VOCABULARY)


def test_scores_count_each_fact_once_with_its_chance_and_an_interval(exam):
    right = np.array([a.fact["fact"] == "colour" or i % 2 == 0 for i, a in enumerate(exam.asked)])
    scores = by_fact(exam, right, CHANCE)
    assert sum(score["n"] for score in scores.values()) == len(exam.asked)
    assert scores["colour"]["accuracy"] == 1.0 and set(scores) <= set(FACTS)
    for fact, score in scores.items():
        assert score["chance"] == CHANCE[fact]
        assert 0 <= score["low"] <= score["accuracy"] <= score["high"] <= 1


def test_held_out_scores_count_questions_about_unseen_pairs_alone():
    exam = exam_of(*range(8), split="held_out")
    right = np.array([a.fact["held_out"] for a in exam.asked])
    scores = by_fact(exam, right, CHANCE, held_out=True)
    assert sum(score["n"] for score in scores.values()) == right.sum() > 0
    assert all(score["accuracy"] == 1 for score in scores.values())
    assert not {"word", "speaker", "beeps", "sign", "note"} & set(scores)
