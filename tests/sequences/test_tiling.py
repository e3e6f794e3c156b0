"""AnyRes tiling: best grid, tiles and thumbnail, coordinates between tokens and pixels."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from omni_lab.errors import UsageError
from omni_lab.sequences.tiling import NEUTRAL, OMCHAT_GRIDS, Grid, Tiling, choose, cut, grids

extents = st.one_of(st.integers(1, 12), st.integers(1, 400))
sizes = st.tuples(extents, extents)
some_grids = st.lists(st.builds(Grid, st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=8)


def blank(width: int, height: int) -> np.ndarray:
    """A white picture."""
    return np.full((height, width, 3), 255, np.uint8)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Pixels of the original in every box, 0 where it sees nothing but margin."""
    return np.nan_to_num((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


# -- grids


def test_grids_are_all_that_fit_the_budget():
    """Against a search of all pairs: none is missing, none is twice, small ones first."""
    for most in range(1, 13):
        listed = grids(most)
        assert set(listed) == {
            (r, c) for r in range(1, most + 1) for c in range(1, most + 1) if r * c <= most
        }
        tiles = [grid.rows * grid.columns for grid in listed]
        assert len(set(listed)) == len(listed)
        assert tiles == sorted(tiles)


def test_omchats_grids_are_the_resolutions_it_names():
    """Claim C2, in pixels, read either way round."""
    named = "896×896, 448×896, 896×448, 448×1344, 1344×448, 1344×896, 896×1344, 1344×1344"
    wanted = {tuple(int(number) for number in size.split("×")) for size in named.split(", ")}
    assert {(448 * grid.columns, 448 * grid.rows) for grid in OMCHAT_GRIDS} == wanted
    assert {(448 * grid.rows, 448 * grid.columns) for grid in OMCHAT_GRIDS} == wanted
    assert len(OMCHAT_GRIDS) == len(wanted)


@given(sizes, some_grids, st.integers(1, 64))
def test_choice_against_a_search(size, candidates, side):
    """Pixels kept, then waste, then tiles, as areas and without a fraction that is rounded."""
    width, height = size
    chosen = choose(width, height, candidates, side)

    def kept_and_wasted(grid: Grid) -> tuple[int, int, int]:
        wide, high = grid.columns * side, grid.rows * side
        if wide >= width and high >= height:  # nothing is lost, however much it could be enlarged
            kept, of = width * height, 1
        elif wide * height <= high * width:  # its width decides
            kept, of = wide * wide * height, width
        else:
            kept, of = high * high * width, height
        kept = kept * (width * height // of)  # a whole number: every grid's area in the same unit
        return kept, wide * high * width * height - kept, grid.rows * grid.columns

    best = max(
        candidates,
        key=lambda grid: (kept_and_wasted(grid)[0], *(-n for n in kept_and_wasted(grid)[1:])),
    )
    assert kept_and_wasted(chosen) == kept_and_wasted(best)
    assert chosen == choose(width, height, candidates[::-1], side), (
        "the order of the candidates decides nothing"
    )
    turned = [Grid(grid.columns, grid.rows) for grid in candidates]
    assert kept_and_wasted(chosen)[2] == np.prod(choose(height, width, turned, side)), (
        "nor does turning the picture"
    )


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1, 1), (1, 1)),
        ((448, 448), (1, 1)),
        ((449, 448), (1, 2)),
        ((448, 449), (2, 1)),
        ((4000, 3000), (2, 3)),
        ((3000, 4000), (3, 2)),
        ((1000, 1000), (2, 2)),
        ((10_000, 100), (1, 6)),
        ((100, 10_000), (6, 1)),
        ((600, 600), (2, 2)),
    ],
)
def test_choices_that_people_would_make(size, grid):
    """Up to 6 tiles of 448 pixels."""
    assert choose(*size, grids(6), 448) == grid


# -- pictures


def test_a_small_budget_keeps_the_picture_whole():
    """A 1 × 1 grid gives one picture, not the same twice."""
    for tiling in (cut(blank(900, 500), 48, grids(1)), cut(blank(48, 48), 48, grids(9))):
        assert tiling.pictures.shape == (1, 48, 48, 3)
        assert tiling.grid == (1, 1)
        assert len(tiling.boxes(2)) == 1


@settings(deadline=None)
@given(sizes, some_grids, st.sampled_from([1, 4, 12, 48]))
def test_letterboxes_keep_shape_and_middle(size, candidates, side):
    """A picture fills its canvas one way, keeps its shape to half a pixel, with even margins."""
    tiling = cut(blank(*size), side, candidates)
    chosen = tiling.grid
    assert len(tiling.pictures) == (1 if chosen == (1, 1) else 1 + chosen.rows * chosen.columns)
    for placed, wide, high in (
        (tiling.thumbnail, side, side),
        (tiling.canvas, chosen.columns * side, chosen.rows * side),
    ):
        assert placed.width == wide or placed.height == high
        scale = min(wide / size[0], high / size[1])
        assert placed.width == pytest.approx(max(1, size[0] * scale), abs=0.5001)
        assert placed.height == pytest.approx(max(1, size[1] * scale), abs=0.5001)
        assert 0 <= wide - placed.width - 2 * placed.left <= 1
        assert 0 <= high - placed.height - 2 * placed.top <= 1

    white = (tiling.pictures == 255).all(-1)
    assert white[0].sum() == tiling.thumbnail.width * tiling.thumbnail.height
    if len(tiling.pictures) > 1:
        assert white[1:].sum() == tiling.canvas.width * tiling.canvas.height
    assert np.isin(tiling.pictures, (NEUTRAL, 255)).all(), (
        "margin is neutral, and nothing bleeds into it"
    )


def test_tiles_are_the_scaled_picture_in_rows():
    """Laid together, the tiles are Pillow's resized picture; the thumbnail is of the original."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 144, 3)).astype(np.uint8)
    tiling = cut(noise, 48, (Grid(2, 3),))
    laid = np.concatenate(
        [np.concatenate(list(tiling.pictures[1 + 3 * row : 4 + 3 * row]), 1) for row in (0, 1)]
    )
    assert np.array_equal(laid, noise)
    small = np.asarray(Image.fromarray(noise).resize((48, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(tiling.pictures[0, 8:40], small)


def test_shrinking_does_not_alias():
    """Fine stripes become grey, not coarse stripes."""
    stripes = np.zeros((960, 960, 3), np.uint8)
    stripes[:, ::2] = 254
    tiling = cut(stripes, 48, (Grid(1, 1),))
    assert np.abs(tiling.pictures[0, 4:-4, 4:-4].astype(int) - 127).max() <= 3


# -- coordinates


@settings(deadline=None, max_examples=50)
@given(sizes, some_grids, st.sampled_from([(12, 3, 1), (12, 1, 4), (16, 5, 3), (14, 3, 4)]))
@example((1, 1), [Grid(2, 2)], (12, 3, 1))
@example((1, 100), [Grid(3, 1)], (12, 3, 1))
@example((100, 1), [Grid(3, 1)], (12, 3, 1))
def test_boxes_and_pixels_are_each_others_inverse(size, candidates, cells):
    """A token is named for a pixel exactly if its box holds a part of it, for every token."""
    side, per_side, patch = cells
    width, height = size
    tiling = cut(blank(*size), side, candidates)
    boxes = tiling.boxes(per_side, patch)
    assert boxes.shape == (len(tiling.pictures), per_side**2, 4)
    real = boxes[~np.isnan(boxes).any(-1)]
    assert (
        (real[:, :2] >= 0).all()
        and (real[:, 2:] <= size).all()
        and (real[:, :2] < real[:, 2:]).all()
    )

    for x, y in {(0, 0), (width - 1, height - 1), (width // 2, height // 3)}:
        named = tiling.tokens_at(x, y, per_side, patch)
        covered = areas(np.clip(boxes, (x, y, x, y), (x + 1, y + 1, x + 1, y + 1)))
        assert named == [tuple(at) for at in np.argwhere(covered > 0).tolist()]

    for picture, token in np.argwhere(~np.isnan(boxes[..., 0]))[:: 2 * len(boxes)].tolist():
        left, top, right, bottom = tiling.box(picture, token, per_side, patch)
        assert [left, top, right, bottom] == boxes[picture, token].tolist()
        x, y = min(int((left + right) / 2), width - 1), min(int((top + bottom) / 2), height - 1)
        assert (picture, token) in tiling.tokens_at(x, y, per_side, patch)


@settings(deadline=None)
@given(sizes, some_grids, st.sampled_from([1, 2, 3, 6]))
def test_tokens_divide_the_picture_without_gap_or_overlap(size, candidates, per_side):
    """The thumbnail's boxes cover the whole original once, and so do the tiles'."""
    tiling = cut(blank(*size), 12, candidates)
    found = areas(tiling.boxes(per_side))
    assert found[0].sum() == pytest.approx(size[0] * size[1])
    if len(found) > 1:
        assert found[1:].sum() == pytest.approx(size[0] * size[1])


@settings(deadline=None)
@given(sizes, some_grids, st.data())
def test_a_painted_pixel_lands_in_the_tokens_that_tokens_at_names(size, candidates, data):
    """One pixel painted black: `tokens_at` names a token of largest change in every part."""
    side, per_side, cell = 24, 3, 8
    width, height = size
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    before = cut(blank(*size), side, candidates)
    painted = blank(*size)
    painted[y, x] = 0
    after = cut(painted, side, candidates)

    change = np.abs(after.pictures.astype(int) - before.pictures).sum(-1)
    named = after.tokens_at(x, y, per_side)
    assert {0 if picture == 0 else 1 for picture, _ in named} == {0, min(1, len(change) - 1)}
    for pictures in ([0], list(range(1, len(change)))):
        if pictures and change[pictures].max() > 30:  # else it is one of too many to be seen
            # a margin of 20 %, as a filter does not end at a border
            most = np.argwhere(change[pictures] >= 0.8 * change[pictures].max())
            cells = {
                (pictures[picture], row // cell * per_side + column // cell)
                for picture, row, column in most
            }
            assert cells & set(named)


def test_a_bright_square_is_in_its_tokens_and_nowhere_else():
    """A square as large as a token of a tile fills that one token and dims no other."""
    pixels = np.zeros((96, 144, 3), np.uint8)
    tiling = cut(pixels, 48, (Grid(2, 3),))
    for picture, token in ((1, 0), (3, 5), (4, 15), (6, 10)):
        left, top, right, bottom = (int(edge) for edge in tiling.box(picture, token, 4))
        assert (right - left, bottom - top) == (12, 12)
        drawn = pixels.copy()
        drawn[top:bottom, left:right] = 255
        shown = cut(drawn, 48, (Grid(2, 3),)).pictures[1:] == 255
        cells = shown.all(-1).reshape(6, 4, 12, 4, 12).swapaxes(2, 3).reshape(6, 16, 144)
        assert np.argwhere(cells.all(-1)).tolist() == [[picture - 1, token]]
        assert cells.sum() == 144
        assert {(p, t) for p, t in tiling.tokens_at(left + 6, top + 6, 4) if p} == {
            (picture, token)
        }


def test_a_turned_grid_is_not_taken_for_the_other():
    """Rows and columns, left and top are not exchanged: a picture of 3 : 1, in 1 × 3 tiles."""
    tiling = cut(blank(300, 100), 60, (Grid(1, 3),))
    assert tiling.box(2, 2, 3) == pytest.approx((500 / 3, 0, 200, 100 / 3))
    assert tiling.box(0, 3, 3) == (0.0, 0.0, 100.0, 100.0)
    assert tiling.box(0, 0, 3) is None, "above the thumbnail's picture is margin"
    assert tiling.tokens_at(0, 99, 3) == [(0, 3), (1, 6)]
    assert tiling.tokens_at(299, 0, 3) == [(0, 5), (3, 2)]


def test_what_fills_no_patch_is_seen_by_no_token():
    """SigLIP at 384 pixels in patches of 14: 81 tokens of 42 pixels, no token on the last 6."""
    tiling = cut(blank(768, 384), 384, (Grid(1, 2),))
    assert tiling.boxes(9, patch=14).shape == (3, 81, 4)
    assert tiling.box(1, 0, 9, patch=14) == (0.0, 0.0, 42.0, 42.0)
    assert tiling.box(1, 8, 3, patch=14) == (252.0, 252.0, 378.0, 378.0)
    assert tiling.box(2, 80, 9, patch=14) == (384.0 + 336, 336.0, 384.0 + 378, 378.0)
    assert [picture for picture, _ in tiling.tokens_at(380, 10, 9, patch=14)] == [0]


def test_one_pixel_is_seen_by_all_that_show_it():
    """A picture of one pixel, enlarged to fill its tiles."""
    tiling = cut(blank(1, 1), 8, (Grid(2, 2),))
    assert len(tiling.tokens_at(0, 0, 2)) == 20
    assert tiling.box(1, 3, 2) == (0.25, 0.25, 0.5, 0.5)


# -- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grids(0), "at least 1 tile"),
        (lambda: choose(8, 8, (), 48), "at least one"),
        (lambda: choose(8, 8, (Grid(1, 1), Grid(0, 2)), 48), "1 or more rows"),
        (lambda: choose(8, 8, grids(2), 0), "side = 0"),
        (lambda: choose(0, 8, grids(2), 48), "0 × 8"),
        (lambda: cut(blank(8, 0), 48, grids(2)), "8 × 0 pixels"),
        (lambda: cut(blank(8, 8), -1, grids(2)), "side = -1"),
    ],
)
def test_invalid_calls_are_refused(call, message):
    """The message names the value given and the right one."""
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tiling: tiling.boxes(5), "divisor of 48"),
        (lambda tiling: tiling.boxes(0), "per_side = 0"),
        (lambda tiling: tiling.boxes(5, patch=8), "the 6 patches"),
        (lambda tiling: tiling.boxes(1, patch=49), "from 1 to 48"),
        (lambda tiling: tiling.boxes(1, patch=0), "patch = 0"),
        (lambda tiling: tiling.box(3, 0, 2), "picture = 3: there are 3"),
        (lambda tiling: tiling.box(-1, 0, 2), "picture = -1"),
        (lambda tiling: tiling.box(0, 4, 2), "token = 4: there are 4"),
        (lambda tiling: tiling.tokens_at(90, 0, 2), "90 × 40"),
        (lambda tiling: tiling.tokens_at(0, -1, 2), "outside"),
    ],
)
def test_places_that_are_not_there(call, message):
    """Indices and cells that a tiling of 90 × 40 pixels in 1 × 2 tiles of 48 does not have."""
    tiling: Tiling = cut(blank(90, 40), 48, (Grid(1, 2),))
    with pytest.raises(UsageError, match=message):
        call(tiling)
