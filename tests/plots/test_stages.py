"""Figures of stages: loss by fact on one axis of steps, rules with their thresholds and factors."""

import numpy as np
import pytest

from figures import words
from omni_lab.plots.training.facts import draw_fact_losses
from omni_lab.plots.training.rules import draw_balance, draw_norms, draw_schedules

CARRIERS = {"colour": "image", "word": "audio"}


def run():
    """Records of two stages: colours in the first, words in the second."""
    first = [
        {"stage": "vision", "step": n, "loss": 3.0, "senses": {"image": 2.0}, "facts": {"colour": 2.0}}
        for n in range(20)
    ]  # fmt: skip
    second = [
        {"stage": "audio", "step": n, "loss": 1.0, "senses": {"audio": 0.5}, "facts": {"word": 0.5}}
        for n in range(10)
    ]  # fmt: skip
    return [*first, *second]


def panel(picture, title):
    (ax,) = [ax for ax in picture.axes if ax.get_title(loc="left") == title]
    return ax


def solid(ax):
    """Curves of a panel: what is neither dots nor a level."""
    return [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]


def test_every_fact_has_a_panel_on_one_axis_of_steps_over_all_stages():
    picture = draw_fact_losses(run(), CARRIERS)
    (colour,) = solid(panel(picture, "colour"))
    (word,) = solid(panel(picture, "word"))
    np.testing.assert_array_equal(colour.get_xdata(), range(20))
    np.testing.assert_array_equal(word.get_xdata(), range(20, 30))
    np.testing.assert_allclose(colour.get_ydata(), 2.0)
    assert {"vision", "audio", "loss (nats per token)", "step, over all stages"} <= {
        *words(picture)
    }
    assert "colour 2.00 to 2.00" in picture.alt and len(picture.axes) == 3


def test_a_mean_never_reaches_over_the_border_of_two_stages():
    records = run()
    for record in records[20:]:
        record["facts"] = {"colour": 1.0}
    lines = solid(panel(draw_fact_losses(records), "colour"))
    assert [set(line.get_ydata()) for line in lines] == [{2.0}, {1.0}]


def test_a_level_is_a_dashed_line_in_the_panel_of_its_fact_only():
    picture = draw_fact_losses(run(), CARRIERS, {"colour": 2.08})
    dashed = {
        ax.get_title(loc="left"): [line.get_ydata()[0] for line in ax.lines if line.is_dashed()]
        for ax in picture.axes
    }
    assert dashed["colour"] == [2.08] and not dashed["word"]


def test_a_fact_asked_now_and_then_is_drawn_where_it_was_asked():
    records = run()
    for record in records[1::2]:
        record["facts"] = {"shape": 1.0}
    (line,) = solid(panel(draw_fact_losses(records), "colour"))
    np.testing.assert_array_equal(line.get_xdata(), range(0, 20, 2))


def test_a_run_without_losses_by_fact_says_so():
    bare = [{"stage": "vision", "step": 0, "loss": 1.0}]
    assert "No losses by fact" in draw_fact_losses(bare).alt
    assert "No losses by fact" in draw_fact_losses([]).alt


def test_norms_stand_beside_the_thresholds_of_their_own_part():
    records = [
        {"grad_norm": {"image": 2.0 + n, "audio": 0.5}, "clip": {"image": 3.0, "audio": 1.0}}
        for n in range(5)
    ]
    picture = draw_norms(records)
    for part, norms, limit in (("image", [2, 3, 4, 5, 6], 3.0), ("audio", [0.5] * 5, 1.0)):
        curve, threshold = panel(picture, part).lines
        np.testing.assert_allclose(curve.get_ydata(), norms)
        assert set(threshold.get_ydata()) == {limit}
    assert "image: at most 6" in picture.alt
    assert len(panel(draw_norms([{"grad_norm": {"image": 1.0}}]), "image").lines) == 1
    assert "No gradient norm" in draw_norms([{"stage": "vision"}]).alt


def test_a_balance_shows_what_is_left_and_the_factor_of_each_modality():
    picture = draw_balance(
        {"image": [1.0, 0.2], "audio": [1.0, 0.8]}, {"image": [1.0, 0.4], "audio": [1.0, 1.6]}, "a"
    )
    assert "image: 0.20 left, factor 0.40; audio: 0.80 left, factor 1.60" in picture.alt
    assert {"image", "audio", "factor", "loss, of that at first"} <= {*words(picture)}
    assert "No loss of a modality" in draw_balance({}, {}).alt


@pytest.mark.parametrize("panels", [1, 2])
def test_schedules_share_an_axis_and_each_curve_is_named(panels):
    curves = {f"panel {n}": {"wsd": [1.0, 0.5], "constant": [1.0, 1.0]} for n in range(panels)}
    picture = draw_schedules(curves)
    assert len(picture.axes) == panels and {"wsd", "constant", "step"} <= {*words(picture)}
    assert {ax.get_ylim() for ax in picture.axes} == {picture.axes[0].get_ylim()}
