"""Cross-modal retrieval, recall@k; modality confusion matrix; confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni_lab.config import override, tiny
from omni_lab.evaluation.gallery import reliance as module
from omni_lab.evaluation.gallery.reliance import conflicting, measure_reliance
from omni_lab.evaluation.intervals import wilson
from omni_lab.evaluation.retrieval import recall, retrieval_scores
from omni_lab.model.omni import OmniModel
from omni_lab.world.clips import from_script
from omni_lab.world.vocabulary import WorldVocabulary


def test_recall_is_one_for_equal_vectors_and_chance_for_random_ones():
    torch.manual_seed(0)
    same = torch.nn.functional.normalize(torch.randn(60, 16), dim=-1)
    assert recall(same, same, 1).mean() == 1
    other = torch.nn.functional.normalize(torch.randn(60, 16), dim=-1)
    assert recall(same, other, 5).mean() < 0.3


def test_vectors_that_are_all_alike_find_nothing():
    alike = torch.ones(10, 4)
    assert recall(alike, alike, 1).sum() == 0, (
        "a tie must count against, or a collapsed model looks perfect"
    )


def test_retrieval_has_six_directions_with_their_chance():
    vectors = {sense: torch.eye(8) for sense in ("image", "audio", "text")}
    scores = retrieval_scores(vectors, 5)
    assert len(scores) == 6
    assert all(
        s["r1"] == 1 and s["chance"] == pytest.approx(0.2) and s["n"] == 5 for s in scores.values()
    )


def test_the_senses_of_a_conflicting_clip_disagree_and_nothing_else_tells():
    config = tiny()
    for seed in range(30):
        script, message = conflicting(seed, config)
        assert len(set(message.values())) == 3
        room = script.rooms[0]
        assert room.things[0].colour == message["image"]
        assert room.sounds[-1].word == message["audio"] and room.note == message["text"]
        assert message["image"] not in " ".join(
            c.text.lower() for c in from_script(script, 48).cues if c.role == "visitor"
        )


@pytest.mark.parametrize(
    ("follows", "column"), [("image", 0), ("audio", 1), ("text", 2), (None, 3)]
)
def test_an_answer_is_credited_to_the_sense_it_follows(monkeypatch, follows, column):
    # the model is never run: `answers` replaces its predictions
    model = OmniModel.build(tiny().model, tiny().sequence, len(WorldVocabulary()))
    config = override(tiny(), ["evaluation.reliance_clips=6", "evaluation.bootstrap=20"])
    vocabulary = WorldVocabulary()
    message = [conflicting(seed, config)[1] for seed in range(6)]

    def answers(model, batch):
        words = [s[follows] if follows else "apple" for s in message]
        return np.repeat([[vocabulary.ids[w]] for w in words], batch.input_ids.shape[1], axis=1)

    monkeypatch.setattr(module, "predict", answers)
    rates = np.asarray(measure_reliance(model, config, vocabulary)["rates"])
    assert rates[:, column] == pytest.approx(1.0)
    assert rates.sum(1) == pytest.approx(1.0)


def test_the_record_of_reliance_is_that_of_a_plain_bootstrap_over_clips(monkeypatch):
    model = OmniModel.build(tiny().model, tiny().sequence, len(WorldVocabulary()))
    config = override(tiny(), ["evaluation.reliance_clips=40", "evaluation.bootstrap=50"])
    vocabulary, rng = WorldVocabulary(), np.random.default_rng(0)
    message = [conflicting(seed, config)[1] for seed in range(40)]
    columns = rng.integers(0, 4, (3, 40))
    asked = iter([(row, first) for row in range(3) for first in (0, 32)])

    def answers(model, batch):
        row, first = next(asked)
        said = [
            {**message[clip], "none": "apple"}[module.COLUMNS[columns[row, clip]]]
            for clip in range(first, first + len(batch.input_ids))
        ]
        return np.repeat([[vocabulary.ids[w]] for w in said], batch.input_ids.shape[1], axis=1)

    monkeypatch.setattr(module, "predict", answers)
    followed = np.eye(4)[columns].transpose(1, 0, 2)  # clip row column
    draw = np.random.default_rng(0)
    drawn = [followed[draw.integers(0, 40, 40)].mean(0) for _ in range(50)]
    assert measure_reliance(model, config, vocabulary) == {
        "rows": ["image", "audio", "text"], "columns": ["image", "audio", "text", "none"],
        "rates": followed.mean(0).tolist(), "n": 40,
        "low": np.percentile(drawn, 2.5, axis=0).tolist(),
        "high": np.percentile(drawn, 97.5, axis=0).tolist(),
    }  # fmt: skip


def test_wilson_covers_the_true_rate_about_95_times_in_100():
    rng = np.random.default_rng(0)
    covered = [
        low <= 0.9 <= high
        for low, high in (wilson(int(rng.binomial(40, 0.9)), 40) for _ in range(2000))
    ]
    assert 0.92 < np.mean(covered) < 0.98
    assert wilson(0, 0) == (0.0, 1.0)
