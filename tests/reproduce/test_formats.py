"""Multi-image format experiment: data of each arm, equal questions, preregistered criteria."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from stage_data import lessons_of

from omni_lab.config import AlbumConfig, override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import UsageError
from omni_lab.evaluation.answers import grade
from omni_lab.evaluation.gallery.albums import EXAM, by_kind, eval_albums, make_album_eval_set
from omni_lab.model.omni import OmniModel, OmniOutput
from omni_lab.plots.evaluation.formats import draw_format_scores
from omni_lab.reproduce.experiments.formats import (
    ARMS,
    COMPARED,
    CRITERIA,
    FORMATS,
    GROUPS,
    numbers,
    reproduce,
    settings,
)
from omni_lab.reproduce.record import Criterion, write_record
from omni_lab.sequences.items import IMAGE_END, IMAGE_START
from omni_lab.sequences.tokens import IMAGE_KIND
from omni_lab.world.albums.album import KINDS, write_album
from omni_lab.world.vocabulary import WorldVocabulary

FEW = [
    "albums.stages.albums.batch_size=4",
    "albums.stages.albums.steps=20",
    "albums.stages.albums.curriculum_fraction=.5",
]


def configured(arm, *more):
    config = override(tiny(), [*FEW, *more])
    return override(config, settings(arm, config))


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_sees_what_it_is_called_after(arm):
    mixture = lessons_of(configured(arm, "albums.stages.albums.batch_size=12"), "albums")
    batch, words = mixture.batch(15).streams, mixture.vocabulary
    marks = [words.control(mark) for mark in (IMAGE_START, IMAGE_END)]
    pictures = len(batch.frames)
    assert sum(int((batch.input_ids == mark).sum()) for mark in marks) == 2 * pictures * (
        arm[:2] in ("F1", "F3", "F4")
    )
    firsts = (batch.kind == IMAGE_KIND).sum(1) // 4  # four tokens a picture
    assert (firsts.max() == 1) == arm.endswith("single")
    frames = batch.input_ids == words.ids["frame"]
    prompts = frames[:, 0].any()  # the first word of a video in F4
    assert bool(prompts) == (arm == "F4"), (
        "`frame 1` is written where there is a video, and F4 alone writes it"
    )
    assert batch.input_ids.shape[1] <= tiny().sequence.max_tokens


def test_every_format_learns_from_the_same_pictures_and_words_in_the_same_order():
    batches = {arm: lessons_of(configured(arm), "albums").batch(12).streams for arm in FORMATS}
    words = WorldVocabulary("F0")
    first = batches["F0"]
    for batch in batches.values():
        assert torch.equal(batch.frames, first.frames)
        supervised, expected = (
            [words.decode(row[mask]) for row, mask in zip(b.input_ids, b.loss_mask, strict=True)]
            for b in (batch, first)
        )
        assert supervised == expected
    tokens = [batches[arm].tokens for arm in FORMATS]
    assert tokens[0] < min(tokens[1:3]) and tokens[3] == tokens[4], "marks and prompts cost tokens"


def test_a_batch_is_a_function_of_seed_step_and_rank_and_a_stage_begins_with_short_albums():
    mixture = lessons_of(configured("F4"), "albums")
    assert torch.equal(mixture.batch(3).streams.input_ids, mixture.batch(3).streams.input_ids)
    parts = [mixture.batch(12, rank, 2).streams for rank in (0, 1)]
    assert sum(len(part.frames) for part in parts) == len(mixture.batch(12).streams.frames)
    longest = [
        max((lessons_of(mixture.config, "albums").batch(s).streams.kind == IMAGE_KIND).sum(1)) // 4
        for s in range(20)
    ]
    assert max(longest[:10]) == 3 and max(longest[10:]) == 6
    assert (
        min((mixture.batch(step).streams.kind == IMAGE_KIND).sum(1).min() for step in range(20))
        == 4
    )
    other = lessons_of(override(mixture.config, ["seed=1"]), "albums").batch(3).streams
    assert not torch.equal(other.input_ids, mixture.batch(3).streams.input_ids)


def test_a_stage_of_many_pictures_begins_with_as_many_as_an_album_must_have():
    mixture = lessons_of(configured("F0", "albums.fewest=3", "albums.videos=0"), "albums")
    assert (mixture.batch(0).streams.kind == IMAGE_KIND).sum(1).tolist() == [3 * 4] * 4


def test_albums_that_do_not_divide_over_processes_are_refused():
    with pytest.raises(
        UsageError, match="stage albums: batch_size=4 does not divide over 3 processes"
    ):
        lessons_of(configured("F0"), "albums").batch(0, 0, 3)


def test_single_arms_see_at_least_as_many_pictures_and_questions_as_the_others():
    seen = {}
    for arm in ("F4", "F4_single"):
        mixture = lessons_of(configured(arm, "albums.stages.albums.batch_size=12"), "albums")
        batches = [mixture.batch(step).streams for step in (2, 5, 8, 11, 14, 17)]
        answers = sum(
            int((b.input_ids == mixture.vocabulary.control("<speak>")).sum()) for b in batches
        )
        seen[arm] = sum(len(b.frames) for b in batches), answers
    assert all(one > other for one, other in zip(seen["F4_single"], seen["F4"], strict=True)), seen


class Knowing(OmniModel):
    """Model that answers everything right, or everything wrong."""

    def __init__(self, right):
        config = configured("F0")
        super().__init__(OmniModel.build(config.model, config.sequence, 100).config)
        self.right = right

    def forward(self, labels, **inputs):
        targets = labels[labels >= 0]
        answers = targets if self.right else torch.zeros_like(targets)
        logits = torch.nn.functional.one_hot(answers, 100).float()
        return OmniOutput(states=logits, targets=targets)

    def logits(self, states):
        return states


@pytest.mark.parametrize("arm", ["F0", "F3", "F4"])
def test_an_exam_asks_every_question_of_every_album_with_its_words(arm):
    config = configured(arm)
    vocabulary = build_vocabulary(config)
    albums = eval_albums(6, config.world)
    exam = make_album_eval_set(albums, config, vocabulary)
    questions = [question for album in albums for question in album.questions]
    assert len(exam.asked) == len(questions)
    for asked, question in zip(exam.asked, questions, strict=True):
        ids = exam.rows[asked.row].ids
        assert vocabulary.decode(ids[list(asked.question)]) == " ".join(question.asked)
        assert vocabulary.decode(ids[list(asked.answer)]) == question.answer
        assert exam.rows[asked.row].loss[list(asked.answer)].all()

    for right in (True, False):
        scores = by_kind(exam, grade(Knowing(right), exam))
        assert list(scores) == [
            kind for kind in KINDS if kind in {question.kind for question in questions}
        ]
        assert all(score["accuracy"] == right for score in scores.values())
        assert sum(score["n"] for score in scores.values()) == len(questions)
    assert scores["single"]["chance"] == pytest.approx(
        np.mean([1 / len(q.choices) for q in questions[:6]])
    )


def test_an_exam_is_of_albums_that_training_never_draws_and_large_enough():
    unseen = {album.script.rooms for album in eval_albums(50, tiny().world)}
    train = {
        write_album(seed, sort).script.rooms
        for sort in (*EXAM, AlbumConfig())
        for seed in range(300)
    }
    assert len(unseen) == 150 and not unseen & train
    count = dict.fromkeys(KINDS, 0)
    for album in eval_albums(tiny().evaluation.albums, tiny().world):
        for question in album.questions:
            count[question.kind] += 1
    assert min(count.values()) >= 300, count


def result(accuracy, chance=0.4, tokens=10):
    scores = {kind: {"accuracy": accuracy, "chance": chance, "n": 300} for kind in KINDS}
    return {"scores": scores, "tokens": tokens, "seconds": 1.0}


def test_an_arm_below_chance_counts_as_chance_where_it_is_compared():
    flat = numbers({arm: result(0.0 if arm.endswith("single") else 0.9) for arm in ARMS})
    assert flat["F4_single.look"] == 0.0 and flat["F4_single.both"] == pytest.approx(0.4)
    assert flat["F4-F4_single.multi"] == pytest.approx(0.5)
    assert {criterion.metric for criterion in CRITERIA} <= set(COMPARED) <= set(flat)
    assert {f"{arm}.{group}" for arm in ARMS for group in GROUPS} <= set(flat)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.2, 0.21, 0.22], "reproduced"),
        ([0.3, 0.0, 0.3], "undecided"),
        ([-0.2, -0.21, -0.2], "not reproduced"),
        ([0.3], "undecided"),
    ],
)
def test_a_criterion_by_interval_holds_where_the_whole_interval_does(values, verdict):
    assert Criterion("x", 0.1, by_interval=True).verdict(values) == verdict
    mirrored = Criterion("x", -0.1, at_least=False, by_interval=True)
    assert mirrored.verdict([-value for value in values]) == verdict


def test_every_claim_has_the_verdict_of_its_worst_criterion(tmp_path):
    criteria = [
        Criterion("good", 0.0, by_interval=True, claim="A"),
        Criterion("wide", 0.0, by_interval=True, claim="A"),
        Criterion("good", 0.0, by_interval=True, claim="B"),
        Criterion("bad", 0.0, by_interval=True, claim="C"),
    ]
    metrics = {"good": [1.0, 1.1], "wide": [1.0, -1.0], "bad": [-1.0, -1.01]}
    record = write_record(
        tmp_path / "x", "a claim", "a command", [0, 1], metrics, criteria, {"n": 3}
    )
    assert record["claims"] == {"A": "undecided", "B": "reproduced", "C": "not reproduced"}
    assert record["verdict"] == "not reproduced" and record["details"] == {"n": 3}
    assert [row["holds"] for row in record["criteria"]] == [True, False, True, False]
    assert json.loads((tmp_path / "x" / "record.json").read_text()) == record


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    record = reproduce(tiny(), 1, folder / "results", folder / "runs", quick=True)
    return folder, record


def test_a_quick_run_records_every_arm_and_draws_the_figure(quick):
    folder, record = quick
    assert json.loads((folder / "results" / "formats-quick" / "record.json").read_text()) == record
    for arm in ARMS:
        assert all(f"{arm}.{kind}" in record["metrics"] for kind in record["details"]["kinds"])
        assert record["metrics"][f"{arm}.tokens"]["mean"] > 0
    assert set(record["claims"]) == {criterion.claim for criterion in CRITERIA}
    assert set(record["claims"].values()) == {"undecided"}, "one seed decides nothing"
    assert (folder / "figures" / "formats-quick.png").stat().st_size > 10_000
    tokens = [record["metrics"][f"{arm}.tokens"]["mean"] for arm in ("F0", "F1", "F3")]
    assert all(a < b for a, b in pairwise(tokens))


def test_all_arms_of_a_seed_begin_with_the_same_vision_stage(quick):
    folder, _ = quick
    names = [path for path in (folder / "runs").iterdir() if "vision" not in path.name]
    assert len(names) == len(ARMS)
    weights = {
        (path / "checkpoints" / "vision-000003" / "model.safetensors").read_bytes()
        for path in names
    }
    assert len(weights) == 1
    for path in names:
        steps = [
            json.loads(line)["stage"] for line in (path / "metrics.jsonl").read_text().splitlines()
        ]
        assert set(steps) == {"albums"}, "the first stage is trained once for all arms"


def test_the_figure_says_its_numbers_in_words_and_an_empty_record_says_so(quick):
    _, record = quick
    assert "look F0" in draw_format_scores(record).alt
    assert "No formats" in draw_format_scores({"metrics": {}, "seeds": []}).alt
