"""Where to cut a film into clips: a shortest path over all places where a cut would do no harm.

Places are the ends of sentences and cues, the middles of silences and the beginnings of scenes, and, where nothing
else is near, any quiet quarter of a second. A path's cost adds up what each cut costs and how far each clip is from
the length that is wanted. A cut inside a cue costs so much that it happens only where no other path exists: then
between two words, and only where their times are unknown at a plain tick, which the cut says of itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.errors import CallFault
from omni_lab.media.clock import ticks
from omni_lab.media.subtitles import Cue

# what a cut costs by the kind of place, beside a clip's own cost of up to about 0.25
COSTS = {"scene": 0.0, "sentence": 0.03, "silence": 0.05, "cue": 0.1, "grid": 0.3, "word": 100.0, "hard": 10_000.0}
GRID = TICKS_PER_SECOND // 4
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True)
class Clip:
    """One piece of a film between two cuts (ticks), and why it ends there."""

    start: int
    end: int
    reason: str  # a key of COSTS, or "end" for the film's end


def cut(
    duration: int,
    cues: Iterable[Cue] = (),
    silences: Iterable[int] = (),
    scenes: Iterable[int] = (),
    config: TripletConfig | None = None,
) -> tuple[Clip, ...]:
    """Cut a film into clips of `min_s` to `max_s`, never through a word, as near to `target_s` as speech allows.

    A film no longer than `max_s` is one clip, also one shorter than `min_s`. The result depends on nothing but the
    arguments.

    Parameters
    ----------
    duration : of the film, ticks
    cues : what is said, ticks; a word is kept whole where its cue has word times, else the cue is
    silences : middles of silences, ticks
    scenes : first ticks of new scenes

    Raises
    ------
    CallFault
        `max_s` is less than twice `min_s`: then some lengths cannot be cut at all

    >>> [(c.start // 16000, c.end // 16000, c.reason) for c in cut(20 * 16000, scenes=[9 * 16000])]
    [(0, 9, 'scene'), (9, 20, 'end')]
    """
    config = config or TripletConfig()
    check_lengths(config)
    shortest, longest, wanted = ticks(config.min_s), ticks(config.max_s), ticks(config.target_s)
    if duration <= longest:
        return (Clip(0, duration, "end"),)
    cues = [cue for cue in cues if cue.start < duration]
    places = _places(duration, cues, silences, scenes)
    at = np.array([0, *sorted(places), duration], dtype=np.int64)
    toll = np.array([0.0, *(COSTS[places[t]] for t in sorted(places)), 0.0])
    return _shortest_path(at, toll, ["", *(places[t] for t in sorted(places)), "end"], shortest, longest, wanted)


def check_lengths(config: TripletConfig) -> None:
    """Refuse lengths that some films cannot be cut into.

    Raises
    ------
    CallFault
        `max_s` is less than twice `min_s`
    """
    if not 0 < 2 * config.min_s <= config.max_s:
        raise CallFault(f"triplets.max_s = {config.max_s} must be at least twice triplets.min_s = {config.min_s}")


def silence_middles(audio: Int16[np.ndarray, " samples"], start: int = 0, shortest_s: float = 0.2) -> list[int]:
    """Find the middles of silences: runs of 20 ms windows far below the film's own loudness.

    Parameters
    ----------
    audio : 16 kHz mono
    start : tick of the first sample
    shortest_s : shorter pauses are not silence, seconds
    """
    window = TICKS_PER_SECOND // 50
    blocks = audio[: audio.size // window * window].reshape(-1, window).astype(np.float32) / 32768
    if not len(blocks):
        return []
    loudness = np.sqrt((blocks**2).mean(axis=1))
    quiet = loudness <= max(1e-3, 0.1 * float(np.percentile(loudness, 90)))
    edges = np.flatnonzero(np.diff(np.r_[False, quiet, False].astype(np.int8)))
    pairs = edges.reshape(-1, 2)
    long_enough = (pairs[:, 1] - pairs[:, 0]) * window >= shortest_s * TICKS_PER_SECOND
    return [start + int(a + b) * window // 2 for a, b in pairs[long_enough]]


def speech_blocks(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans (start, end) that overlap into blocks."""
    blocks: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if blocks and start < blocks[-1][1]:
            blocks[-1] = blocks[-1][0], max(end, blocks[-1][1])
        else:
            blocks.append((start, end))
    return blocks


def _places(duration: int, cues: list[Cue], silences: Iterable[int], scenes: Iterable[int]) -> dict[int, str]:
    """Collect every place where a cut could be, with the best reason for it."""
    in_cue = _inside(speech_blocks((cue.start, cue.end) for cue in cues))
    in_word = _inside(speech_blocks((word.start, word.end) for cue in cues for word in cue.words or (cue,)))
    places: dict[int, str] = {}

    def offer(time: int, reason: str) -> None:
        if in_word(time):
            reason = "hard"
        elif in_cue(time):
            reason = "word"
        if 0 < time < duration and (time not in places or COSTS[reason] < COSTS[places[time]]):
            places[time] = reason

    for time in range(GRID, duration, GRID):
        offer(time, "grid")
    for cue in cues:
        offer(cue.start, "cue")
        offer(cue.end, "sentence" if cue.text.rstrip("\"'”’)»").endswith(SENTENCE_ENDS) else "cue")
        for left, right in pairwise(cue.words):
            offer((left.end + right.start) // 2, "word")
    for time in silences:
        offer(int(time), "silence")
    for time in scenes:
        offer(int(time), "scene")
    return places


def _inside(blocks: list[tuple[int, int]]) -> Callable[[int], bool]:
    """Make the test whether a time lies inside (not at the edge) of one of the blocks."""
    starts = [start for start, _ in blocks]

    def test(time: int) -> bool:
        i = bisect_left(starts, time) - 1
        return i >= 0 and time < blocks[i][1]

    return test


def _shortest_path(at, toll, reasons: list[str], shortest: int, longest: int, wanted: int) -> tuple[Clip, ...]:
    """Find the cheapest chain of places from the first to the last; of equal ones the earliest cuts win."""
    cost = np.full(len(at), np.inf)
    before = np.zeros(len(at), dtype=np.int64)
    cost[0] = 0.0
    first = np.searchsorted(at, at - longest, "left")
    last = np.searchsorted(at, at - shortest, "right")
    for i in range(1, len(at)):
        lengths = at[i] - at[first[i] : last[i]]
        if lengths.size:
            paths = cost[first[i] : last[i]] + ((lengths - wanted) / wanted) ** 2
            best = int(np.argmin(paths))
            cost[i], before[i] = paths[best] + toll[i], first[i] + best
    chain = [len(at) - 1]
    while chain[-1]:
        chain.append(int(before[chain[-1]]))
    chain.reverse()
    return tuple(Clip(int(at[a]), int(at[b]), reasons[b]) for a, b in pairwise(chain))
