"""Retrieval: ranks and recall, embeddings in files, and what a reader who knows the gallery reaches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from omni_lab.config import tiny
from omni_lab.errors import UsageError
from omni_lab.evaluation.gallery import ceiling
from omni_lab.evaluation.gallery.ceiling import Moment, gallery_moments, retrieval_ceiling
from omni_lab.evaluation.retrieval import described, ranks, ranks_of, save_embeddings
from omni_lab.world.script import SPOKEN, Script, Sound


def test_a_rank_counts_from_one_and_a_tie_is_against_it():
    scores = torch.tensor([[3.0, 1, 2], [5, 5, 0], [1, 2, 0]])
    assert ranks_of(scores).tolist() == [1, 2, 3]
    assert ranks(torch.eye(3), torch.eye(3)).tolist() == [1, 1, 1]


def test_a_direction_has_recalls_median_rank_chance_and_an_interval():
    found = described(torch.tensor([1, 1, 3, 6, 11, 20, 2, 1]))
    assert [found[k] for k in ("r1", "r5", "r10")] == [3 / 8, 5 / 8, 6 / 8]
    assert found["median_rank"] == 2.5
    assert found["chance"] == 1 / 8
    assert found["low"] < 3 / 8 < found["high"]


@pytest.mark.parametrize("name", ["vectors.npz", "vectors.parquet"])
def test_embeddings_come_back_from_a_file(tmp_path, name):
    vectors = {"image": torch.randn(5, 4), "audio": torch.randn(5, 4)}
    path = save_embeddings(vectors, tmp_path / name)
    if name.endswith("npz"):
        back = dict(np.load(path))
    else:
        back = {n: np.stack(c.to_numpy()) for n, c in pq.read_table(path).to_pandas().items()}
    for sense, states in vectors.items():
        np.testing.assert_array_equal(back[sense], states.numpy())


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"vectors\.csv: embeddings are written to \.npz"):
        save_embeddings({"image": torch.zeros(1, 1)}, tmp_path / "vectors.csv")


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    return gallery_moments(tiny(), 60, 2)


@pytest.mark.parametrize("fit", ["image_with_audio", "text_with_image", "text_with_audio"])
def test_a_moment_never_contradicts_itself(moments, fit):
    measure = getattr(ceiling, fit)
    own = [measure(moment, moment) for moment in moments]
    others = [measure(a, b) for a, b in pairwise(moments)]
    assert min(own) > -10  # no part of it is impossible
    assert np.mean(own) > np.mean(others) + 0.5


def test_the_words_that_may_be_spoken_are_a_distribution(moments):
    room = next(room for m in moments for room, _ in m.sounds if ceiling.names_in(room))
    script = Script(0, "test", 1, (room,), ())
    ratios = []
    for word in SPOKEN:
        spoken = room.__class__(room.wall, room.things, (Sound(0.0, word),), room.sign, room.note)
        heard = Moment(Script(0, "test", 1, (spoken,), ()), range(1))
        ratios.append(ceiling.image_with_audio(Moment(script, range(1)), heard))
    assert sum(math.exp(ratio) for ratio in ratios) == pytest.approx(len(SPOKEN))
    for written in (set(), {"red"}, set(SPOKEN[:9])):
        total = sum(ceiling._likely(word, written) for word in SPOKEN)
        assert total == pytest.approx(1.0)


def test_text_and_pictures_can_match_and_two_seconds_of_sound_cannot():
    short = retrieval_ceiling(tiny(), 60, 2)
    assert set(short) == {f"{a}_to_{b}" for a in ceiling.SENSES for b in ceiling.SENSES if a != b}
    assert short["text_to_image"]["r1"] > 0.95
    for direction in ("image_to_audio", "audio_to_image"):
        assert 1.5 / 60 < short[direction]["r1"] < 0.4
    longer = retrieval_ceiling(tiny(), 60, 8)
    assert longer["audio_to_image"]["r1"] > short["audio_to_image"]["r1"] + 0.2
    assert longer["audio_to_text"]["r1"] > 0.9


def test_where_words_name_nothing_that_is_there_sound_and_picture_share_nothing(monkeypatch):
    monkeypatch.setattr(ceiling, "NAMED", 0.0)
    blind = retrieval_ceiling(tiny(), 60, 2)
    assert blind["image_to_audio"]["r1"] < 0.1
