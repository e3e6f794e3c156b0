"""Where to cut a film into clips: a shortest path over all places where a cut would do no harm.

Places are the ends of sentences and cues, the middles of silences and the beginnings of scenes, and, where nothing
else is near, any quiet quarter of a second. A path's cost adds up what each cut costs and how far each clip is from
the length that is wanted. Harm comes before cost: of all paths, those with the fewest cuts through what may be a word
are looked at, of these the ones with the fewest cuts between two words of a cue, and of these the cheapest is taken.
Only where somebody speaks for longer than a clip may be is a cut no harm but a need: best at a pause between words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.clock import ticks
from omni_lab.media.speech.vad import FAINTEST, WINDOW, loudness, runs
from omni_lab.media.subtitles.reader import Cue

# what a cut costs by the kind of place, beside a clip's own cost of up to about 0.25
COSTS = {
    "scene": 0.0,
    "sentence": 0.03,
    "silence": 0.05,
    "cue": 0.1,
    "word": 0.2,
    "grid": 0.3,
    "hard": 1.0,
}
GRID = TICKS_PER_SECOND // 4
SHORTEST = TICKS_PER_SECOND // 5  # a pause is no silence, in ticks, if it is shorter
CROWD, FINE = (
    200,
    TICKS_PER_SECOND // 100,
)  # where a second holds more places than that, each 10 ms keeps its best
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True)
class Clip:
    """One piece of a film between two cuts (ticks), and why it ends there."""

    start: int
    end: int
    reason: str  # a key of COSTS (word: between two words of a cue; hard: perhaps through one), or "end"


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
    UsageError
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
    places = _thinned(_places(duration, shortest, longest, cues, silences, scenes))
    places = [_Place(0, 0.0, 0, ""), *places, _Place(0, 0.0, duration, "end")]
    chain = _shortest_path(places, shortest, longest, wanted)
    return tuple(Clip(places[a].time, places[b].time, places[b].reason) for a, b in pairwise(chain))


def check_lengths(config: TripletConfig) -> None:
    """Refuse lengths that some films cannot be cut into.

    Raises
    ------
    UsageError
        `max_s` is less than twice `min_s`
    """
    if not 0 < 2 * config.min_s <= config.max_s:
        raise UsageError(
            f"triplets.max_s = {config.max_s} must be at least twice triplets.min_s = {config.min_s}"
        )


def silence_middles(audio: Int16[np.ndarray, " samples"], start: int = 0) -> list[int]:
    """Find the middles of silences: 200 ms or more in which every 20 ms are far below the film's own loudness.

    Parameters
    ----------
    audio : 16 kHz mono
    start : tick of the first sample
    """
    level = loudness(audio)
    if not level.size:
        return []
    quiet = level <= max(FAINTEST, 0.1 * float(np.percentile(level, 90)))
    return [start + (a + b) * WINDOW // 2 for a, b in runs(quiet) if (b - a) * WINDOW >= SHORTEST]


def speech_blocks(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans (start, end) that overlap into blocks."""
    blocks: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if blocks and start < blocks[-1][1]:
            blocks[-1] = blocks[-1][0], max(end, blocks[-1][1])
        else:
            blocks.append((start, end))
    return blocks


class _Place(NamedTuple):
    """Where a cut could be; of two at one time the smaller is the better."""

    harm: int  # 2 through what may be a word, 1 between two words of a cue, 0 in no cue or in one that must be cut
    toll: float
    time: int
    reason: str


def _places(
    duration: int,
    shortest: int,
    longest: int,
    cues: list[Cue],
    silences: Iterable[int],
    scenes: Iterable[int],
) -> Iterator[_Place]:
    """Give every place where a cut could be, the best one of each time, in order."""
    cue_at = _block_at(speech_blocks((cue.start, cue.end) for cue in cues))
    word_at = _block_at(
        speech_blocks((word.start, word.end) for cue in cues for word in cue.words or (cue,))
    )
    best: dict[int, _Place] = {}

    def offer(time: int, kind: str) -> None:
        if length := word_at(time):
            pause = COSTS["word"] if kind == "silence" else COSTS["hard"]
            place = _Place(2 * (length <= longest), pause, time, "hard")
        elif length := cue_at(time):  # here what is seen is no reason to cut
            toll = COSTS[kind] if kind in ("sentence", "silence") else COSTS["word"]
            place = _Place(int(length <= longest), toll, time, "word")
        else:
            place = _Place(0, COSTS[kind], time, kind)
        if 0 < time < duration and (time not in best or place < best[time]):
            best[time] = place

    step = min(GRID, max(1, shortest // 4))
    for time in range(step, duration, step):
        offer(time, "grid")
    for cue in cues:
        offer(cue.start, "cue")
        offer(cue.end, "sentence" if _ends_sentence(cue.text) else "cue")
        for left, right in pairwise(cue.words):
            offer(
                (left.end + right.start) // 2, "sentence" if _ends_sentence(left.text) else "word"
            )
    for time in silences:
        offer(int(time), "silence")
    for time in scenes:
        offer(int(time), "scene")
    return (best[time] for time in sorted(best))


def _ends_sentence(text: str) -> bool:
    return text.rstrip("\"'”’)»").endswith(SENTENCE_ENDS)


def _thinned(places: Iterable[_Place]) -> Iterator[_Place]:
    """Leave out places where they are so many that comparing them would take long, as no film but a made-up one has."""
    for _, second in groupby(places, lambda place: place.time // TICKS_PER_SECOND):
        crowd = list(second)
        if len(crowd) > CROWD:
            crowd = [min(near) for _, near in groupby(crowd, lambda place: place.time // FINE)]
        yield from crowd


def _block_at(blocks: list[tuple[int, int]]) -> Callable[[int], int]:
    """Make the question how long the block is that a time lies inside (not at the edge) of: 0 where there is none."""
    starts = [start for start, _ in blocks]

    def length(time: int) -> int:
        i = bisect_left(starts, time) - 1
        return blocks[i][1] - blocks[i][0] if i >= 0 and time < blocks[i][1] else 0

    return length


def _shortest_path(places: list[_Place], shortest: int, longest: int, wanted: int) -> list[int]:
    """Find the chain of places from the first to the last with the least harm, then cost; of equal ones the earliest.

    The work is the number of places times how many of them lie in `longest - shortest` ticks.
    """
    at = np.array([place.time for place in places], dtype=np.int64)
    unreached = np.iinfo(np.int64).max
    harm = np.full(len(at), unreached)
    cost = np.full(len(at), np.inf)
    before = np.zeros(len(at), dtype=np.int64)
    harm[0], cost[0] = 0, 0.0
    harms = (0, 1, len(at))  # no number of cuts between words weighs as much as one through a word
    first = np.searchsorted(at, at - longest, "left")
    last = np.searchsorted(at, at - shortest, "right")
    for i in range(1, len(at)):
        window = slice(first[i], last[i])
        least = harm[window].min(initial=unreached)
        if least == unreached:
            continue
        paths = np.where(
            harm[window] == least,
            cost[window] + ((at[i] - at[window] - wanted) / wanted) ** 2,
            np.inf,
        )
        best = int(np.argmin(paths))
        before[i] = first[i] + best
        harm[i], cost[i] = least + harms[places[i].harm], paths[best] + places[i].toll
    chain = [len(at) - 1]
    while chain[-1]:
        chain.append(int(before[chain[-1]]))
    return chain[::-1]
