"""Reel of a film: its frames in order with a mark before each, one of them framed, and a question below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from omni_lab.plots.palette import FAINT, MODALITY_COLOURS
from omni_lab.plots.style import drawable, new_picture, notice, styled


@styled
def draw_reel(
    frames: UInt8[ndarray, "F S S 3"],
    marks: Sequence[str],
    chosen: int | None = None,
    question: str = "",
    columns: int = 16,
) -> Figure:
    """Frames of a film in order, what stands before each above it, one of them in a frame of its own.

    Parameters
    ----------
    marks : what stands before each frame; empty where nothing does
    chosen : number of the frame that is the needle
    question : asked after the film
    """
    if not len(frames):
        return notice("The film has no frame.")
    rows = math.ceil(len(frames) / columns)
    needle = "" if chosen is None else f"; the needle is frame {chosen}"
    asked = f" Asked: {question}" if question else ""
    alt = f"{len(frames)} frames with marks before them{needle}.{asked}"
    picture = new_picture(9.6, 0.85 * rows + 0.45, alt)
    axes = picture.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")

    for number, (ax, frame, mark) in enumerate(zip(axes, frames, marks, strict=False)):
        ax.imshow(frame)
        ax.set_title(drawable(mark), fontsize=6.5, color=FAINT, pad=2)
        if number == chosen:
            ax.axis("on")
            ax.set(xticks=[], yticks=[], gid="chosen")
            for spine in ax.spines.values():
                spine.set(visible=True, color=MODALITY_COLOURS["speech"], linewidth=3)
    picture.supxlabel(drawable(question), fontsize=9)
    return picture
