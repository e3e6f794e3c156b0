"""Excess loss over a run: by type of word, and how well losses tell wrong words from right ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from omni_lab.plots.palette import FAINT
from omni_lab.plots.selection.captions import TYPE_COLOURS, TYPE_NAMES
from omni_lab.plots.style import new_picture, notice, styled

_SCORES = {
    "excess": ("#332288", "-", "excess loss, low end"),
    "reference": ("#117733", "--", "reference loss, high end"),
}


@styled
def draw_excess(runs: dict[str, Sequence[dict[str, Any]]]) -> Figure:
    """Mean excess loss of words of each type, and areas under the ROC curve, a column for each run.

    Where the area of the low end of excess loss is above one half, wrong words have the lowest
    excess, and keeping the highest drops them; below one half the other end does.

    Parameters
    ----------
    runs : name of a run → looks at it, each with `step`, `by_type` (mean excess in nats of types 1,
        2, 3), `excess` and `reference` (areas)
    """
    runs = {name: looks for name, looks in runs.items() if looks}
    if not runs:
        return notice("No looks at a run.")
    told = "; ".join(
        f"{name}: at the end the low end of excess loss tells wrong words with area "
        f"{looks[-1]['excess']:.2f}"
        for name, looks in runs.items()
    )
    picture = new_picture(4.4 * len(runs) + 1.2, 4.4, f"Excess loss over training. {told}.")
    grid = picture.subplots(2, len(runs), sharex="col", sharey="row", squeeze=False)
    for column, (name, looks) in enumerate(runs.items()):
        above, below = grid[:, column]
        steps = [look["step"] for look in looks]
        for at, kind in enumerate((1, 2, 3)):
            means = [look["by_type"][at] for look in looks]
            above.plot(steps, means, color=TYPE_COLOURS[kind], label=TYPE_NAMES[kind], marker=".")
        for score, (colour, dashes, label) in _SCORES.items():
            areas = np.array([look[score] for look in looks])
            below.plot(steps, areas, color=colour, linestyle=dashes, label=label, marker=".")
        above.axhline(0, color=FAINT, linewidth=0.8)
        below.axhline(0.5, color=FAINT, linewidth=0.8)
        above.set_title(name)
        below.set(xlabel="steps", ylim=(-0.03, 1.03))
    grid[0, 0].set_ylabel("mean excess loss,\nnats per word")
    grid[1, 0].set_ylabel("area under the ROC curve")
    for ax in grid[:, -1]:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return picture
