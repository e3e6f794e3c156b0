"""Clips of one decoded film: frames, audio samples, cues and facts, rebased to each clip's start.

Everything in the film lands in exactly one clip. A missing modality is marked as missing: sound
that begins late is padded, so that sample index = tick, and `audio_spans` holds the real spans.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND, TripletConfig, config_hash
from omni_lab.media.decoding import Film
from omni_lab.media.errors import MediaError
from omni_lab.media.subtitles.doubts import spoken_time, standing
from omni_lab.media.subtitles.reader import Cue
from omni_lab.media.subtitles.words import word_spans
from omni_lab.triplets.building.quality import measure
from omni_lab.triplets.cutting.cut import Clip, cut, silence_middles
from omni_lab.triplets.cutting.listen import heard
from omni_lab.triplets.record import EncodedClip


def clips_of(film: Film, config: TripletConfig | None = None) -> Iterator[EncodedClip]:
    """Encoded clips of a film, in order of time, as shards store them.

    `clip.decode()` gives the `Triplet`.

    Raises
    ------
    MediaError
        the film's truth file is malformed
    UsageError
        `max_s` is less than twice `min_s`, or the settings ask for a package that is missing
    """
    config = config or TripletConfig()
    film = heard(film, config)
    cues = film.cues
    silences = silence_middles(film.audio, film.audio_start) if film.audio is not None else []
    pieces = cut(film.duration, cues, silences, film.changes.tolist(), config)

    facts = read_truth(film.source.uri)
    source = _source(film)
    settings = config_hash(config)

    for piece, spoken in zip(pieces, assign(cues, pieces), strict=True):
        jpegs, times = _pictures(film, piece, config)
        audio, spans = _sound(film, piece)
        contents = {"image": jpegs, "audio": spans, "text": spoken}
        record = {
            "clip_id": f"{film.source.id}_{piece.start}_{piece.end}",
            "source": source,
            "start": piece.start,
            "end": piece.end,
            "frame_times": times,
            "cues": [asdict(cue) for cue in spoken],
            "has": [modality for modality, content in contents.items() if content],
            "quality": measure(film, piece, spoken, jpegs, times, audio, spans),
            "facts": [
                _rebased(fact, piece)
                for fact in facts
                if piece.start <= fact["start"] and fact["end"] <= piece.end
            ],
            "config_hash": settings,
        }
        yield EncodedClip(record["clip_id"], record, jpegs, audio)


def assign(cues: Iterable[Cue], pieces: Sequence[Clip]) -> list[list[Cue]]:
    """Assignment of cues to clips, rebased; a cue across a cut is split between words.

    Text is conserved: read in order, the clips' cues are the film's. A cue that runs past the
    film's end, or begins there, goes to the last clip. A sign that stands across a cut (see
    `standing`) stays whole where it begins, and ends once its words could be spoken. The work grows
    with the number of cues, not with cues times clips.

    Parameters
    ----------
    cues : of the film, ticks on its clock
    pieces : consecutive clips that cover the film

    Returns
    -------
    one list of cues per clip, ticks from the clip's start
    """
    assigned: list[list[Cue]] = [[] for _ in pieces]
    cuts, last = [piece.end for piece in pieces[:-1]], pieces[-1].end
    cues = list(cues)
    for cue, stands in zip(cues, standing(cues), strict=True):
        start, end = (min(max(t, 0), last) for t in (cue.start, cue.end))
        if stands and end > (first_cut := pieces[bisect_right(cuts, start)].end):
            end = min(first_cut, start + spoken_time(cue.text))
        for number, part in split(replace(cue, start=start, end=end), cuts):
            assigned[number].append(part.moved(-pieces[number].start))
    return assigned


def split(cue: Cue, cuts: Sequence[int]) -> Iterator[tuple[int, Cue]]:
    """Cue split at cuts, between words: by word times where known, else in proportion to time.

    Yields the number of cuts before each part, and the part.

    Parameters
    ----------
    cue : with or without word times, ticks
    cuts : ticks, ascending

    >>> [(number, part.start, part.text) for number, part in split(Cue(0, 40, "a b c d"), [10, 50])]
    [(0, 0, 'a'), (1, 10, 'b c d')]
    """
    first = bisect_right(cuts, cue.start)
    last = max(first, bisect_left(cuts, cue.end))
    spans = word_spans(cue.text)
    if first == last or not spans:
        yield first, cue
        return

    middles = [(word.start + word.end) / 2 for word in cue.words]
    length = cue.end - cue.start
    even = [cue.start + (i + 0.5) * length / len(spans) for i in range(len(spans))]
    spoken, timed = defaultdict(list), defaultdict(list)
    # the running maximum keeps words in order even where their times run backwards
    moments = accumulate(middles if len(middles) == len(spans) else even, max)
    for span, middle in zip(spans, moments, strict=True):
        spoken[min(max(bisect_right(cuts, middle), first), last)].append(span)
    for word, middle in zip(cue.words, accumulate(middles, max), strict=True):
        timed[min(max(bisect_right(cuts, middle), first), last)].append(word)

    for number, own in spoken.items():
        start = cuts[number - 1] if number > first else cue.start
        end = cuts[number] if number < last else cue.end
        part = " ".join(cue.text[own[0][0] : own[-1][1]].split())
        text = cue.text if len(spoken) == 1 else part
        yield number, replace(cue, start=start, end=end, text=text, words=tuple(timed[number]))


def read_truth(uri: str) -> list[dict]:
    """Ground-truth facts of a film: `name.truth.json` beside `name.mp4`; empty without that file.

    Returns
    -------
    facts with `start` and `end` in ticks on the film's clock; other keys as they stand

    Raises
    ------
    MediaError
        the file is no JSON object with a list `facts`, each with `start` and `end`
    """
    path = Path(uri).with_suffix(".truth.json")
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        return [{**fact, "start": int(fact["start"]), "end": int(fact["end"])} for fact in facts]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MediaError(
            path, f"is no truth file: `facts`, each with `start` and `end` in ticks ({error!r})"
        ) from None


def _rebased(fact: dict, piece: Clip) -> dict:
    return {**fact, "start": fact["start"] - piece.start, "end": fact["end"] - piece.start}


def _pictures(
    film: Film, piece: Clip, config: TripletConfig
) -> tuple[tuple[bytes, ...], list[int]]:
    """JPEGs and times of a clip's frames; a standing picture counts from the clip's start.

    A picture stands if it was shown before the clip and no other follows within one frame period.
    """
    first, last = (int(i) for i in np.searchsorted(film.frame_times, [piece.start, piece.end]))
    times = [int(t) - piece.start for t in film.frame_times[first:last]]
    jpegs = film.frames[first:last]
    step = TICKS_PER_SECOND / config.frames_per_second
    if first and film.picture_end > piece.start and (not times or times[0] >= step):
        times, jpegs = [0, *times], (film.frames[first - 1], *jpegs)
    return jpegs, times


def _sound(film: Film, piece: Clip) -> tuple[Int16[np.ndarray, " samples"] | None, list[list[int]]]:
    """Audio samples of a clip, one per tick, and the spans [start, end) that hold real sound."""
    if film.audio is None:
        return None, []
    edges = [
        film.audio_start,
        *(t for gap in film.audio_gaps for t in gap),
        film.audio_start + film.audio.size,
    ]
    pairs = np.clip(np.array(edges).reshape(-1, 2), piece.start, piece.end) - piece.start
    spans = pairs[pairs[:, 0] < pairs[:, 1]].tolist()
    if not spans:
        return None, []
    samples = np.zeros(piece.end - piece.start, dtype=np.int16)
    first, last = spans[0][0], spans[-1][1]
    offset = piece.start - film.audio_start
    samples[first:last] = film.audio[first + offset : last + offset]
    return samples, spans


def _source(film: Film) -> dict:
    """Source description that every record of a film repeats."""
    source = asdict(film.source)
    source["streams"] = [asdict(s) for s in film.source.streams if s.chosen]
    source["errors"] = list(film.source.errors)
    return source
