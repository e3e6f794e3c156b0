"""What a model saw when it was asked, and its likeliest answers, in columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from omni_lab.plots.palette import MODALITY_COLOURS
from omni_lab.plots.style import new_picture, notice, styled


@styled
def draw_asked(
    asked: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str] | None = None
) -> Figure:
    """Picture in sight and likeliest answers as bars, a column for each way of asking.

    Parameters
    ----------
    asked : title → `question`, `seen` (array [side, side, 3]) and `answers` (word → probability)
    colours : of single answers; all others are grey then, else all have the colour of text
    """
    if not asked:
        return notice("Nothing was asked.")
    usual = MODALITY_COLOURS["text" if colours is None else "control"]
    told = "; ".join(
        f"{title}, “{one['question']}”: {next(iter(one['answers']))} "
        f"{max(one['answers'].values()):.2f}"
        for title, one in asked.items()
    )
    alt = f"What the model saw, and its likeliest answer with its probability. {told}."
    picture = new_picture(2.6 * len(asked), 3.9, alt)
    axes = picture.subplots(2, len(asked), squeeze=False, height_ratios=(1.25, 1), sharex="row")
    for (above, below), (title, one) in zip(axes.T, asked.items(), strict=True):
        above.imshow(one["seen"])
        above.set_axis_off()
        above.set_title(f"{title}\n“{one['question']}”")
        words = list(one["answers"])[::-1]
        bars = [(colours or {}).get(word, usual) for word in words]
        below.barh(words, [one["answers"][word] for word in words], color=bars)
        below.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="probability")
    return picture
