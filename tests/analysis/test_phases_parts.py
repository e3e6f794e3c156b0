"""Parts of the phase finder: noise, broken lines, smooth decay, single drops, simulated losses."""

from __future__ import annotations

import numpy as np
import pytest

from omni_lab.analysis.logs.curve import Curve
from omni_lab.analysis.phases.drops import drop_of
from omni_lab.analysis.phases.lines import candidates, flexible, refined, searched, solved
from omni_lab.analysis.phases.noise import (
    SMALLEST,
    autocorrelation,
    described,
    drawn,
    gridded,
    independent,
    red_noise,
)
from omni_lab.analysis.phases.segmentation import segment
from omni_lab.analysis.phases.simulated import (
    FAMILIES,
    THREE_PHASES,
    Conditions,
    broken,
    log_steps,
    noise,
    simulate,
)
from omni_lab.analysis.phases.smooth import curve_of, first_fit
from omni_lab.errors import UsageError


def grid_of(log_loss):
    return gridded(np.arange(log_loss.size, dtype=float), np.exp(log_loss), 0.0)


def test_bins_are_means_of_log_loss_at_mean_log_steps():
    x = log_steps(3000)
    grid = grid_of(1 - 0.4 * x)
    np.testing.assert_allclose(grid.y, 1 - 0.4 * grid.x, atol=1e-4)
    assert grid.counts.sum() == 3000 and grid.x.size <= 120
    assert grid.counts[0] == 1 and grid.step(grid.x[0]) == pytest.approx(0)


def test_spikes_are_left_out_of_the_bins():
    clean = 1 - 0.4 * log_steps(3000) + noise(Conditions(3000, 0.05), np.random.default_rng(0))
    spiked = clean.copy()
    spiked[np.arange(500, 3000, 7)] += 2.0
    lifted = (grid_of(spiked).y - grid_of(clean).y)[-20:]
    assert abs(lifted.mean()) < 0.008  # a clipped seventh would lift them by .02


@pytest.mark.parametrize(("colour", "time"), [("white", 1.0), ("ar .5", 3.0), ("ar .9", 19.0)])
def test_the_colour_of_noise_is_recognised(colour, time):
    values = noise(Conditions(20_000, 0.1, colour), np.random.default_rng(1))
    red, share = red_noise(autocorrelation(values), values.size)
    assert 1 + 2 * share * red / (1 - red) == pytest.approx(time, rel=0.2)


@pytest.mark.parametrize("colour", ["white", "ar .5", "ar .9"])
def test_draws_vary_as_much_as_the_means_of_bins_do(colour):
    def residual(seed):
        return grid_of(noise(Conditions(4000, 0.1, colour), np.random.default_rng(seed)))

    means = np.stack([residual(seed).y for seed in range(40)])
    own = residual(100)
    flat = np.full(own.x.size, 2.0 / own.x.size)  # as if two parameters had been fitted
    found = drawn(own, described(own, np.zeros(4000), flat), 400, np.random.default_rng(0))
    assert found[:, -20:].std() == pytest.approx(means[:, -20:].std(), rel=0.2)


def test_draws_vary_as_the_noise_did_though_residuals_of_a_rich_fit_sum_up_to_less():
    ratios = []
    for seed in range(5):
        grid = grid_of(noise(Conditions(3000, 0.1), np.random.default_rng(seed)))
        told = described(grid, *flexible(grid, independent(grid), np.array([4.0, 6.0]), 48))
        found = drawn(grid, told, 400, np.random.default_rng(0))[:, -10:].std(0)
        ratios.append((found / (0.1 / np.sqrt(grid.counts[-10:]))).mean())
    assert 0.96 < np.mean(ratios) < 1.06


def test_whitened_noise_is_white():
    grid = grid_of(noise(Conditions(4000, 0.1, "ar .9"), np.random.default_rng(1)))
    told = described(grid, np.zeros(4000), np.zeros(grid.x.size))
    many = np.stack(
        [
            grid_of(noise(Conditions(4000, 0.1, "ar .9"), np.random.default_rng(s))).y
            for s in range(60)
        ]
    )
    white = many @ told.whiten.T
    assert 0.7 < white.std() < 1.3
    neighbours = np.corrcoef(white[:, 20:-1].ravel(), white[:, 21:].ravel())[0, 1]
    assert abs(neighbours) < 0.1 < np.corrcoef(many[:, :-1].ravel(), many[:, 1:].ravel())[0, 1]


def test_breaks_are_refined_to_where_they_are_even_inside_a_bin():
    x = log_steps(20_000)
    true = np.log([501.0, 4001.0])
    grid = grid_of(broken(x, true.tolist(), [-0.5, -0.05, -1.0]))
    whiten = independent(grid)
    coarse = candidates(grid, whiten, 3, np.zeros(0))
    errors, which = searched(coarse, grid.y[None])
    start = coarse.places[coarse.sets[2][which[2]][:, 2:] - 2]
    found, error = refined(grid, grid.y[None], whiten, start, 40)
    np.testing.assert_allclose(found[0], true, atol=2e-3)
    assert error[0] < errors[2, 0] / 100
    slopes = solved(grid, grid.y[None], whiten, found)[0][0, 1:].cumsum()
    np.testing.assert_allclose(slopes, [-0.5, -0.05, -1.0], atol=0.01)


def test_a_search_finds_the_least_error_of_all_sets_of_breaks():
    grid = grid_of(broken(log_steps(400), [3.0], [-0.5, -0.1]))
    whiten = independent(grid)
    coarse = candidates(grid, whiten, 2, np.zeros(0))
    errors, _ = searched(coarse, grid.y[None])
    for count in (1, 2):
        sets = coarse.places[coarse.sets[count][:, 2:] - 2]
        every = solved(grid, np.repeat(grid.y[None], len(sets), 0), whiten, sets)[1]
        assert errors[count, 0] == pytest.approx(every.min(), rel=1e-4, abs=1e-6)
        assert (np.diff(sets) >= np.log(1.5)).all()


@pytest.mark.parametrize("true", [(-1.0, 2.0, -0.7, 1.0), (-20.0, 1.5, -1.2, 0.0)])
def test_a_power_law_with_offset_is_fitted(true):
    x = np.linspace(0, 8, 90)
    y = curve_of(np.array([true]), x)[0]
    found, _ = first_fit(x, y, np.eye(90) * 100)
    np.testing.assert_allclose(curve_of(found[None], x)[0], y, atol=2e-3)


def test_a_million_steps_cost_a_bounded_number_of_bins_and_little_memory():
    import tracemalloc

    steps = np.arange(1_000_000, dtype=float)
    shape = broken(np.log(steps + 1), [10.0, 12.5], [-0.3, -0.02, -0.8])
    values = np.exp(shape + 0.1 * np.random.default_rng(0).normal(size=steps.size))
    tracemalloc.start()
    found = segment(Curve("loss", steps, values), draws=49)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.steps.size <= 120 and peak < 300e6
    assert [round(float(np.log(at + 1)), 1) for at, _, _ in found.breaks][-2:] == [10.0, 12.5]


def fact(half=400.0, depth=1.5, width=0.15, steps=3000, seed=0):
    x = log_steps(steps)
    shape = 0.7 - depth / (1 + np.exp(-(x - np.log(half + 1)) / width))
    values = np.exp(shape + noise(Conditions(steps, 0.1), np.random.default_rng(seed)))
    return Curve("facts.colour", np.arange(steps, dtype=float), values)


def test_a_fact_falls_half_way_where_it_does():
    drop = drop_of(fact())
    assert drop["falls"]
    assert drop["half"]["low"] * 0.97 <= 400 <= drop["half"]["high"] * 1.03
    assert drop["half"]["value"] == pytest.approx(400, rel=0.05)
    assert drop["depth"]["value"] == pytest.approx(1.5, abs=0.15)
    assert drop["width"]["value"] == pytest.approx(np.exp(2 * np.log(9) * 0.15), rel=0.25)


def test_a_fact_that_is_not_learned_does_not_fall():
    drop = drop_of(fact(depth=0.0))
    assert not drop["falls"] and "not surely" in drop["reason"]
    short = drop_of(Curve("facts.word", np.arange(20.0), np.ones(20)))
    assert not short["falls"] and "too few points" in short["reason"]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_true_of_a_simulated_family_is_true_of_its_loss_without_noise(family):
    """Local slopes of the loss: a plateau between two drops is there in those families only."""
    for seed in range(4):
        made = simulate(family, Conditions(3000, 0.0), seed)
        loss, rates = made.log.curves["loss"], made.log.rates
        steady = rates.values >= 0.9 * rates.values[0]
        at = np.arange(np.log(20), np.log(loss.steps[steady][-1] + 1), 0.25)
        y = np.interp(at, np.log(loss.steps + 1), np.log(loss.values))
        steep = -np.diff(y) / np.diff(at)
        between = [
            min(steep[:i].max(), steep[i:].max()) / max(steep[i], 0.02)
            for i in range(1, steep.size)
        ]
        has_plateau = max(between) > 2
        caused = bool(made.log.events) and made.log.events[0].kind == "data"
        assert (has_plateau and not caused) == made.three_phases == (family in THREE_PHASES)


def test_noise_has_the_strength_that_is_asked_for():
    for colour in ("white", "ar .5", "ar .9", "red"):
        drawn = noise(Conditions(20_000, 0.1, colour), np.random.default_rng(0))
        assert drawn.std() == pytest.approx(0.1, rel=0.15)
    with pytest.raises(UsageError, match="colour 'pink': there are white"):
        noise(Conditions(100, 0.1, "pink"), np.random.default_rng(0))
    with pytest.raises(UsageError, match="family 'four': there are power"):
        simulate("four", Conditions(), 0)


def test_the_scale_of_noise_is_never_zero():
    assert (grid_of(np.zeros(200)).scale == SMALLEST).all()
