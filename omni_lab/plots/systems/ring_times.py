"""Timeline of a ring attention pass (context parallel): compute, send and wait of every rank.

Glossary: W ranks.
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

_EXPOSED = "#CC79A7"  # the colour of exposed communication in the figure of a plan
_WIDTH = 11.5  # inches
_LANE, _LINK = 0.42, 0.18  # fractions of a rank's row: its compute, its link
_IDLE = {"facecolor": "white", "edgecolor": LINE, "hatch": "////", "linewidth": 0}


class RingTimes(NamedTuple):
    """Times of a ring pass per rank and step, in seconds: start, compute, transfer.

    The last column of `start_s` is the time at which the rank is done. A transfer of 0 seconds
    stands for no message.
    """

    start_s: Float[np.ndarray, "W steps+1"]
    work_s: Float[np.ndarray, "W steps"]
    transfer_s: Float[np.ndarray, "W steps"]


@styled
def draw_ring_times(passes: Mapping[str, RingTimes]) -> Figure:
    """Timelines of ring passes on one time axis: a row per rank, its compute above its transfers.

    A bar of compute has the colour and number of the rank whose keys are attended to. A rank that
    is done with a step waits: while a message to or from it is in flight this is exposed
    communication, otherwise it waits for a busier rank.

    Parameters
    ----------
    passes : name → its times

    Raises
    ------
    UsageError
        there is no pass, or the shapes of its times do not match

    >>> start, work = np.array([[0.0, 3, 5], [0, 3, 5]]), np.full((2, 2), 2.0)
    >>> even = RingTimes(start, work, transfer_s=np.array([[3.0, 0], [3, 0]]))
    >>> print(draw_ring_times({"short": even}).alt.partition(". ")[2])
    short: 2 ranks, 5 s, compute 80%, exposed communication 20%, waiting for busier ranks 0%.
    """
    _check_shapes(passes)
    longest = max(float(times.start_s.max()) for times in passes.values())
    scale, unit = next(
        (10.0**power, name)
        for power, name in ((0, "s"), (3, "ms"), (6, "µs"))
        if longest * 10**power >= 1
    )
    summaries = {name: _in_words(times, scale, unit) for name, times in passes.items()}
    described = "; ".join(f"{name}: {summary}" for name, summary in summaries.items())

    ranks = [len(times.work_s) for times in passes.values()]
    height = sum(0.36 * count + 0.55 for count in ranks) + 0.75
    picture = new_picture(
        _WIDTH, height, f"Passes of ring attention (context parallel). {described}."
    )
    axes = picture.subplots(
        len(passes), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ranks}
    )[:, 0]

    for ax, (name, times) in zip(axes, passes.items(), strict=True):
        _draw_pass(ax, name, RingTimes(*(part * scale for part in times)), longest * scale)
        ax.set_title(f"{drawable(name)}: {summaries[name]}", fontsize=9)
        ax.set_xlim(0, 1.01 * longest * scale)
    axes[-1].set_xlabel(f"time ({unit})")

    handles = [
        Patch(facecolor="white", edgecolor=INK, label="compute, on the keys of this rank"),
        Patch(facecolor=FAINT, label="send to the next rank"),
        Patch(facecolor=_EXPOSED, label="exposed communication"),
        Patch(facecolor="white", edgecolor=LINE, hatch="////", label="waiting for a busier rank"),
    ]
    picture.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.3
    )
    return picture


def _check_shapes(passes: Mapping[str, RingTimes]) -> None:
    """Refuse an empty figure, or times whose shapes do not match."""
    if not passes:
        raise UsageError("no pass to draw; give at least one")
    for name, times in passes.items():
        ranks, steps = times.work_s.shape
        if times.start_s.shape != (ranks, steps + 1) or times.transfer_s.shape != (ranks, steps):
            raise UsageError(
                f"{name}: shapes of start_s {times.start_s.shape} and transfer_s "
                f"{times.transfer_s.shape} do not match work_s; "
                f"give {(ranks, steps + 1)} and {(ranks, steps)}"
            )


def _waits(times: RingTimes, rank: int, step: int) -> tuple[float, float, float]:
    """End of a rank's compute in a step, start of its exposed communication, start of the next."""
    done = times.start_s[rank, step] + times.work_s[rank, step]
    next_start = times.start_s[rank, step + 1]
    senders = [r for r in (rank, (rank - 1) % len(times.start_s)) if times.transfer_s[r, step]]
    messages = [
        (_sent_from(times, r, step) + times.transfer_s[r, step], _sent_from(times, r, step))
        for r in senders
    ]
    # the message that arrives last decides: what follows its start is exposed
    _, begins = max(messages, default=(next_start, next_start))
    return done, min(max(done, begins), next_start), next_start


def _sent_from(times: RingTimes, rank: int, step: int) -> float:
    """Start of a rank's message: when both sender and receiver have reached the step."""
    return float(
        max(times.start_s[rank, step], times.start_s[(rank + 1) % len(times.start_s), step])
    )


def _in_words(times: RingTimes, scale: float, unit: str) -> str:
    """Duration of a pass and fractions of compute, exposed communication and waiting, as text."""
    ranks, steps = times.work_s.shape
    total = float(times.start_s[:, -1].max())
    waits = [_waits(times, rank, step) for rank in range(ranks) for step in range(steps)]
    exposed_s = sum(next_start - exposed for _, exposed, next_start in waits)
    compute, exposed = times.work_s.sum() / (ranks * total), exposed_s / (ranks * total)
    fractions = f"compute {compute:.0%}, exposed communication {exposed:.0%}, "
    fractions += f"waiting for busier ranks {max(0.0, 1 - compute - exposed):.0%}"
    return f"{how_many(ranks, 'rank')}, {total * scale:.3g} {unit}, {fractions}"


def _draw_pass(ax: Axes, name: str, times: RingTimes, longest: float) -> None:
    """Timeline of one pass: a row per rank."""
    ranks, steps = times.work_s.shape
    for rank in range(ranks):
        for step in range(steps):
            _draw_compute(ax, name, times, rank, step, longest)
            _draw_wait(ax, name, times, rank, step)
            _draw_transfer(ax, name, times, rank, step)

        rest = float(times.start_s[:, -1].max()) - times.start_s[rank, -1]
        if rest > 0:  # done before the busiest rank of the whole pass
            (bar,) = ax.barh(rank, rest, _LANE, times.start_s[rank, -1], **_IDLE)
            bar.set_gid(f"waits:{name}:{rank}:{steps}")

    ax.set(ylim=(ranks - 0.45, -0.45))
    ax.set_yticks(range(ranks), [f"rank {rank}" for rank in range(ranks)])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _draw_compute(
    ax: Axes, name: str, times: RingTimes, rank: int, step: int, longest: float
) -> None:
    """Bar of compute with the number of the rank whose keys are attended to, where it has room."""
    start, work = times.start_s[rank, step], times.work_s[rank, step]
    if not work:
        return

    owner = (rank - step) % len(times.work_s)
    colour = rank_colour(owner)
    (bar,) = ax.barh(rank, work, _LANE, start, color=colour, edgecolor="white", linewidth=0.6)
    bar.set_gid(f"work:{name}:{rank}:{step}:{owner}")
    if work > longest / 60:
        look = {"ha": "center", "va": "center", "fontsize": 7}
        ink = ink_on(part / 255 for part in rgb(colour))
        ax.text(start + work / 2, rank, str(owner), color=ink, **look)


def _draw_wait(ax: Axes, name: str, times: RingTimes, rank: int, step: int) -> None:
    """Bars of waiting after compute: first for a busier rank, then exposed communication."""
    done, exposed, next_start = _waits(times, rank, step)
    if exposed > done:
        (bar,) = ax.barh(rank, exposed - done, _LANE, done, **_IDLE)
        bar.set_gid(f"waits:{name}:{rank}:{step}")
    if next_start > exposed:
        (bar,) = ax.barh(rank, next_start - exposed, _LANE, exposed, color=_EXPOSED)
        bar.set_gid(f"exposed:{name}:{rank}:{step}")


def _draw_transfer(ax: Axes, name: str, times: RingTimes, rank: int, step: int) -> None:
    """Bar of a message to the next rank, below the compute."""
    if takes := times.transfer_s[rank, step]:
        begins, y = _sent_from(times, rank, step), rank + (_LANE + _LINK) / 2
        (bar,) = ax.barh(y, takes, _LINK, begins, color=FAINT, edgecolor="white", linewidth=0.6)
        bar.set_gid(f"sends:{name}:{rank}:{step}")
