"""Sound that slips against the picture: what falls into a wrong second, and what a model still answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from omni_lab.evaluation.intervals import wilson
from omni_lab.plots.palette import FAINT, MODALITY_COLOURS
from omni_lab.plots.style import new_picture, styled

_SENSES = {"seen": MODALITY_COLOURS["image"], "heard": MODALITY_COLOURS["audio"]}


@styled
def draw_slip(
    slips_s: Sequence[float] | np.ndarray,
    lost: Sequence[float] | np.ndarray,
    exam: Sequence[Mapping[str, Sequence[int]]],
) -> Figure:
    """Share of sound in a wrong second, and share of right answers, over the slip of the sound.

    Bands are 95 % Wilson intervals.

    Parameters
    ----------
    slips_s : by how much the sound is late, seconds (early where negative), ascending
    lost : share of the sound that falls into another second, at each slip
    exam : at each slip, of questions about what is `heard` and `seen`: how many are answered
        rightly, and how many were asked
    """
    slip_ms = 1000 * np.asarray(slips_s)
    described = "; ".join(
        f"at {ms:+.0f} ms {share:.2f} of the sound, heard {_share(asked['heard']):.2f}"
        for ms, share, asked in zip(slip_ms, lost, exam, strict=True)
    )
    picture = new_picture(10.2, 3.5, f"Sound in a wrong second, and answers right: {described}.")
    left, right = picture.subplots(1, 2)
    look = {"markersize": 4, "marker": "o"}
    left.plot(slip_ms, lost, color=MODALITY_COLOURS["audio"], gid="lost", **look)
    left.set(ylabel="share of the sound in a wrong second", title="What slips away")

    for sense, colour in _SENSES.items():
        counts = [asked[sense] for asked in exam]
        low, high = zip(*(wilson(*count) for count in counts), strict=True)
        right.fill_between(slip_ms, low, high, color=colour, alpha=0.2, linewidth=0)
        label = f"asked what is {sense} (n = {counts[0][1]})"
        shares = [_share(count) for count in counts]
        right.plot(slip_ms, shares, color=colour, label=label, gid=sense, **look)
    right.set(ylabel="share of answers that are right", title="What a trained model still answers")
    for ax in (left, right):
        ax.axvline(0, color=FAINT, linewidth=0.8, linestyle=":")
        ax.set(ylim=(-0.02, 1.03), xlabel="← sound early · slip (ms) · sound late →")
        ax.grid(axis="y")
    right.legend(loc="lower right")
    return picture


def _share(count: Sequence[int]) -> float:
    return count[0] / count[1]
