"""Response surfaces of mixtures: an optimum that is there is found, noise is not taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_lab.analysis.mixtures import (
    LEAST,
    Judge,
    candidates,
    cross_validated,
    draw_percentages,
    fitted,
    rank_correlation,
    replay,
)

BEST = np.array([0.4, 0.3, 0.2, 0.1])


def response(shares):
    """Response whose optimum is known: it falls with the distance of the logarithms from it."""
    return 0.7 - 0.03 * np.square(np.log(shares / BEST)).sum(-1)


def runs(seed, noise, count=60, seeds=3, offset=0.1):
    rng = np.random.default_rng(seed)
    shares = np.array([draw_percentages(rng, 4) for _ in range(count)]) / 100
    shares[::20] = 0.25  # the first run of every seed
    of = np.arange(count) // (count // seeds)
    return shares, response(shares) + rng.normal(0, noise, count) + offset * of, of


@given(st.integers(0, 2**32), st.integers(2, 12))
def test_a_random_mixture_is_whole_per_cents_100_together_with_some_of_everything(seed, tasks):
    percent = draw_percentages(np.random.default_rng(seed), tasks)
    assert len(percent) == tasks and sum(percent) == 100 and min(percent) >= LEAST


def test_an_optimum_is_found_from_noisy_runs_whatever_the_seeds_own_levels():
    surface, grid = fitted(*runs(0, 0.01)), candidates(4)
    found = grid[surface(grid).argmax()]
    assert response(grid).max() - response(found) < 0.01
    assert cross_validated(*runs(0, 0.01)) > 0.9
    assert surface.offsets[2] - surface.offsets[0] == pytest.approx(0.2, abs=0.02)


def test_noise_alone_is_no_surface():
    shares, scores, of = runs(1, 0.0)
    noise = np.random.default_rng(5).normal(0, 0.1, len(scores)) + of
    assert cross_validated(shares, noise, of) < 0.2


def test_runs_left_out_are_not_looked_at():
    shares, scores, of = runs(2, 0.01)
    mixed = np.random.default_rng(3).permutation(scores)
    assert cross_validated(shares, mixed, of) < 0.2 < cross_validated(shares, scores, of)


def replayed(noise):
    shares, scores, of = runs(4, noise)
    own = of == 1
    judge = Judge(fitted(*runs(6, 0.0)), candidates(4))
    return replay(shares[own], scores[own], judge, (4, 8, 16), first=1), judge


def test_without_noise_every_winner_is_one_and_more_runs_end_nearer_to_the_optimum():
    found, judge = replayed(0.0)
    searched = [found[f"regret.random.{count}"] for count in (4, 8, 16)]
    assert searched == sorted(searched, reverse=True) and min(searched) >= 0
    assert found["false.runner_up.8"] < 0.05 and found["false.equal.8"] < 0.05
    assert found["regret.regression.16"] < found["regret.regression.4"]
    assert judge.regret(BEST) < 0.01 < judge.regret(np.array([0.05, 0.05, 0.05, 0.85]))


def test_where_scores_are_noise_nearly_every_second_winner_is_none():
    found, _ = replayed(10.0)
    assert 0.3 < found["false.runner_up.8"] < 0.7
    assert found["regret.random.16"] > 2 * replayed(0.0)[0]["regret.random.16"]


def test_rank_correlation_is_of_ranks():
    assert rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.21])) == 1.0
