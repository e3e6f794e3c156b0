"""Figures of notebook 05: curves on two axes, the search for a break, its test, and a total as a sum."""

import numpy as np

from figures import gids, words
from omni_lab.plots.training.breaks import draw_axes, draw_null, draw_search
from omni_lab.plots.training.mixtures import draw_mixture, draw_staggered

STEPS = np.geomspace(20, 1200, 50)


def test_a_curve_is_drawn_twice_and_only_the_second_axes_are_logarithmic():
    figure = draw_axes({"a": (STEPS, 1 / STEPS), "b": (STEPS, 2 / STEPS)})
    plain, logs = figure.axes
    assert (plain.get_xscale(), plain.get_yscale()) == ("linear", "linear")
    assert (logs.get_xscale(), logs.get_yscale()) == ("log", "log")
    for ax in (plain, logs):
        drawn = {line.get_gid(): line.get_ydata() for line in ax.lines}
        np.testing.assert_allclose(drawn["curve-b"], 2 / STEPS)


def test_a_search_marks_the_break_with_the_least_error():
    figure = draw_search(STEPS, 1 / STEPS, 1 / STEPS, np.array([30.0, 60.0, 90.0]), [3.0, 1.0, 2.0])
    marks = [line.get_xdata() for ax in figure.axes for line in ax.lines if not line.get_gid()]
    assert sum(list(x) == [60.0, 60.0] for x in marks) == 2, "on both axes"
    assert "of 3 places for its break, step 60" in figure.alt


def test_gains_below_zero_are_on_the_axis_too():
    figure = draw_null({"a": (5.0, [-3.0, 1.0, 5.0, 7.0]), "b": (0.5, [1.0, 2.0])})
    low, high = figure.axes[0].get_xlim()
    assert low < -3 and high > 7
    assert sum(patch.get_height() for patch in figure.axes[0].patches) == 4, "no draw is cut off"
    assert gids(figure, "seen-")["seen-a"].get_xdata()[0] == 5.0
    assert "a: 5, of 4 smooth ones 2 as large" in figure.alt


def test_the_total_of_a_mixture_is_the_sum_of_its_parts():
    parts = {"colour": 1 / STEPS, "shape_to_colour": np.full(50, 0.2)}
    figure = draw_mixture(STEPS, parts, plateau=(48.0, 213.0), title="all")
    np.testing.assert_allclose(gids(figure, "total")["total"].get_ydata(), 1 / STEPS + 0.2)
    assert "heard shape → colour" in words(figure)
    assert "plateau from step 48 to 213" in figure.alt
    assert "no plateau" in draw_mixture(STEPS, parts).alt


def test_facts_are_in_order_of_their_drops_and_one_that_never_falls_comes_last():
    losses = {
        name: np.full(50, level)
        for name, level in (("word", 3.0), ("motion", 1.6), ("colour", 2.0))
    }
    figure = draw_staggered(
        STEPS, losses, dict.fromkeys(losses, 2.0), {"word": 203.0, "colour": 179.0, "motion": None}
    )
    left, right = figure.axes
    assert [label.get_text() for label in right.get_yticklabels()] == ["colour", "word", "motion"]
    marks = gids(figure, "drop-")
    assert marks["drop-colour"].get_xdata()[0] == 179 and marks["drop-colour"].get_marker() == "o"
    assert (
        marks["drop-motion"].get_xdata()[0] == STEPS[-1]
        and marks["drop-motion"].get_marker() == ">"
    )
    assert {round(float(line.get_ydata()[0]), 2) for line in left.lines} == {1.5, 1.0, 0.8}


def test_nothing_to_draw_is_a_notice():
    assert "no curve" in draw_axes({}).alt.lower()
    assert (
        draw_null({}).alt and draw_mixture(STEPS, {}).alt and draw_staggered(STEPS, {}, {}, {}).alt
    )
