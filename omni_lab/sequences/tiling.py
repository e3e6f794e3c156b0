"""AnyRes dynamic tiling: high-resolution images as square tiles of one size, plus a thumbnail.

An encoder sees one square of fixed size; a large picture squeezed into it loses fine detail. So the
picture is scaled to fit a grid of such squares, chosen by its shape, and cut into them, while a
thumbnail keeps the whole in one glance (LLaVA-NeXT's AnyRes; OmChat adopts it). Both are
letterboxed: the aspect ratio is kept, and the margin is filled evenly. Receptive fields are known
both ways: from a token to pixels of the original, and from a pixel to its tokens.

Glossary: pictures, the thumbnail, then tiles row by row · height and width of the original in
pixels · side: pixels along an edge of each picture · per_side: tokens along it, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float64, UInt8

from omni_lab.errors import UsageError

if TYPE_CHECKING:
    import PIL.Image

# Mid-grey is nearest to zero once an encoder has brought pixels to -1 … 1: neither black nor white,
# so that the margin makes no edge as strong as those of the picture.
NEUTRAL = 127


class Grid(NamedTuple):
    """Tile grid of a picture: rows × columns."""

    rows: int
    columns: int


# OmChat's (claim C2), in tiles of 448 pixels: 896×896, 448×896, 896×448, 448×1344, 1344×448,
# 1344×896, 896×1344, 1344×1344. Each shape is listed in both directions, so it makes no difference
# which of the two numbers is the height. A single tile is not among them: even a small picture is
# cut in two or more.
OMCHAT_GRIDS = (
    Grid(2, 2), Grid(1, 2), Grid(2, 1), Grid(1, 3), Grid(3, 1), Grid(2, 3), Grid(3, 2), Grid(3, 3),
)  # fmt: skip


class Placement(NamedTuple):
    """Letterbox placement of the whole picture on a canvas, in pixels of the canvas.

    The scale is the placement's width and height over those of the original.
    """

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Tiling:
    """Tiled image: the pictures that the encoder takes, and the geometry back to the original."""

    # the thumbnail, then tiles row by row; the thumbnail alone if the grid is 1 × 1
    pictures: UInt8[np.ndarray, "pictures side side 3"]
    grid: Grid
    width: int  # of the original, pixels
    height: int
    thumbnail: Placement  # on the first picture
    canvas: Placement  # on all tiles laid together, rows · side high and columns · side wide

    def boxes(self, per_side: int, patch: int = 1) -> Float64[np.ndarray, "pictures tokens 4"]:
        """Receptive field of every token: left, top, right, bottom in pixels of the original.

        NaN for a token on nothing but margin. This is geometry: the filter that scales lets in a
        little of the pixels around, and an encoder's attention much more.

        Parameters
        ----------
        per_side : tokens along an edge of each picture
        patch : pixels along an edge of the encoder's patches; a rest that fills no patch at the
            right and at the bottom of a picture (6 pixels of 384 in patches of 14) belongs to no
            token

        Raises
        ------
        UsageError
            a patch does not fit in a picture, or `per_side` does not divide the patches of an edge
        """
        side = self.pictures.shape[1]
        if not 1 <= patch <= side:
            right = f"from 1 to {side}, the pixels along an edge of a picture"
            raise UsageError(f"patch = {patch}: it must be {right}")
        patches = side // patch
        if per_side < 1 or patches % per_side:
            patched = f"the {patches} patches along an edge ({side} pixels, {patch} each)"
            wrong = f"{patched} do not divide among so many"
            raise UsageError(f"per_side = {per_side}: {wrong}; take a divisor of {patches}")

        cell = patches // per_side * patch
        thumbnail = self._seen(Grid(1, 1), self.thumbnail, cell, per_side)
        if len(self.pictures) == 1:
            return thumbnail
        return np.concatenate([thumbnail, self._seen(self.grid, self.canvas, cell, per_side)])

    def box(
        self, picture: int, token: int, per_side: int, patch: int = 1
    ) -> tuple[float, float, float, float] | None:
        """Receptive field of one token, as in `boxes`; None for a token on nothing but margin.

        Raises
        ------
        UsageError
            there is no such picture or token, or as `boxes`
        """
        boxes = self.boxes(per_side, patch)
        for name, index, count in (("picture", picture, len(boxes)), ("token", token, per_side**2)):
            if not 0 <= index < count:
                raise UsageError(f"{name} = {index}: there are {count}, counted from 0")
        found = tuple(boxes[picture, token].tolist())
        return None if np.isnan(found[0]) else found

    def tokens_at(self, x: int, y: int, per_side: int, patch: int = 1) -> list[tuple[int, int]]:
        """Tokens that see a pixel of the original, as (picture, token), the thumbnail's first.

        Where the picture was scaled down, a pixel may lie across the border of two tokens; where it
        was enlarged, many may see parts of one pixel.

        Raises
        ------
        UsageError
            the pixel lies outside the picture, or as `boxes`
        """
        if not (0 <= x < self.width and 0 <= y < self.height):
            wrong = f"pixel ({x}, {y}) lies outside the picture of {self.width} × {self.height}"
            raise UsageError(f"{wrong}; x and y count from 0")
        left, top, right, bottom = np.moveaxis(self.boxes(per_side, patch), -1, 0)
        seen = (left < x + 1) & (right > x) & (top < y + 1) & (bottom > y)
        return [(int(picture), int(token)) for picture, token in np.argwhere(seen)]

    def _seen(
        self, grid: Grid, placed: Placement, cell: int, per_side: int
    ) -> Float64[np.ndarray, "pictures tokens 4"]:
        """Boxes of all tokens of a grid of pictures that together show the original once."""
        side = self.pictures.shape[1]

        def edges(
            count: int, start: int, shown: int, size: int
        ) -> Float64[np.ndarray, "count edges"]:
            on_canvas = np.arange(count)[:, None] * side + np.arange(per_side + 1) * cell
            # multiplied before divided, one rounding: whole pixels stay whole
            return np.clip((on_canvas - start) * size / shown, 0, size)

        across = edges(grid.columns, placed.left, placed.width, self.width)[None, :, None, :]
        down = edges(grid.rows, placed.top, placed.height, self.height)[:, None, :, None]
        sides = across[..., :-1], down[:, :, :-1], across[..., 1:], down[:, :, 1:]
        boxes = np.stack(np.broadcast_arrays(*sides), axis=-1)  # rows columns per_side per_side 4
        boxes[(boxes[..., :2] >= boxes[..., 2:]).any(-1)] = np.nan
        return boxes.reshape(grid.rows * grid.columns, per_side**2, 4)


def grids(most: int) -> tuple[Grid, ...]:
    """All grids of at most `most` tiles, the smallest first.

    >>> grids(2)
    (Grid(rows=1, columns=1), Grid(rows=1, columns=2), Grid(rows=2, columns=1))

    Raises
    ------
    UsageError
        `most` is below 1
    """
    if most < 1:
        raise UsageError(f"most = {most}: a picture takes at least 1 tile")
    every = (
        Grid(rows, columns) for rows in range(1, most + 1) for columns in range(1, most // rows + 1)
    )
    return tuple(sorted(every, key=lambda grid: (grid.rows * grid.columns, grid.rows)))


def choose(width: int, height: int, grids: Sequence[Grid], side: int) -> Grid:
    """Best-resolution grid for a picture: most of its pixels kept, then the fewest tiles.

    LLaVA-NeXT's rule: the picture is scaled to fit, and the pixels it then has count, at most those
    it had; of equals the least area without picture wins, which is the fewest tiles. If grids are
    still equal (a square in 1 × 2 or in 2 × 1), the one with fewer rows. Computed in fractions, so
    that no choice depends on a rounded pixel.

    Parameters
    ----------
    width, height : of the picture, pixels
    side : of one tile, pixels

    Raises
    ------
    UsageError
        no grids are given, or one of them, the picture or the tiles have no extent

    >>> choose(1000, 400, grids(6), side=448), choose(400, 300, grids(6), side=448)
    (Grid(rows=1, columns=3), Grid(rows=1, columns=1))
    """
    if side < 1:
        raise UsageError(f"side = {side}: a tile has at least 1 pixel along an edge")
    if min(width, height) < 1:
        right = "width and height must be 1 or more"
        raise UsageError(f"a picture of {width} × {height} pixels is empty: {right}")
    if not grids or min(min(grid) for grid in grids) < 1:
        right = "give at least one, each with 1 or more rows and columns"
        raise UsageError(f"grids = {list(grids)}: {right}")

    def rank(grid: Grid) -> tuple[Fraction, int, int]:
        scale = min(Fraction(grid.columns * side, width), Fraction(grid.rows * side, height))
        kept = min(scale, Fraction(1))  # the pixels kept grow with the scale
        return -kept, grid.rows * grid.columns, grid.rows

    return min(grids, key=rank)


def cut(pixels: UInt8[np.ndarray, "height width 3"], side: int, grids: Sequence[Grid]) -> Tiling:
    """AnyRes tiling of a picture: a thumbnail of the whole, then tiles of the best grid.

    If that grid is 1 × 1, the thumbnail is the one tile, and no token is spent on a second copy.

    Parameters
    ----------
    side : of every picture that the encoder takes, pixels
    grids : to choose from, as `grids(config.sequence.tiles)` or `OMCHAT_GRIDS`

    Raises
    ------
    UsageError
        as `choose`

    >>> cut(np.zeros((300, 600, 3), np.uint8), 448, grids(4)).pictures.shape
    (3, 448, 448, 3)
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    grid = choose(width, height, grids, side)
    image = Image.fromarray(pixels)
    whole, thumbnail = _letterboxed(image, side, side)
    if grid == Grid(1, 1):
        return Tiling(whole[None], grid, width, height, thumbnail, thumbnail)
    together, canvas = _letterboxed(image, grid.columns * side, grid.rows * side)
    tiles = rearrange(
        together, "(rows high) (columns wide) c -> (rows columns) high wide c", high=side, wide=side
    )
    return Tiling(np.concatenate([whole[None], tiles]), grid, width, height, thumbnail, canvas)


def _letterboxed(
    image: PIL.Image.Image, width: int, height: int
) -> tuple[UInt8[np.ndarray, "height width 3"], Placement]:
    """Letterboxed picture: scaled to fit and centred, an odd pixel of margin right or below."""
    from PIL import Image

    if image.width * height >= image.height * width:  # wider than the canvas
        shown = width, max(1, round(image.height * width / image.width))
    else:
        shown = max(1, round(image.width * height / image.height)), height
    placed = Placement((width - shown[0]) // 2, (height - shown[1]) // 2, *shown)
    canvas = np.full((height, width, 3), NEUTRAL, np.uint8)
    # Pillow widens the filter when it shrinks: no aliasing
    scaled = image.resize(shown, Image.Resampling.BICUBIC)
    canvas[placed.top : placed.top + placed.height, placed.left : placed.left + placed.width] = (
        np.asarray(scaled)
    )
    return canvas, placed
