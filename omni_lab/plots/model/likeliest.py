"""Likeliest answers of several models to the same questions about the same frames.

Glossary: S picture side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, shortened, styled


class Asked(NamedTuple):
    """A question about one frame, and the likeliest words of every model."""

    question: str
    frame: UInt8[np.ndarray, "S S 3"]
    answers: Mapping[str, Mapping[str, float]]  # model → word → probability
    true: str | None = None


@styled
def draw_likeliest(asked: Sequence[Asked]) -> Figure:
    """A column for every question: the frame, and below it the likeliest words of every model.

    The bar of the true answer, where it is known, is filled.

    Parameters
    ----------
    asked : questions, all put to the same models

    Raises
    ------
    UsageError
        there is no question, or questions were put to different models
    """
    if not asked or any(one.answers.keys() != asked[0].answers.keys() for one in asked):
        raise UsageError("draw_likeliest takes questions that were all put to the same models")
    models = list(asked[0].answers)
    told = "; ".join(
        f"{one.question} " + ", ".join(f"{name}: {max(words, key=words.get)}"
                                       for name, words in one.answers.items())
        for one in asked
    )  # fmt: skip
    size = (2.5 * len(asked) + 0.6, 1.9 + 1.35 * len(models))
    picture = new_picture(*size, f"Likeliest answers. {told}.")
    heights = (1.25, *[0.9] * len(models))
    axes = picture.subplots(len(heights), len(asked), squeeze=False, height_ratios=heights)
    for (above, *below), one in zip(axes.T, asked, strict=True):
        above.imshow(one.frame)
        above.set_axis_off()
        above.set_title(f"“{shortened(one.question, 26)}”", loc="center")
        for ax, name in zip(below, models, strict=True):
            words = list(one.answers[name])[::-1]
            bars = ax.barh(words, [one.answers[name][word] for word in words])
            for word, bar in zip(words, bars, strict=True):
                bar.set_color(MODALITY_COLOURS["text"] if word == one.true else "#c9ced6")
            ax.set_xlim(0, 1)
            ax.set_xlabel("probability" if ax is below[-1] else "")
            ax.set_title(name, size=8.5, color=FAINT)
    return picture
