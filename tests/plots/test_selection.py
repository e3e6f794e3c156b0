"""Figures of selective training: captions by word, excess loss over a run, maps without a record."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from omni_lab.errors import UsageError
from omni_lab.plots import draw_captions, draw_excess, draw_selection_map, draw_selections

PICTURES = np.zeros((2, 8, 8, 3), np.uint8)
WORDS = [["top-left", "red", "star"], ["top-left", "nothing"]]


def texts(picture):
    return {text.get_text(): text for ax in picture.axes for text in ax.texts}


def test_every_word_has_the_colour_of_its_type():
    found = texts(draw_captions(PICTURES, WORDS, [[2, 1, 3], [2, 1]]))
    assert to_hex(found["red"].get_color()) == "#0072b2"
    assert to_hex(found["star"].get_color()) == "#d55e00"


def test_a_score_above_zero_is_orange_below_it_blue_and_zero_white():
    found = texts(draw_captions(PICTURES, WORDS, scores=[[0.0, 2.0, -2.0], [0.0, 0.5]]))
    faces = {word: to_hex(text.get_bbox_patch().get_facecolor()) for word, text in found.items()}
    assert faces["red"] == "#d55e00"
    assert faces["star"] == "#0072b2"
    assert faces["top-left"] == "#ffffff"


def test_words_that_are_not_kept_are_crossed_out_and_counted():
    picture = draw_captions(PICTURES, WORDS, kept=[[True, False, False], [True, True]])
    assert sum(len(ax.lines) for ax in picture.axes) == 2
    assert "2 of them crossed out" in picture.alt


def test_something_for_another_number_of_words_is_refused():
    with pytest.raises(UsageError, match=r"kept: words of \[3, 1\]; captions have \[3, 2\]"):
        draw_captions(PICTURES, WORDS, kept=[[True] * 3, [True]])
    with pytest.raises(UsageError, match="1 pictures, but 2 captions"):
        draw_captions(PICTURES[:1], WORDS)


def test_excess_is_drawn_for_every_run_that_was_looked_at():
    looks = [{"step": s, "by_type": [1, 2, -s], "excess": 0.9, "reference": 0.8} for s in (1, 20)]
    picture = draw_excess({"small": looks, "none": []})
    assert [ax.get_title(loc="left") for ax in picture.axes] == ["small", ""]
    assert [list(line.get_ydata()) for line in picture.axes[0].lines][2] == [-1, -20]


@pytest.mark.parametrize("draw", [draw_selections, draw_selection_map, lambda _: draw_excess({})])
def test_without_a_record_the_figure_says_so(draw):
    assert draw({"metrics": {}, "details": {}}).alt.startswith(("No ", "Nobody "))
