"""Modality confusion matrix: planted rates are found, intervals cover, items are resampled whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.analysis.confusion.matrix import confusion_matrix

SENSES = ("image", "audio", "text")
COLUMNS = (*SENSES, "none")


def answered(rng, questions, follows_audio=0.7):
    """Senses asked, and followed: audio with a given chance, else the one asked for."""
    asked = rng.integers(0, 3, questions)
    return asked, np.where(rng.random(questions) < follows_audio, 1, asked)


def test_an_answerer_that_follows_audio_seven_times_in_ten_is_recovered():
    asked, followed = answered(np.random.default_rng(0), 6000)
    found = confusion_matrix(asked, followed, SENSES, COLUMNS)
    assert found.rates[0, 1] == pytest.approx(0.7, abs=0.03)
    assert found.low[0, 1] < 0.7 < found.high[0, 1]
    assert found.rates[1].tolist() == [0, 1, 0, 0] and found.counts.sum() == 6000
    assert found.high[0, 1] - found.low[0, 1] == pytest.approx(
        2 * 1.96 * (0.21 / 2000) ** 0.5, rel=0.15
    )


@pytest.mark.parametrize("many", [False, True])
def test_intervals_cover_the_true_rate_about_95_times_in_100(many, monkeypatch):
    if many:
        monkeypatch.setattr("omni_lab.analysis.resampling.ONE_BY_ONE", 10)
    rng, covered = np.random.default_rng(1), []
    for seed in range(300):
        asked, followed = answered(rng, 300)
        found = confusion_matrix(asked, followed, SENSES, COLUMNS, resamples=200, seed=seed)
        covered += [found.low[row, 1] <= 0.7 <= found.high[row, 1] for row in (0, 2)]
    assert 0.91 < np.mean(covered) < 0.98


def test_questions_of_one_item_are_not_independent():
    # an item's ten questions have the same answer: a tenth of the evidence
    rng = np.random.default_rng(2)
    items = np.repeat(np.arange(60), 10)
    followed = np.repeat(rng.integers(0, 2, 60), 10)
    asked = np.zeros(600, int)
    alone = confusion_matrix(asked, followed, SENSES, COLUMNS)
    whole = confusion_matrix(asked, followed, SENSES, COLUMNS, items=items)
    wide, narrow = (found.high - found.low for found in (whole, alone))
    assert wide[0, 0] == pytest.approx(10**0.5 * narrow[0, 0], rel=0.2)
    assert whole.units == 60 and alone.units == 600


def test_a_sense_that_was_never_asked_for_has_no_rate():
    found = confusion_matrix(np.zeros(5, int), np.ones(5, int), ("image", "audio"), COLUMNS)
    record = found.to_dict()
    assert record["rates"] == [[0, 1, 0, 0], [None] * 4] and record["n"] == [5, 0]
    assert record["low"][1] == record["high"][1] == [None] * 4
    nothing = confusion_matrix(np.zeros(0, int), np.zeros(0, int), ("image",), ("image", "none"))
    assert nothing.to_dict()["rates"] == [[None, None]] and nothing.units == 0


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 5)), min_size=1))
def test_counts_rates_and_bounds_fit_together(questions):
    asked, followed, items = np.array(questions).T
    found = confusion_matrix(asked, followed, SENSES, COLUMNS, items=items, resamples=50)
    assert found.counts.sum() == len(questions)
    there = found.counts.sum(1) > 0
    assert np.allclose(found.rates[there].sum(1), 1) and np.isnan(found.rates[~there]).all()
    assert (found.low[there] <= found.high[there]).all()
    assert (found.low[there] >= 0).all() and (found.high[there] <= 1).all()
