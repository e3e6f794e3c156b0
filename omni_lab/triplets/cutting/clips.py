"""From one decoded film to its clips: what is seen, heard and read in each, rebased to the clip's own start.

Everything that the film has comes out in exactly one clip. What it lacks is marked as lacking: sound that begins late
is padded to keep sample = tick, but `audio_spans` says where there really was sound.
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
from omni_lab.media.decode import Film
from omni_lab.media.errors import MediaError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.building.quality import measure
from omni_lab.triplets.cutting.cut import Clip, cut, silence_middles
from omni_lab.triplets.cutting.listen import heard
from omni_lab.triplets.record import EncodedClip


def clips_of(film: Film, config: TripletConfig | None = None) -> Iterator[EncodedClip]:
    """Cut a film and give its clips in order of time, encoded as shards hold them.

    `clip.decode()` makes a `Triplet` of one.
    """
    config = config or TripletConfig()
    film = heard(film, config)
    cues = film.cues
    silences = silence_middles(film.audio, film.audio_start) if film.audio is not None else []
    pieces = cut(film.duration, cues, silences, film.changes.tolist(), config)
    facts = read_truth(film.source.uri)
    source = _source(film)
    settings = config_hash(config)
    for piece, said in zip(pieces, share(cues, pieces), strict=True):
        jpegs, times = _pictures(film, piece, config)
        audio, spans = _sound(film, piece)
        has = [name for name, held in (("image", jpegs), ("audio", spans), ("text", said)) if held]
        record = {
            "clip_id": f"{film.source.id}_{piece.start}_{piece.end}",
            "source": source,
            "start": piece.start,
            "end": piece.end,
            "frame_times": times,
            "cues": [asdict(cue) for cue in said],
            "has": has,
            "quality": measure(film, piece, said, jpegs, times, audio, spans),
            "facts": [
                _rebased(f, piece)
                for f in facts
                if piece.start <= f["start"] and f["end"] <= piece.end
            ],
            "config_hash": settings,
        }
        yield EncodedClip(record["clip_id"], record, jpegs, audio)


def share(cues: Iterable[Cue], pieces: Sequence[Clip]) -> list[list[Cue]]:
    """Give every cue to the clip it is spoken in, rebased; one that a cut goes through is split between words.

    Text is conserved: read in order, the clips' cues are the film's. A cue that runs past the film's end, or begins
    there, is held in its last clip. The work grows with the cues, not with the cues times the clips.
    """
    shared: list[list[Cue]] = [[] for _ in pieces]
    cuts, last = [piece.end for piece in pieces[:-1]], pieces[-1].end
    for cue in cues:
        start, end = (min(max(t, 0), last) for t in (cue.start, cue.end))
        for number, part in split(replace(cue, start=start, end=end), cuts):
            shared[number].append(part.moved(-pieces[number].start))
    return shared


def split(cue: Cue, cuts: Sequence[int]) -> Iterator[tuple[int, Cue]]:
    """Split a cue where cuts go through it, between words: by their times where known, else in proportion to time.

    Gives the number of cuts before each part, and the part.

    >>> [(number, part.start, part.text) for number, part in split(Cue(0, 40, "a b c d"), [10, 50])]
    [(0, 0, 'a'), (1, 10, 'b c d')]
    """
    first = bisect_right(cuts, cue.start)
    last = max(first, bisect_left(cuts, cue.end))
    texts = cue.text.split()
    if first == last or not texts:
        yield first, cue
        return
    middles = [(word.start + word.end) / 2 for word in cue.words]
    length = cue.end - cue.start
    even = [cue.start + (i + 0.5) * length / len(texts) for i in range(len(texts))]
    said, timed = defaultdict(list), defaultdict(list)
    # words whose times run backwards stay in order all the same
    for text, middle in zip(
        texts, accumulate(middles if len(middles) == len(texts) else even, max), strict=True
    ):
        said[min(max(bisect_right(cuts, middle), first), last)].append(text)
    for word, middle in zip(cue.words, accumulate(middles, max), strict=True):
        timed[min(max(bisect_right(cuts, middle), first), last)].append(word)
    for number, own in said.items():
        start = cuts[number - 1] if number > first else cue.start
        end = cuts[number] if number < last else cue.end
        text = cue.text if len(said) == 1 else " ".join(own)
        yield number, replace(cue, start=start, end=end, text=text, words=tuple(timed[number]))


def read_truth(uri: str) -> list[dict]:
    """Read what is known to be true of a film: `name.truth.json` beside `name.mp4`, none if there is no such file.

    Raises
    ------
    MediaError
        the file is not of this form
    """
    path = Path(uri).with_suffix(".truth.json")
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        return [{**fact, "start": int(fact["start"]), "end": int(fact["end"])} for fact in facts]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MediaError(
            path, f"is no truth file with facts that start and end ({error!r})"
        ) from None


def _rebased(fact: dict, piece: Clip) -> dict:
    return {**fact, "start": fact["start"] - piece.start, "end": fact["end"] - piece.start}


def _pictures(
    film: Film, piece: Clip, config: TripletConfig
) -> tuple[tuple[bytes, ...], list[int]]:
    """Give a clip's pictures; one that already stands when the clip begins, with none soon after, counts from there."""
    first, last = (int(i) for i in np.searchsorted(film.frame_times, [piece.start, piece.end]))
    times = [int(t) - piece.start for t in film.frame_times[first:last]]
    jpegs = film.frames[first:last]
    step = TICKS_PER_SECOND / config.frames_per_second
    if first and film.picture_end > piece.start and (not times or times[0] >= step):
        times, jpegs = [0, *times], (film.frames[first - 1], *jpegs)
    return jpegs, times


def _sound(film: Film, piece: Clip) -> tuple[Int16[np.ndarray, " samples"] | None, list[list[int]]]:
    """Give a clip's samples, as many as it has ticks, and the spans of them that the film really has."""
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
    """Describe where the clips come from, as every record repeats it."""
    source = asdict(film.source)
    source["streams"] = [asdict(s) for s in film.source.streams if s.chosen]
    source["errors"] = list(film.source.errors)
    return source
