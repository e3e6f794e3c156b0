"""Bootstrap of totals: as wide as theory says, the same law one by one and by patterns, NaN left out."""

import numpy as np
import pytest

from omni_lab.analysis import resampling
from omni_lab.analysis.resampling import bootstrap, patterned


def mean(totals):
    return totals[:, 1] / totals[:, 0]


def test_an_interval_of_a_mean_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap(*patterned(np.stack([np.ones(400), values], 1)), mean, 500)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)


def test_units_are_drawn_as_a_bootstrap_of_rows_draws_them():
    values = np.random.default_rng(2).integers(0, 3, (50, 2))
    rng = np.random.default_rng(7)
    drawn = [values[rng.integers(0, 50, 50)].sum(0) for _ in range(200)]
    low, high = bootstrap(*patterned(values), lambda totals: totals, 200, seed=7)
    assert low.tolist() == np.percentile(drawn, 2.5, axis=0).tolist()
    assert high.tolist() == np.percentile(drawn, 97.5, axis=0).tolist()


def test_many_units_are_drawn_by_patterns_with_the_same_spread(monkeypatch):
    units = np.random.default_rng(3).integers(0, 4, 9000)

    def rate(totals):
        return totals / len(units)

    one_by_one = bootstrap(np.eye(4), units, rate, 2000)
    monkeypatch.setattr(resampling, "ONE_BY_ONE", 100)
    by_patterns = bootstrap(np.eye(4), units, rate, 2000)
    assert np.allclose(one_by_one, by_patterns, atol=1e-3)
    assert not np.array_equal(one_by_one, by_patterns)


def test_draws_without_a_value_are_left_out_and_a_piece_at_a_time_changes_nothing(monkeypatch):
    patterns, units = np.eye(3), np.array([0, 0, 0, 1])

    def known(totals):
        return np.where(totals > 0, totals, np.nan)

    low, high = bootstrap(patterns, units, known, 300)
    assert low[0] >= 1 and high[1] >= 1 and np.isnan(low[2]) and np.isnan(high[2])
    monkeypatch.setattr(resampling, "_AT_ONCE", 30)
    again, _ = bootstrap(patterns, units, known, 300)
    assert np.array_equal(low, again, equal_nan=True)
