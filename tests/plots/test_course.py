"""The map of the course: every notebook that there is stands on it, and is not drawn as planned."""

from pathlib import Path

import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyBboxPatch

from omni_lab.plots.course import HERE, STATIONS, WRITTEN, draw_course

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def filled(picture):
    (ax,) = picture.axes
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    return [box.get_facecolor() for box in boxes].count(to_rgba(HERE))


@pytest.mark.parametrize(("here", "count"), [("00", 5), ("02", 1), ("05", 1), ("08", 1)])
def test_the_notebook_at_hand_is_filled(here, count):
    picture = draw_course(here)
    assert filled(picture) == count
    assert picture.alt.startswith("Map of the course, ")


def test_every_notebook_has_a_place():
    there = {path.stem[:2] for path in NOTEBOOKS.glob("[01][0-9]_*.ipynb")}
    numbers = {"00", *(number for station in STATIONS for number in station.numbers)}
    assert there <= set(WRITTEN) <= numbers
