"""When every rank of a ring computes, sends and waits: a pass of ring attention on one axis of time.

Glossary: W ranks · S steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from omni_lab.errors import UsageError
from omni_lab.plots.palette import FAINT, INK, LINE, ink_on, rank_colour, rgb
from omni_lab.plots.style import drawable, how_many, new_picture, styled

_EXPOSED = "#CC79A7"  # as in the picture of a plan
_WIDTH, _LANE, _LINK = (
    11.5,
    0.42,
    0.18,
)  # inches: the picture; of a rank's row, what its work and its link take


class RingTimes(NamedTuple):
    """When every rank of a pass begins each step, how long it then computes, and how long its message takes.

    `start_s` has one column more than steps: when the rank is done. A transfer of 0 seconds is none.
    """

    start_s: Float[np.ndarray, "W S+1"]
    work_s: Float[np.ndarray, "W S"]
    transfer_s: Float[np.ndarray, "W S"]


@styled
def draw_ring_times(passes: Mapping[str, RingTimes]) -> Figure:
    """Draw passes under each other on one axis of time: a row per rank, its work above what it sends.

    Work has the colour and number of the rank whose keys are looked at. A rank that has done its work waits: for bytes,
    where what it sends or takes is under way, which is communication that nothing hides; else for a busier rank.

    Raises
    ------
    UsageError
        there is no pass, or its parts do not fit together

    >>> even = RingTimes(np.array([[0.0, 3, 5], [0, 3, 5]]), np.full((2, 2), 2.0), np.array([[3.0, 0], [3, 0]]))
    >>> draw_ring_times({"short blocks": even}).alt
    'Passes of a ring. short blocks: 2 ranks, 5 s, at work 80%, waiting for bytes 20%, for busier ranks 0%.'
    """
    if not passes:
        raise UsageError("no pass to draw; give at least one")
    for name, times in passes.items():
        ranks, steps = times.work_s.shape
        if times.start_s.shape != (ranks, steps + 1) or times.transfer_s.shape != (ranks, steps):
            raise UsageError(
                f"{name}: starts are to be one more than steps, and transfers as many, for each rank"
            )
    longest = max(float(times.start_s.max()) for times in passes.values())
    scale, unit = next(
        (10.0**power, name)
        for power, name in ((0, "s"), (3, "ms"), (6, "µs"))
        if longest * 10**power >= 1
    )
    told = {name: _in_words(times, scale, unit) for name, times in passes.items()}
    ranks = [len(times.work_s) for times in passes.values()]
    height = sum(0.36 * count + 0.55 for count in ranks) + 0.75
    picture = new_picture(
        _WIDTH, height, "Passes of a ring. " + "; ".join(f"{k}: {v}" for k, v in told.items()) + "."
    )
    axes = picture.subplots(
        len(passes), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ranks}
    )[:, 0]
    for ax, (name, times) in zip(axes, passes.items(), strict=True):
        _draw_pass(ax, name, RingTimes(*(part * scale for part in times)), longest * scale)
        ax.set_title(f"{drawable(name)}: {told[name]}", fontsize=9)
        ax.set_xlim(0, 1.01 * longest * scale)
    axes[-1].set_xlabel(f"time ({unit})")
    handles = [
        Patch(facecolor="white", edgecolor=INK, label="work, on the keys of this rank"),
        Patch(facecolor=FAINT, label="sending to the next rank"),
        Patch(facecolor=_EXPOSED, label="waiting for bytes"),
        Patch(facecolor="white", edgecolor=LINE, hatch="////", label="waiting for a busier rank"),
    ]
    picture.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.3
    )
    return picture


def _waits(times: RingTimes, rank: int, step: int) -> tuple[float, float, float]:
    """From when on a rank waits in a step, from when on it is bytes that it waits for, and when it goes on."""
    done, goes_on = (
        times.start_s[rank, step] + times.work_s[rank, step],
        times.start_s[rank, step + 1],
    )
    links = [r for r in (rank, (rank - 1) % len(times.start_s)) if times.transfer_s[r, step]]
    ways = [
        (_sent_from(times, r, step) + times.transfer_s[r, step], _sent_from(times, r, step))
        for r in links
    ]
    _, begins = max(ways, default=(goes_on, goes_on))  # of the message that is there last
    return done, min(max(done, begins), goes_on), goes_on


def _sent_from(times: RingTimes, rank: int, step: int) -> float:
    """When a rank's message begins: when it and the next one are both there."""
    return float(
        max(times.start_s[rank, step], times.start_s[(rank + 1) % len(times.start_s), step])
    )


def _in_words(times: RingTimes, scale: float, unit: str) -> str:
    ranks, steps = times.work_s.shape
    total = float(times.start_s[:, -1].max())
    waits = [_waits(times, rank, step) for rank in range(ranks) for step in range(steps)]
    bytes_s = sum(goes_on - of_bytes for _, of_bytes, goes_on in waits)
    work, for_bytes = times.work_s.sum() / (ranks * total), bytes_s / (ranks * total)
    shares = f"at work {work:.0%}, waiting for bytes {for_bytes:.0%}, "
    shares += f"for busier ranks {max(0.0, 1 - work - for_bytes):.0%}"
    return f"{how_many(ranks, 'rank')}, {total * scale:.3g} {unit}, {shares}"


def _draw_pass(ax: Axes, name: str, times: RingTimes, longest: float) -> None:
    ranks, steps = times.work_s.shape
    idle = {"facecolor": "white", "edgecolor": LINE, "hatch": "////", "linewidth": 0}
    for rank in range(ranks):
        for step in range(steps):
            start, work = times.start_s[rank, step], times.work_s[rank, step]
            owner = (rank - step) % ranks
            if work:
                (bar,) = ax.barh(
                    rank,
                    work,
                    _LANE,
                    start,
                    color=rank_colour(owner),
                    edgecolor="white",
                    linewidth=0.6,
                )
                bar.set_gid(f"work:{name}:{rank}:{step}:{owner}")
                if work > longest / 60:
                    ink = ink_on(part / 255 for part in rgb(rank_colour(owner)))
                    ax.text(
                        start + work / 2,
                        rank,
                        str(owner),
                        ha="center",
                        va="center",
                        fontsize=7,
                        color=ink,
                    )
            done, of_bytes, goes_on = _waits(times, rank, step)
            if of_bytes > done:
                ax.barh(rank, of_bytes - done, _LANE, done, **idle)[0].set_gid(
                    f"waits:{name}:{rank}:{step}"
                )
            if goes_on > of_bytes:
                (bar,) = ax.barh(rank, goes_on - of_bytes, _LANE, of_bytes, color=_EXPOSED)
                bar.set_gid(f"exposed:{name}:{rank}:{step}")
            if takes := times.transfer_s[rank, step]:
                begins = _sent_from(times, rank, step)
                link = ax.barh(
                    rank + (_LANE + _LINK) / 2,
                    takes,
                    _LINK,
                    begins,
                    color=FAINT,
                    edgecolor="white",
                    linewidth=0.6,
                )
                link[0].set_gid(f"sends:{name}:{rank}:{step}")
        rest = float(times.start_s[:, -1].max()) - times.start_s[rank, -1]
        if rest > 0:
            ax.barh(rank, rest, _LANE, times.start_s[rank, -1], **idle)[0].set_gid(
                f"waits:{name}:{rank}:{steps}"
            )
    ax.set(ylim=(ranks - 0.45, -0.45))
    ax.set_yticks(range(ranks), [f"rank {rank}" for rank in range(ranks)])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
