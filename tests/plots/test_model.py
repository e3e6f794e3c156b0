"""Pictures of the model: shapes come from the configuration, marks from what tokens see."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch, Rectangle

from figures import words
from omni_lab.config import PRESETS, full_7b, tiny
from omni_lab.errors import UsageError
from omni_lab.plots import (
    Asked,
    draw_architecture,
    draw_costs,
    draw_likeliest,
    draw_patches,
    draw_similarities,
    draw_sound,
)

PNG = b"\x89PNG"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_drawn_with_all_its_parts(name):
    picture = draw_architecture(PRESETS[name]())
    parts = {"patches", "SigLIP", "merge", "connector", "log-mel", "Whisper", "embedding"}
    assert parts | {"Qwen decoder", "output"} <= set(words(picture))
    boxes = [patch for patch in picture.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == 5 + 5 + 3 + 2
    assert picture._repr_png_().startswith(PNG)


def test_shapes_of_the_architecture_are_those_of_the_configuration():
    small = set(words(draw_architecture(tiny(), 76)))
    assert {"2 × 36 × 192", "2 × 36 × 64", "4 × 1,152", "4 × 96"} <= small
    assert {"16,000", "100 × 40", "50 × 64", "5 × 640", "5 × 96", "T × 76"} <= small
    assert "padded to 30 s" not in small

    large = set(words(draw_architecture(full_7b())))
    assert {"2 × 729 × 588", "2 × 729 × 1,152", "81 × 20,736", "81 × 3,584"} <= large
    assert {"50 × 1,024", "25 × 2,048", "28 blocks", "4 key/value heads", "T × V"} <= large
    assert {"image × 81", "audio × 25", "padded to 30 s"} <= large


def test_text_of_the_architecture_stays_inside_its_boxes():
    picture = draw_architecture(full_7b(), 152_064)
    (ax,), renderer = picture.axes, FigureCanvasAgg(picture).get_renderer()
    boxes = [p.get_window_extent(renderer) for p in ax.patches if isinstance(p, FancyBboxPatch)]
    for text in ax.texts:
        middle = text.get_window_extent(renderer)
        for box in boxes:
            if box.x0 < (middle.x0 + middle.x1) / 2 < box.x1 and box.y0 < middle.y0 < box.y1:
                assert box.x0 <= middle.x0 and middle.x1 <= box.x1, text.get_text()


def test_the_marked_token_is_outlined_in_every_frame():
    frames = np.zeros((2, 48, 48, 3), np.uint8)
    picture = draw_patches(frames, patch=8, cells=2, marked=1)
    for ax in picture.axes:
        (mark,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        assert (mark.get_xy(), mark.get_width()) == ((24, 0), 24)
    assert [text for text in words(picture) if text.isdigit()] == ["0", "1", "2", "3"] * 2
    assert "9 patches in every frame" in picture.alt
    with pytest.raises(UsageError, match="do not divide"):
        draw_patches(frames, patch=8, cells=4)


def test_sound_is_drawn_in_as_many_parts_as_it_has_tokens():
    picture = draw_sound(np.zeros(16_000, np.float32), np.zeros((40, 100)), tokens=5)
    assert {"16,000 samples", "100 frames × 40 bands", *"01234"} <= set(words(picture))
    assert picture.axes[1].get_xlim() == (0, 1)


def test_costs_are_fractions_of_each_model_and_totals_stand_beside_them():
    parts = {"image encoder": (1e9, 3e12), "decoder": (3e9, 1e12)}
    picture = draw_costs({"large": parts})
    assert {"25%", "75%", "4 G weights", "4 T operations"} <= set(words(picture))
    assert "decoder 75% of weights and 25% of operations" in picture.alt


def test_similarities_have_numbers_where_there_is_room():
    few, many = np.eye(3), np.eye(20)
    assert words(draw_similarities({"a": few}, "image", "text")).count("1.0") >= 3
    alt = draw_similarities({"a": many, "b": -many}, "image", "text").alt
    assert "a: 1.00 on the diagonal, 0.00 beside it" in alt


def test_a_true_answer_is_filled_and_models_must_be_the_same():
    frame = np.zeros((8, 8, 3), np.uint8)
    one = Asked("Colour heard?", frame, {"trained": {"red": 0.9, "blue": 0.1}}, "red")
    other = Asked("Where star?", frame, {"untrained": {"up": 1.0}})
    picture = draw_likeliest([one])
    colours = [bar.get_facecolor() for bar in picture.axes[1].patches]
    assert colours[1] != colours[0], "red is drawn last, as the likeliest, in a colour of its own"
    assert "Colour heard? trained: red" in picture.alt
    for wrong in ([], [one, other]):
        with pytest.raises(UsageError, match="same models"):
            draw_likeliest(wrong)
