"""Interactive figures: drawn at first and after every change, without a widget that waits for a client's answer."""

import pytest
from ipywidgets import Dropdown, FloatSlider, Image, IntSlider, Output, Widget

from omni_lab.plots import explore, new_picture
from omni_lab.plots.style import notice, styled


@pytest.fixture
def drawn():
    return []


@pytest.fixture
def draw(drawn):
    def draw(**values):
        drawn.append(values)
        picture = new_picture(1, 0.5, "")
        picture.text(0.1, 0.5, str(values))
        return picture

    return draw


def test_the_picture_is_drawn_at_first_and_whenever_a_control_moves(draw, drawn):
    second, word = IntSlider(3, min=0, max=9), Dropdown(options=["red", "blue"])
    box = explore(draw, second=second, word=word)
    image = box.children[-1]
    assert box.children == (second, word, image)
    assert isinstance(image, Image)
    assert bytes(image.value).startswith(b"\x89PNG")
    first = bytes(image.value)

    second.value = 7
    word.value = "blue"
    assert drawn == [
        {"second": 3, "word": "red"},
        {"second": 7, "word": "red"},
        {"second": 7, "word": "blue"},
    ]
    assert bytes(image.value) != first


def test_a_control_is_labelled_with_its_name_or_its_own_description(draw):
    strength, other = FloatSlider(0.2), FloatSlider(0.4, description="how strong")
    explore(draw, strength=strength, other=other)
    assert (strength.description, other.description) == ("strength", "how strong")


def test_an_impossible_value_is_told_in_the_pictures_place(draw):
    def careful(word):
        if word == "blue":
            raise AssertionError("blue was never learned")  # unlike `assert`, as it stands
        return draw(word=word)

    word = Dropdown(options=["red", "blue"])
    box = explore(careful, word=word)
    image, first = box.children[-1], bytes(box.children[-1].value)
    word.value = "blue"
    assert bytes(image.value) == styled(notice)("blue was never learned").png
    word.value = "red"
    assert bytes(image.value) == first


def test_no_output_widget_takes_part(draw, monkeypatch):
    """A client without a browser answers every output in such a widget and may then wait forever."""
    opened = []
    monkeypatch.setattr(Widget, "open", lambda widget: opened.append(widget))
    explore(draw, strength=FloatSlider(0.2))
    assert opened
    assert not any(isinstance(widget, Output) for widget in opened)
