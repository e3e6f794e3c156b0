"""Learning curves: seeds and means at their recorded values, stages labelled at their start."""

import math

import numpy as np
import pytest

from figures import gids, words
from omni_lab.plots.training.learning import draw_learning

STAGES = [
    {"length": 32, "tokens": 600},
    {"length": 64, "tokens": 400},
    {"length": 2048, "tokens": 1000},
]
CURVES = {
    "progressive": [
        {"tokens": [100, 600, 2000], "loss": loss} for loss in ([3.0, 1.0, 0.01], [3.0, 4.0, 0.04])
    ],
    "direct": [{"tokens": [200, 2000], "loss": [3.2, 3.1]}],
}


def lines(figure):
    return {
        name.removeprefix("arm-"): np.column_stack(line.get_data())
        for name, line in gids(figure, "arm-").items()
    }


def test_an_arm_is_the_geometric_mean_of_its_seeds_and_each_seed_is_there():
    figure = draw_learning(CURVES, STAGES)
    drawn = lines(figure)
    np.testing.assert_allclose(drawn["progressive"], [[100, 3.0], [600, 2.0], [2000, 0.02]])
    np.testing.assert_allclose(drawn["direct"], [[200, 3.2], [2000, 3.1]])
    faint = [line.get_ydata().tolist() for line in figure.axes[0].lines if line.get_alpha()]
    assert faint == [[3.0, 1.0, 0.01], [3.0, 4.0, 0.04]], "one seed alone is its own mean"
    assert (
        "progressive, 2 seeds: from 3 to 0.01–0.04; direct, 1 seed: from 3.2 to 3.1" in figure.alt
    )


def test_the_mean_ends_where_the_first_seed_ends_and_between_points_it_follows_the_logarithm():
    seeds = [
        {"tokens": [0, 200, 300], "loss": [1.0, 1.0, 1.0]},
        {"tokens": [0, 100, 200], "loss": [1.0, 0.1, 0.01]},
    ]
    np.testing.assert_allclose(lines(draw_learning({"a": seeds}, []))["a"], [[0, 1.0], [200, 0.1]])
    seeds = [{"tokens": [0, 50], "loss": [1.0, 1.0]}, {"tokens": [0, 100], "loss": [1.0, 0.01]}]
    np.testing.assert_allclose(
        lines(draw_learning({"a": seeds}, []))["a"], [[0, 1.0], [50, 0.1**0.5]]
    )


def test_stages_are_named_where_they_begin_and_left_out_where_no_arm_came():
    def named(curves):
        return {
            name: mark.xy[0] for name, mark in gids(draw_learning(curves, STAGES), "stage-").items()
        }

    assert named(CURVES) == {"stage-32": 0, "stage-64": 600, "stage-2048": 1000}
    assert named({"short": [{"tokens": [1, 600], "loss": [3, 1]}]}) == {"stage-32": 0}
    assert {"rows of 32", "64", "2,048"} <= set(words(draw_learning(CURVES, STAGES)))


def test_names_of_short_stages_do_not_cover_each_other():
    stages = [{"length": 2**n, "tokens": 50 if n in (6, 7, 8) else 1000} for n in range(5, 12)]
    figure = draw_learning({"a": [{"tokens": [1, 4150], "loss": [3, 1]}]}, stages)
    figure.canvas.draw()
    boxes = [mark.get_window_extent() for mark in gids(figure, "stage-").values()]
    assert len(boxes) == len(stages)
    assert not [
        (i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)
    ]


@pytest.mark.parametrize("guesses", [24, None])
def test_the_chance_level_is_a_line_where_it_is_known(guesses):
    figure = draw_learning(CURVES, STAGES, guesses)
    level = [line for line in figure.axes[0].lines if np.allclose(line.get_ydata(), math.log(24))]
    assert len(level) == ("chance, 1 of 24" in words(figure)) == bool(guesses)


def test_a_loss_of_zero_can_be_drawn():
    drawn = lines(draw_learning({"a": [{"tokens": [1, 2], "loss": [1.0, 0.0]}]}, []))["a"]
    assert drawn[1, 1] > 0


def test_missing_losses_give_a_message():
    for curves in ({}, {"a": []}, {"a": [{"tokens": [], "loss": []}]}):
        assert draw_learning(curves, STAGES).alt == "No losses are recorded."
