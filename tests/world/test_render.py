"""Renderer: every name is visible at every size, and one frame gives no motion."""

from dataclasses import replace

import numpy as np
import pytest

from omni_lab.config import WorldConfig
from omni_lab.errors import UsageError
from omni_lab.world.drawing import write_script
from omni_lab.world.rendering import HOP_END_S, HOP_START_S, render
from omni_lab.world.script import COLOURS, SHAPES, Room, Script, Sign, Sound, Thing

WALL = (210, 212, 208)


def scene(things=(), sign=None, room_s=2):
    """A script with one room of our choice."""
    return Script(
        0, "train", room_s, (Room(WALL, tuple(things), (Sound(0.1, beeps=1),) * room_s, sign),), ()
    )


def thing(cell=0, colour="red", shape="circle", corners=(0, 0, 0)):
    return Thing(cell, colour, shape, COLOURS.get(colour, (250, 150, 200)), corners)


def ink(picture):
    """Where a picture differs from an empty room of the same size."""
    return (picture.astype(int) != render(scene(), [0], len(picture))[0]).any(-1)


@pytest.mark.parametrize("size", [48, 240, 480])
def test_a_thing_stands_in_its_own_panel_and_inside_it(size):
    for cell in range(4):
        for corner in range(4):
            marks = ink(render(scene([thing(cell, corners=(corner,) * 3)]), [0], size)[0])
            rows, columns = np.nonzero(marks)
            half = size // 2
            assert {*(rows // half)} == {cell // 2} and {*(columns // half)} == {cell % 2}
            centre = (columns.mean() % half, rows.mean() % half)
            assert (centre[0] > half / 2, centre[1] > half / 2) == (
                corner % 2 == 1,
                corner // 2 == 1,
            )


def test_the_middle_of_a_thing_has_its_colour():
    for colour, rgb in COLOURS.items():
        picture = render(scene([thing(3, colour, "square", (3, 3, 3))]), [0], 48)[0]
        assert tuple(picture[40, 40]) == rgb


def test_shapes_and_signs_differ_at_the_size_that_is_trained_on():
    drawn = [render(scene([thing(shape=s)]), [0], 48)[0].astype(int) for s in (*SHAPES, None)]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert (np.abs(one - other).max(-1) > 60).sum() >= 8
    signs = [render(scene(sign=Sign(2, f"{n:02d}")), [0], 48)[0].astype(int) for n in range(100)]
    for i, one in enumerate(signs):
        for other in signs[:i]:
            assert (np.abs(one - other).max(-1) > 40).sum() >= 4


def test_things_rest_at_the_sampled_times_and_hop_between_them():
    script = scene([thing(corners=(0, 1, 3))])
    start, rest, hop, end, later = render(
        script, [0, HOP_START_S - 0.01, 0.5, HOP_END_S + 0.01, 1.25], 240
    )
    assert np.array_equal(start, rest) and np.array_equal(end, later)
    columns = [np.nonzero(ink(p))[1].mean() for p in (start, hop, end)]
    assert columns[0] < columns[1] < columns[2]


def test_one_frame_shows_where_a_thing_stands_and_not_how_it_moves():
    """For a given corner, the frame before any hop is the same, and so is the frame after."""
    for corner in range(4):
        before = {
            render(scene([thing(corners=(corner, corner ^ d, 0))]), [0.25], 48).tobytes()
            for d in (0, 1, 2)
        }
        after = {
            render(scene([thing(corners=(corner ^ d, corner, 0))]), [0.75], 48).tobytes()
            for d in (0, 1, 2)
        }
        assert len(before) == len(after) == 1
        both = {
            render(scene([thing(corners=(corner, corner ^ d, 0))]), [0.25, 0.75], 48).tobytes()
            for d in (0, 1, 2)
        }
        assert len(both) == 3, "two frames distinguish every hop"


@pytest.mark.parametrize("size", [48, 96, 240])
def test_any_size_shows_the_same_picture(size):
    script = write_script(3, 4)
    large = render(script, [0.25, 3.75], 480).astype(np.float32)
    small = render(script, [0.25, 3.75], size).astype(np.float32)
    k = 480 // size
    shrunk = large.reshape(2, size, k, size, k, 3).mean((2, 4))
    assert np.abs(shrunk - small).mean() < 1.5


def test_a_new_room_begins_on_the_second():
    script = write_script(5, 4)
    before, after = render(script, [1.999, 2.0], 48)
    assert np.array_equal(before, render(script, [1.75], 48)[0])
    assert np.array_equal(after, render(script, [2.25], 48)[0]) and not np.array_equal(
        before, after
    )


def test_a_muted_picture_is_even_grey():
    assert (
        render(replace(write_script(1, 2), muted=frozenset({"image"})), [0.1, 1.9], 48) == 127
    ).all()


def test_unnamed_colours_keep_clear_of_named_ones():
    config = WorldConfig(unnamed_colours=1.0, blobs=0.0)
    things = [t for seed in range(100) for t in write_script(seed, 2, config).rooms[0].things]
    assert things and all(t.colour is None for t in things)
    named = np.array(list(COLOURS.values()))
    assert min(np.sqrt(((np.array(t.rgb) - named) ** 2).sum(-1)).min() for t in things) > 40


@pytest.mark.parametrize("times", [[-0.01], [2.0], [0.5, 7]])
def test_a_time_outside_the_film_is_refused(times):
    with pytest.raises(UsageError, match="lasts from 0 to 2 s"):
        render(scene(), times, 48)


@pytest.mark.parametrize("size", [7, 6, 0, -2, 49])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(UsageError, match="even number of pixels, at least 8"):
        render(scene(), [0], size)


def test_no_times_give_no_pictures():
    assert render(scene(), [], 48).shape == (0, 48, 48, 3)
