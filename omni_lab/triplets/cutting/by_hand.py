"""Cuttings that a person writes down: moved to places, priced, and refused with a reason.

A person reads times off a picture, to a few tenths of a second; the places where a cut is legal
are single ticks. So each cut moves to the best place nearby before it is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.media.clock import seconds, ticks
from omni_lab.triplets.cutting.cut import COSTS, Clip

REACH = 3 * TICKS_PER_SECOND // 10  # as well as a time is read off a picture, ticks
_FREE = ("scene", "sentence", "silence", "cue", "grid")  # kinds of places where nobody speaks


@dataclass(frozen=True)
class Judged:
    """Judged cutting: its clips and what they cost, or why it is none."""

    clips: tuple[Clip, ...]  # empty where it is none
    torn: int  # cuts through speech
    cost: float  # of its cuts and its lengths
    faults: tuple[str, ...] = ()  # what is wrong, a sentence each
    moves: tuple[str, ...] = ()  # where each cut went, and what it is

    def __str__(self) -> str:
        if self.faults:
            return f"not a cutting: {'; '.join(self.faults)}"
        return f"{self.torn} torn, cost {self.cost:.2f}"


def judged(
    cuts_s: object,
    duration: int,
    places: Mapping[int, str],
    config: TripletConfig | None = None,
    reach: int = REACH,
) -> Judged:
    """Judgement of cuts that a person wrote down: moved to places, then priced or refused.

    Parameters
    ----------
    cuts_s : a list of seconds from the film's start, in order of time
    duration : of the film, ticks
    places : tick → kind, as `kinds_of_places` gives them
    config : shortest, longest and target length
    reach : how far a cut may move, ticks; 0 takes cuts as they are

    >>> print(judged([9.1], 20 * 16000, {144_000: "scene"}))
    0 torn, cost 0.02
    >>> print(judged([2, 9], 20 * 16000, {32_000: "grid", 144_000: "scene"}))
    not a cutting: clip 1, 0.00–2.00 s, is 2.0 s long: a clip needs at least 5 s
    """
    config = config or TripletConfig()
    if faults := _unusable(cuts_s, duration):
        return Judged((), 0, math.inf, faults)
    cuts = [snapped(ticks(time_s), places, reach) if reach else ticks(time_s) for time_s in cuts_s]
    moves = tuple(
        f"{time_s:g} → {seconds(cut):.2f} s ({places.get(cut, 'hard')})"
        for time_s, cut in zip(cuts_s, cuts, strict=True)
    )
    edges = [0, *cuts, duration]
    faults = tuple(_wrong_lengths(edges, config))
    if faults:
        return Judged((), 0, math.inf, faults, moves)
    kinds = [*(places.get(cut, "hard") for cut in cuts), "end"]
    clips = tuple(Clip(a, b, kind) for (a, b), kind in zip(pairwise(edges), kinds, strict=True))
    return Judged(clips, *priced(clips, config), (), moves)


def snapped(time: int, places: Mapping[int, str], reach: int = REACH) -> int:
    """Place that is meant by a time read off a picture: the cheapest nearby, of these the nearest.

    Where none is within reach, the nearest place at which nobody speaks; the time itself where
    there is none at all.

    Parameters
    ----------
    time : ticks
    places : tick → kind, a key of `COSTS`
    reach : how far away a place may be, ticks

    >>> snapped(1000, {900: "grid", 1100: "sentence", 9000: "scene"})
    1100
    """
    near = [place for place in places if abs(place - time) <= reach]
    if near:
        return min(near, key=lambda place: (COSTS[places[place]], abs(place - time), place))
    free = [place for place, kind in places.items() if kind in _FREE]
    return min(free, key=lambda place: (abs(place - time), place), default=time)


def priced(clips: Sequence[Clip], config: TripletConfig | None = None) -> tuple[int, float]:
    """Price of a cutting: how many cuts go through speech, and what cuts and lengths cost.

    >>> priced([Clip(0, 80_000, "scene"), Clip(80_000, 320_000, "end")])
    (0, 0.5)
    """
    config = config or TripletConfig()
    wanted = ticks(config.target_s)
    lengths = sum(((clip.end - clip.start - wanted) / wanted) ** 2 for clip in clips)
    kinds = sum(COSTS.get(clip.reason, 0.0) for clip in clips)
    return sum(clip.reason == "hard" for clip in clips), lengths + kinds


def best_way(
    place: float,
    best: Mapping[float, tuple[int, float]],
    shortest: float,
    longest: float,
    wanted: float,
) -> tuple[int, float, float] | None:
    """Step of the dynamic programme: the best way to a place, through the best way to an earlier one.

    `cut` takes it for every place of a film at once, and counts harm to words more finely.

    Parameters
    ----------
    place : time to be reached, in the unit of the lengths
    best : earlier time → (cuts through speech, cost) of the best way there
    shortest, longest, wanted : length of a clip

    Returns
    -------
    cuts through speech, cost, and the earlier time; None where no earlier time is in reach

    >>> best_way(20, {5: (0, 0.25), 9: (1, 0.01)}, 5, 15, 10)
    (0, 0.5, 5)
    """
    return min(
        (
            (torn, cost + ((place - earlier - wanted) / wanted) ** 2, earlier)
            for earlier, (torn, cost) in best.items()
            if shortest <= place - earlier <= longest
        ),
        default=None,
    )


def _unusable(cuts_s: object, duration: int) -> tuple[str, ...]:
    """Faults of times that cannot be cuts at all: no numbers, out of order, outside of the film."""
    if not isinstance(cuts_s, list | tuple) or not all(
        isinstance(time_s, Real) and math.isfinite(time_s) for time_s in cuts_s
    ):
        return (f"write a list of seconds, such as [9.5, 21], not {cuts_s!r:.60}",)
    faults = [
        f"the cut at {later:g} s follows the one at {earlier:g} s: write them in order of time"
        for earlier, later in pairwise(cuts_s)
        if later <= earlier
    ]
    faults += [
        f"the cut at {time_s:g} s lies outside the film, which is {seconds(duration):g} s long"
        for time_s in cuts_s
        if not 0 < ticks(time_s) < duration
    ]
    return tuple(faults)


def _wrong_lengths(edges: Sequence[int], config: TripletConfig):
    """Sentence on every clip that is too short or too long."""
    for number, (start, end) in enumerate(pairwise(edges), 1):
        length = end - start
        clip = f"clip {number}, {seconds(start):.2f}–{seconds(end):.2f} s, is {seconds(length):.1f} s long"
        if length < ticks(config.min_s):
            yield f"{clip}: a clip needs at least {config.min_s:g} s"
        elif length > ticks(config.max_s):
            yield f"{clip}: a clip may have at most {config.max_s:g} s"
