"""Receptive fields of image tokens: which part of a picture each of some tokens sees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omni_lab.errors import UsageError
from omni_lab.plots.style import how_many, new_picture, styled

_COLOURS = ("#D55E00", "#0072B2", "#CC79A7", "#009E73", "#E69F00")
_WIDTH, _TALLEST = 9.0, 4.5  # inches


@styled
def draw_sight(
    pixels: UInt8[np.ndarray, "height width 3"], boxes: Mapping[int, tuple[float, ...]]
) -> Figure:
    """Picture with the part of it that each of some tokens sees, framed in a colour of its own.

    Parameters
    ----------
    pixels : the whole picture
    boxes : place of a token → left, top, right, bottom in pixels, as of `omni_lab.sequences.seen_by`

    Raises
    ------
    UsageError
        there is no token, or more of them than colours
    """
    if not 1 <= len(boxes) <= len(_COLOURS):
        raise UsageError(f"{len(boxes)} tokens to draw; give from 1 to {len(_COLOURS)}")

    high, wide = pixels.shape[:2]
    parts = "; ".join(
        f"token {place}: x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}"
        for place, (left, top, right, bottom) in boxes.items()
    )
    height = min(_TALLEST, (_WIDTH - 2) * high / wide + 0.8)
    picture = new_picture(
        _WIDTH, height, f"Parts of a picture that {how_many(len(boxes), 'token')} see. {parts}."
    )
    ax = picture.subplots()
    ax.imshow(pixels, extent=(0, wide, high, 0))
    for (place, (left, top, right, bottom)), colour in zip(boxes.items(), _COLOURS, strict=False):
        frame = Rectangle(
            (left, top), right - left, bottom - top, fill=False, edgecolor=colour,
            linewidth=2.5, label=f"token {place}", clip_on=False,
        )  # fmt: skip
        frame.set_gid(f"sight:{place}")
        ax.add_patch(frame)
    ax.set(xlabel="x (pixels)", ylabel="y (pixels)")
    picture.legend(loc="outside right center", handlelength=1.3)
    return picture
