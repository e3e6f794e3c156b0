"""Small exercise of notebook 02 about tiles: the grid that a picture is cut in."""

from __future__ import annotations

import math

from omni_lab.check.step import Step
from omni_lab.sequences.tiling import Grid, choose
from omni_lab.sequences.tiling import grids as grids_of


def _best(worth):
    """The grid that is worth most by `worth(scale, tiles)` of the right scale, the first of equals."""
    return _scaled(lambda w, h, s, r, c: min(c * s / w, r * s / h, 1), worth)


def _scaled(scale, worth=lambda scale, rows, columns: (scale, -rows * columns)):
    """Mistake that scales a picture by `scale(width, height, side, rows, columns)`."""

    def wrong(width, height, grids, side):
        def rank(grid):
            return worth(scale(width, height, side, *grid), *grid)

        return max(grids, key=rank)

    return wrong


def _nearest_shape(width, height, grids, side):
    """The grid whose shape is nearest to the picture's."""
    return min(grids, key=lambda grid: abs(math.log(grid[1] / grid[0] * height / width)))


_right = _best(lambda scale, rows, columns: (scale, -rows * columns))
_ALL = [tuple(grid) for grid in grids_of(6)]
_FEW = "of grids that keep equally much, take the one with the fewest tiles"
_CAP = "enlarging makes no new detail, so a scale above 1 counts as 1"
_LIE = "a grid is (rows, columns): columns lie along the width, rows along the height"
_FIT = "a picture fits if it is too large in no direction: the smaller of both scales"
best_grid = Step(
    right=lambda width, height, grids, side: choose(width, height, [Grid(*g) for g in grids], side),
    cases=[
        (150, 50, _ALL, 48),
        (100, 100, _ALL, 48),
        (60, 200, _ALL, 48),
        (40, 30, _ALL, 48),
        (96, 40, _ALL[::-1], 48),
        (40, 90, _ALL[::-1], 48),
        (150, 50, _ALL[::-1], 48),
        (100, 100, [(1, 1), (1, 5), (2, 2)], 48),
        (60, 140, [(1, 1), (1, 2), (3, 1), (3, 2)], 48),
        (144, 100, _ALL, 50),
        (96, 40, [(2, 3), (2, 2), (1, 2)], 48),
        (100, 40, [(2, 3), (1, 5)], 48),
        (400, 90, _ALL, 48),
        (40, 90, [(1, 2), (2, 1)], 48),
    ],
    rule="take the grid of the largest scale (to fit, at most 1), and of equals the one with the fewest tiles",
    mistakes=[
        (_scaled(lambda w, h, s, r, c: min(c * s / w, r * s / h)),
         f"this takes ever larger grids: {_CAP}; and a grid is columns * side pixels wide"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, r * s / h, 2)),
         f"this lets a picture grow to twice its size: {_CAP}"),
        (_scaled(lambda w, h, s, r, c: max(c * s / w, r * s / h, 1)),
         f"this takes the largest of the scales; {_FIT}, and at most 1"),
        (_scaled(lambda w, h, s, r, c: min(1, max(c * s / w, r * s / h))), _FIT),
        (_scaled(lambda w, h, s, r, c: min(w / (c * s), h / (r * s), 1)),
         "the scale is upside down: the grid's pixels over the picture's"),
        (_scaled(lambda w, h, s, r, c: min(r * s / w, c * s / h, 1)),
         f"rows and columns have changed places: {_LIE}"),
        (_scaled(lambda w, h, s, r, c: min(c * s / h, r * s / h, 1)),
         "the grid's width is held against the picture's height"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, r * s / w, 1)),
         "the grid's height is held against the picture's width"),
        (_scaled(lambda w, h, s, r, c: min(r * s / h, 1)), f"only the height limits the scale here; {_FIT}"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, 1)), f"only the width limits the scale here; {_FIT}"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, r * w / h, 1)),
         "a tile is `side` pixels high, so the grid has rows * side"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, r / s / h, 1)),
         "the grid is rows * side pixels high: times, not divided by"),
        (_scaled(lambda w, h, s, r, c: min(c / s / w, r * s / h, 1)),
         "the grid is columns * side pixels wide: times, not divided by"),
        (_scaled(lambda w, h, s, r, c: min(c * s // w, r * s / h, 1)), "a scale is a fraction: `/`, not `//`"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, r * s // h, 1)), "a scale is a fraction: `/`, not `//`"),
        (_scaled(lambda w, h, s, r, c: min(c * s // w, r * s // h, 1)), "a scale is a fraction: `/`, not `//`"),
        (_best(lambda scale, rows, columns: (scale, rows * columns)),
         f"this takes the most tiles of equals; {_FEW}"),
        (_best(lambda scale, rows, columns: scale),
         f"this takes the first of equals, whatever it costs; {_FEW}"),
        (_best(lambda scale, rows, columns: (scale, -rows)), f"this counts rows alone; {_FEW}"),
        (_best(lambda scale, rows, columns: (scale, -columns)), f"this counts columns alone; {_FEW}"),
        (_best(lambda scale, rows, columns: (scale, -rows / columns)),
         f"this takes the widest of equals; {_FEW}"),
        (_best(lambda scale, rows, columns: (scale, -(-rows // columns))),
         f"this takes the widest of equals; {_FEW}"),
        (_best(lambda scale, rows, columns: (scale, -rows // columns)),
         f"this takes the widest of equals; {_FEW}"),
        (_best(lambda scale, rows, columns: (scale, -rows - columns)),
         f"rows times columns is the number of tiles, not their sum; {_FEW}"),
        (_best(lambda scale, rows, columns: rows * columns),
         "this always takes the most tiles; first look how large the picture can be in each grid"),
        (_best(lambda scale, rows, columns: -rows * columns),
         "this always takes the fewest tiles; first look how large the picture can be in each grid"),
        (_best(lambda scale, rows, columns: (rows * columns, scale)),
         "the scale comes first; the number of tiles decides only between equals"),
        (_best(lambda scale, rows, columns: -scale), "this takes the grid in which the picture is smallest"),
        (_best(lambda scale, rows, columns: (-scale, rows * columns)),
         "this takes the grid in which the picture is smallest"),
        (_best(lambda scale, rows, columns: scale**2 / (rows * columns)),
         "pixels per tile is another rule: the scale first, then the fewest tiles"),
        (_scaled(lambda w, h, s, r, c: min(c * s / w, 1) * min(r * s / h, 1)),
         "this squeezes width and height by themselves, which distorts; one scale for both, the smaller"),
        (_nearest_shape,
         "the grid of the nearest shape may still be far too small or too large: compare scales"),
        (lambda w, h, g, s: _right(w, h, g, s)[::-1], "a grid is (rows, columns), in this order"),
        (lambda w, h, g, s: g.index(_right(w, h, g, s)),
         "this is the place of the grid in the list; return the grid itself"),
    ],
    inputs=lambda source: (
        source.randrange(20, 300), source.randrange(20, 300), _ALL, source.randrange(30, 60),
    ),
    shows="a wide picture takes a wide grid, and a small one a single square",
)  # fmt: skip
