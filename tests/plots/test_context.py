"""Pictures of growing contexts: clocks with their new angles, reels of films, attention over distance."""

import numpy as np
import pytest

from figures import gids, words
from omni_lab.model.rope import turns
from omni_lab.plots.data.reel import draw_reel
from omni_lab.plots.evaluation.distances import draw_distances
from omni_lab.plots.training.clocks import draw_clocks, draw_ways

SHORT = {"length": 32, "theta": 100.0}


def new(figure):
    return [int(name.removeprefix("new-")) for name in gids(figure, "new-")]


def test_pairs_without_a_full_turn_meet_new_angles_in_a_longer_row_and_none_where_they_are_divided():
    unsafe = np.flatnonzero(turns(32, 100.0, 32) < 1).tolist()
    figure = draw_clocks(32, SHORT, SHORT | {"length": 128})
    assert new(figure) == unsafe
    assert figure.alt.startswith(f"{len(unsafe)} of 16 pairs meet new angles in rows of 128 tokens")
    divided = draw_clocks(32, SHORT, SHORT | {"length": 128, "factor": 4.0})
    assert new(divided) == []
    assert "positions / 4" in divided.alt
    assert new(draw_clocks(32, SHORT, {"length": 128, "theta": 1e9})) == []


def test_ways_show_their_likeness_to_the_neighbour():
    long = {"length": 512, "theta": 100.0}
    figure = draw_ways(32, SHORT, {"as it was": long, "divided": long | {"factor": 16.0}})
    near = [mark.get_ydata()[0] for mark in gids(figure, "neighbour-").values()]
    assert near[0] == pytest.approx(np.cos(100.0 ** (-np.arange(16) / 16)).mean())
    assert near[0] < near[1] <= 1
    assert "10 of 16 pairs meet new angles" in "".join(words(figure))
    assert draw_ways(32, SHORT, {}).alt.startswith("No way")


def test_a_reel_frames_its_needle():
    figure = draw_reel(np.zeros((20, 8, 8, 3), np.uint8), ["noon"] + 19 * [""], 18, "colour heart")
    assert gids(figure, "chosen").keys() == {"chosen"}
    assert figure.axes[18].get_gid() == "chosen"
    assert {"noon", "colour heart"} <= set(words(figure))
    assert "20 frames" in figure.alt and "needle is frame 18" in figure.alt
    assert draw_reel(np.zeros((0, 8, 8, 3), np.uint8), []).alt == "The film has no frame."


def test_attention_is_drawn_over_distance_head_by_head():
    looks = {"s = 1": np.eye(4)[1:3], "s = 2": np.eye(4)[[2, 3]]}
    figure = draw_distances(looks)
    np.testing.assert_array_equal(gids(figure, "s = 2-1")["s = 2-1"].get_ydata(), [0, 0, 1, 0])
    assert "s = 1: 1, 2; s = 2: 2, 3" in figure.alt
    assert draw_distances({}).alt == "No attention is measured."
