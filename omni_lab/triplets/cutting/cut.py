"""Clip segmentation as a shortest path over candidate cuts: sentences, silences, scenes.

Candidates are the ends of sentences and cues, the middles of silences and the beginnings of scenes,
and, where nothing else is near, any quiet quarter of a second. A path's cost adds the cost of each
cut and the squared deviation of each clip from the target length. Harm comes before cost: the best
path cuts through the fewest possible words, among those through the fewest cues, and has among
those the lowest cost. Only a cue longer than the longest clip has to be cut somewhere: there a cut
is no harm to it, and the best one is at a pause between words. Other speech at that time counts all
the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.clock import ticks
from omni_lab.media.speech.vad import FAINTEST, WINDOW, loudness, runs
from omni_lab.media.subtitles.doubts import spoken_time, standing
from omni_lab.media.subtitles.reader import Cue, Word

# cost of a cut by the kind of place, beside a clip's own cost of up to about 0.25
COSTS = {
    "scene": 0.0,
    "sentence": 0.03,
    "silence": 0.05,
    "cue": 0.1,
    "word": 0.2,
    "grid": 0.3,
    "hard": 1.0,
}
GRID = TICKS_PER_SECOND // 4  # ticks between candidates where nothing else is near
SHORTEST = TICKS_PER_SECOND // 5  # shortest silence, ticks
CROWD = 200  # places in one second, above which each `FINE` ticks keep only their best place
FINE = TICKS_PER_SECOND // 100  # 10 ms, ticks
MOST = 99  # words or cues that one cut is said to go through; more are no worse
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True)
class Clip:
    """Clip boundaries in ticks, and the kind of cut at the end."""

    start: int
    end: int
    # a key of COSTS (word: between two words of a cue; hard: perhaps through one), or "end"
    reason: str


def cut(
    duration: int,
    cues: Iterable[Cue] = (),
    silences: Iterable[int] = (),
    scenes: Iterable[int] = (),
    config: TripletConfig | None = None,
) -> tuple[Clip, ...]:
    """Segmentation of a film into clips of `min_s` to `max_s`, near `target_s`, words kept whole.

    A film no longer than `max_s` is one clip, also one shorter than `min_s`. The result depends on
    nothing but the arguments.

    Parameters
    ----------
    duration : of the film, ticks
    cues : speech, ticks; a word is kept whole where its cue has word times, else the cue is; a
        sign that stands (see `standing`) counts for no longer than its words take to be spoken
    silences : middles of silences, ticks
    scenes : first ticks of new scenes
    config : shortest, longest and target length

    Raises
    ------
    UsageError
        `max_s` is less than twice `min_s`: some film lengths would have no segmentation

    >>> [(c.start // 16000, c.end // 16000, c.reason) for c in cut(20 * 16000, scenes=[9 * 16000])]
    [(0, 9, 'scene'), (9, 20, 'end')]
    """
    config = config or TripletConfig()
    check_lengths(config)
    shortest, longest, wanted = ticks(config.min_s), ticks(config.max_s), ticks(config.target_s)
    if duration <= longest:
        return (Clip(0, duration, "end"),)

    cues = list(cues)
    cues = [
        replace(cue, end=cue.start + spoken_time(cue.text)) if stands else cue
        for cue, stands in zip(cues, standing(cues), strict=True)
        if cue.start < duration
    ]
    places = _thinned(_places(duration, shortest, longest, cues, silences, scenes))
    places = [_Place(0, 0.0, 0, ""), *places, _Place(0, 0.0, duration, "end")]
    chain = _shortest_path(places, shortest, longest, wanted)
    return tuple(Clip(places[a].time, places[b].time, places[b].reason) for a, b in pairwise(chain))


def kinds_of_places(
    duration: int,
    cues: Iterable[Cue] = (),
    silences: Iterable[int] = (),
    scenes: Iterable[int] = (),
    config: TripletConfig | None = None,
) -> dict[int, str]:
    """Kind of every place where `cut` could cut a film, by tick, in order of time.

    Parameters
    ----------
    duration, cues, silences, scenes, config : as of `cut`

    >>> kinds_of_places(12_000, scenes=[9000])
    {4000: 'grid', 8000: 'grid', 9000: 'scene'}
    """
    config = config or TripletConfig()
    lengths = ticks(config.min_s), ticks(config.max_s)
    found = _thinned(_places(duration, *lengths, list(cues), silences, scenes))
    return {place.time: place.reason for place in found}


def check_lengths(config: TripletConfig) -> None:
    """Check of the clip lengths: every film longer than `max_s` has a segmentation.

    Raises
    ------
    UsageError
        `max_s` is less than twice `min_s`
    """
    if not 0 < 2 * config.min_s <= config.max_s:
        raise UsageError(
            f"triplets.max_s = {config.max_s}: less than twice triplets.min_s = {config.min_s}; "
            f"raise max_s to {2 * config.min_s} or more, or lower min_s"
        )


def silence_middles(audio: Int16[np.ndarray, " samples"], start: int = 0) -> list[int]:
    """Silence detection: the middles of pauses of 200 ms or more, in ticks.

    A pause is silent where every 20 ms window is far below the film's own loudness.

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
    """Union of overlapping spans (start, end): blocks in order of time."""
    blocks: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if blocks and start < blocks[-1][1]:
            blocks[-1] = blocks[-1][0], max(end, blocks[-1][1])
        else:
            blocks.append((start, end))
    return blocks


class _Place(NamedTuple):
    """Candidate cut; of two at the same time the smaller is the better."""

    harm: int  # of the words and cues that it goes through, without those longer than a clip
    toll: float  # cost of the cut
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
    """Candidate cuts in order of time, the best one at each time."""
    words = [word for cue in cues for word in cue.words or (cue,)]
    words_at, cues_at = _around(words), _around(cues)
    whole_words_at, whole_cues_at = (
        _around(span for span in spans if span.end - span.start <= longest)
        for spans in (words, cues)
    )
    # cuts through any number of cues, between their words, weigh less than one through a word
    word_harm = 1 + MOST * (1 + duration // max(1, shortest))
    best: dict[int, _Place] = {}

    def offer(time: int, kind: str) -> None:
        harm = word_harm * whole_words_at(time) + whole_cues_at(time)
        if words_at(time):
            pause = COSTS["word"] if kind == "silence" else COSTS["hard"]
            place = _Place(harm, pause, time, "hard")
        elif cues_at(time):  # inside a cue a new scene is no reason to cut
            toll = COSTS[kind] if kind in ("sentence", "silence") else COSTS["word"]
            place = _Place(harm, toll, time, "word")
        else:
            place = _Place(harm, COSTS[kind], time, kind)
        if 0 < time < duration and (time not in best or place < best[time]):
            best[time] = place

    # clips shorter than usual need a finer grid
    step = min(GRID, max(1, shortest // 4))
    for time in range(step, duration, step):
        offer(time, "grid")

    for cue in cues:
        offer(cue.start, "cue")
        offer(cue.end, "sentence" if _ends_sentence(cue.text) else "cue")
        for left, right in pairwise(cue.words):
            kind = "sentence" if _ends_sentence(left.text) else "word"
            offer((left.end + right.start) // 2, kind)

    for time in silences:
        offer(int(time), "silence")
    for time in scenes:
        offer(int(time), "scene")
    return (best[time] for time in sorted(best))


def _ends_sentence(text: str) -> bool:
    return text.rstrip("\"'”’)»").endswith(SENTENCE_ENDS)


def _thinned(places: Iterable[_Place]) -> Iterator[_Place]:
    """Candidates without crowds, as only artificial films have them: they bound the work."""
    for _, second in groupby(places, lambda place: place.time // TICKS_PER_SECOND):
        crowd = list(second)
        if len(crowd) > CROWD:
            crowd = [min(near) for _, near in groupby(crowd, lambda place: place.time // FINE)]
        yield from crowd


def _around(spans: Iterable[Cue | Word]) -> Callable[[int], int]:
    """Lookup of the number of spans around a time, at most `MOST`; not those that it is an edge of."""
    edges = [(span.start, span.end) for span in spans if span.start < span.end]
    starts, ends = sorted(start for start, _ in edges), sorted(end for _, end in edges)
    return lambda time: min(MOST, bisect_left(starts, time) - bisect_right(ends, time))


def _shortest_path(places: list[_Place], shortest: int, longest: int, wanted: int) -> list[int]:
    """Dynamic programming over candidates: least harm, then least cost, then the earliest.

    The work is the number of places times the number of them within `longest - shortest` ticks.

    Returns
    -------
    indices into `places`, from the first to the last
    """
    at = np.array([place.time for place in places], dtype=np.int64)
    unreached = np.iinfo(np.int64).max
    harm = np.full(len(at), unreached)
    cost = np.full(len(at), np.inf)
    before = np.zeros(len(at), dtype=np.int64)
    harm[0], cost[0] = 0, 0.0

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
        harm[i], cost[i] = least + places[i].harm, paths[best] + places[i].toll

    chain = [len(at) - 1]
    while chain[-1]:
        chain.append(int(before[chain[-1]]))
    return chain[::-1]
