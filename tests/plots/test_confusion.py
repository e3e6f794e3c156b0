"""Pictures of modality confusion: a matrix per checkpoint with intervals, bars of reliance and shares."""

import numpy as np
from matplotlib.colors import to_rgba

from figures import gids, words
from omni_lab.plots.evaluation.confusion import draw_confusion, draw_reliance, draw_shares
from omni_lab.plots.palette import MODALITY_COLOURS

MATRIX = {
    "rows": ["image", "audio"], "columns": ["image", "audio", "none"], "n": [40, 0],
    "rates": [[0.9, 0.06, 0.04], [None] * 3], "low": [[0.8, 0.0, 0.0], [None] * 3],
    "high": [[1.0, 0.1, 0.1], [None] * 3],
}  # fmt: skip
GAME = {"kind": "drop", "senses": ["image", "audio"], "shares": [0.5, -0.001],
        "low": [0.4, -0.1], "high": [0.6, 0.1]}  # fmt: skip
LOST = [
    {"condition": "swap_image", "senses": ["image"], "drop": 0.4, "low": 0.3, "high": 0.5},
    {"condition": "swap_image_audio", "senses": ["image", "audio"], "drop": 0.5, "low": 0.4, "high": 0.6},
]  # fmt: skip


def test_every_checkpoint_has_a_matrix_with_intervals_and_its_name():
    figure = draw_confusion([{**MATRIX, "name": f"step {n}"} for n in range(5)])
    assert sum(ax.get_visible() for ax in figure.axes) == 5
    texts = words(figure)
    assert {"0.90\n0.80 – 1.00", "image\nn = 40", "step 0", "step 4"} <= set(texts)
    assert figure.alt.startswith("5 modality confusion matrices, step 0 to step 4.")
    assert figure.png


def test_one_matrix_is_drawn_as_that_of_a_run():
    assert draw_confusion([{**MATRIX, "name": "x"}]).png == draw_reliance(MATRIX).png


def test_of_many_checkpoints_both_ends_are_drawn():
    figure = draw_confusion([{**MATRIX, "name": f"step {n}"} for n in range(100)])
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert len(titles) == 24 and titles[0] == "step 0" and titles[-1] == "step 99"


def test_bars_have_the_colour_of_their_modality_and_an_interval():
    both = {"name": "a", "permutation": LOST, "shapley": [GAME]}
    figure = draw_shares([both, {"name": "b", "permutation": [], "shapley": [GAME]}])
    bars = gids(figure, "share:")
    assert bars["share:swap_image"].get_facecolor() == to_rgba(MODALITY_COLOURS["image"])
    assert bars["share:swap_image_audio"].get_width() == 0.5
    assert {"accuracy lost\na", "Shapley shares, others dropped\na", "b", "0.00"} <= set(
        words(figure)
    )
    (error,) = figure.axes[0].containers[1].lines[2]
    assert np.allclose(error.get_segments()[0][:, 0], [0.3, 0.5])
    assert "a, accuracy lost: swap_image 0.40" in figure.alt and figure.png


def test_without_a_measurement_a_message_is_drawn():
    assert "was measured" in words(draw_confusion([]))[0]
    assert "was measured" in words(draw_shares([{"name": "", "permutation": [], "shapley": []}]))[0]
