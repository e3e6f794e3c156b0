"""Figures of tokens and what they see, of strengths, and the legend of token cells."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from figures import gids, laid_out, words
from omni_lab.errors import UsageError
from omni_lab.plots.data.sight import draw_sight
from omni_lab.plots.data.tokens import draw_stream
from omni_lab.plots.evaluation.strengths import draw_strengths
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script

PIXELS = np.zeros((40, 90, 3), np.uint8)
CARRIERS, CHANCE = {"word": "audio", "colour": "image"}, {"word": 0.04, "colour": 0.125}


def test_every_token_frames_the_part_of_the_picture_that_it_sees():
    figure = draw_sight(PIXELS, {7: (0.0, 10.0, 30.0, 40.0), 12: (60, 0, 90, 20)})
    frames = {
        name: frame.get_bbox().extents.tolist() for name, frame in gids(figure, "sight:").items()
    }
    assert frames == {"sight:7": [0, 10, 30, 40], "sight:12": [60, 0, 90, 20]}
    assert {"token 7", "token 12"} <= {*words(figure)}
    assert "token 7: x 0 to 30, y 10 to 40" in figure.alt
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (left, right, bottom, top) == (0, 90, 40, 0)


@pytest.mark.parametrize("count", [0, 6])
def test_no_token_and_more_tokens_than_colours_are_refused(count):
    with pytest.raises(UsageError, match="give from 1 to 5"):
        draw_sight(PIXELS, dict.fromkeys(range(count), (0, 0, 1, 1)))


def test_every_fact_is_a_line_through_its_accuracies_in_a_colour_of_its_sense():
    scores = {"text>audio": {"word": [0.9, 0.8, 0.1], "colour": [1, 1, 1]}}
    figure = draw_strengths(scores, (1, 0.5, 0), CARRIERS, CHANCE)
    lines = gids(figure, "strength:")
    assert lines["strength:word"].get_ydata().tolist() == [0.9, 0.8, 0.1]
    assert lines["strength:colour"].get_ydata().tolist() == [1, 1, 1]
    assert lines["strength:word"].get_color() != lines["strength:colour"].get_color()
    assert {"text>audio", "word (heard)", "colour (seen)", "guessing", "0.5"} <= {*words(figure)}
    assert "text>audio: word 0.90 to 0.10, colour 1.00 to 1.00" in figure.alt


@pytest.mark.parametrize(
    ("scores", "message"), [({}, "at least one"), ({"a>b": {"word": [1.0]}}, "one for each")]
)
def test_strengths_without_a_pair_or_with_too_few_accuracies_are_refused(scores, message):
    with pytest.raises(UsageError, match=message):
        draw_strengths(scores, (1, 0), CARRIERS, CHANCE)


def test_the_legend_of_cells_shows_no_colour_twice():
    clip = from_script(write_script(3, 2, split="test"), 48)
    figure = draw_stream(clip, *laid_out(clip)[1:])
    (legend,) = figure.legends
    colours = [to_hex(patch.get_facecolor(), keep_alpha=True) for patch in legend.get_patches()]
    assert len(set(colours)) == len(colours)
