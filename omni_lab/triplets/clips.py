"""From one decoded film to its clips: what is seen, heard and read in each, rebased to the clip's own start.

Everything that the film has comes out in exactly one clip. What it lacks is marked as lacking: sound that begins late
is padded to keep sample = tick, but `audio_spans` says where there really was sound.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND, TripletConfig, config_hash
from omni_lab.media.decode import Film
from omni_lab.media.faults import MediaFault
from omni_lab.media.subtitles import Cue
from omni_lab.triplets.cut import Clip, cut, silence_middles, speech_blocks
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.roles import read_roles

BLACK = 0.04  # mean brightness (of 1) below which a picture is black
STATIC = 0.002  # mean change (of 1) below which a picture is the one before


def clips_of(film: Film, config: TripletConfig | None = None) -> Iterator[EncodedClip]:
    """Cut a film and give its clips in order of time, encoded as shards hold them.

    `clip.decode()` makes a `Triplet` of one.
    """
    config = config or TripletConfig()
    cues = read_roles(film.cues)
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
            "quality": _quality(film, piece, said, audio, spans),
            "facts": [_rebased(f, piece) for f in facts if piece.start <= f["start"] and f["end"] <= piece.end],
            "config_hash": settings,
        }
        yield EncodedClip(record["clip_id"], record, jpegs, audio)


def share(cues: tuple[Cue, ...], pieces: tuple[Clip, ...]) -> list[list[Cue]]:
    """Give every cue to the clip it is spoken in, rebased; one that a cut goes through is split between words.

    Text is conserved: read in order, the clips' cues are the film's. A cue that runs past the film's end, or begins
    there, is held in its last clip.
    """
    shared: list[list[Cue]] = [[] for _ in pieces]
    last = pieces[-1].end
    i = 0
    for cue in cues:
        start, end = (min(max(t, 0), last) for t in (cue.start, cue.end))
        rest: Cue | None = replace(cue, start=start, end=end)
        while i < len(pieces) - 1 and pieces[i].end <= start:
            i += 1
        for piece, own in zip(pieces[i:], shared[i:], strict=True):
            if rest is None:
                break
            here, rest = (rest, None) if rest.end <= piece.end or piece is pieces[-1] else split(rest, piece.end)
            if here is not None:
                own.append(here.moved(-piece.start))
    return shared


def split(cue: Cue, at: int) -> tuple[Cue | None, Cue | None]:
    """Split a cue at a tick, between two words: by their times where known, else in proportion to time."""
    words = cue.text.split()
    if len(cue.words) == len(words):
        count = sum(word.start + word.end < 2 * at for word in cue.words)
    else:
        count = round(len(words) * (at - cue.start) / max(1, cue.end - cue.start))
    left = replace(cue, end=at, text=" ".join(words[:count]), words=cue.words[:count])
    right = replace(cue, start=at, text=" ".join(words[count:]), words=cue.words[count:])
    return (left if left.text else None), (right if right.text else None)


def read_truth(uri: str) -> list[dict]:
    """Read what is known to be true of a film: `name.truth.json` beside `name.mp4`, none if there is no such file.

    Raises
    ------
    MediaFault
        the file is not of this form
    """
    path = Path(uri).with_suffix(".truth.json")
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        return [{**fact, "start": int(fact["start"]), "end": int(fact["end"])} for fact in facts]
    except (ValueError, KeyError, TypeError) as error:
        raise MediaFault(path, f"is no truth file with facts that start and end ({error})") from None


def _rebased(fact: dict, piece: Clip) -> dict:
    return {**fact, "start": fact["start"] - piece.start, "end": fact["end"] - piece.start}


def _pictures(film: Film, piece: Clip, config: TripletConfig) -> tuple[tuple[bytes, ...], list[int]]:
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
    edges = [film.audio_start, *(t for gap in film.audio_gaps for t in gap), film.audio_start + film.audio.size]
    clipped = [min(max(t, piece.start), piece.end) - piece.start for t in edges]
    spans = [[a, b] for a, b in zip(clipped[::2], clipped[1::2], strict=True) if a < b]
    if not spans:
        return None, []
    samples = np.zeros(piece.end - piece.start, dtype=np.int16)
    first, last = spans[0][0], spans[-1][1]
    offset = piece.start - film.audio_start
    samples[first:last] = film.audio[first + offset : last + offset]
    return samples, spans


def _quality(film: Film, piece: Clip, cues: list[Cue], audio, spans: list[list[int]]) -> dict:
    """Measure what later choices go by: shares are of 1, levels of full scale."""
    length = piece.end - piece.start
    spoken = sum(end - start for start, end in speech_blocks((cue.start, cue.end) for cue in cues))
    quality: dict = {"speech_share": round(spoken / length, 4), "cut": piece.reason}
    if audio is not None:
        level = np.concatenate([audio[a:b] for a, b in spans]).astype(np.float32) / 32768
        quality["audio_spans"] = spans
        quality["audio_rms"] = round(float(np.sqrt((level**2).mean())), 5)
        quality["audio_peak"] = round(float(np.abs(level).max()), 5)
    inside = (film.frame_times >= piece.start) & (film.frame_times < piece.end)
    if inside.any():
        quality["black_share"] = round(float((film.brightness[inside] < BLACK).mean()), 4)
        quality["static_share"] = round(float((film.motion[inside] < STATIC).mean()), 4)
    return quality


def _source(film: Film) -> dict:
    """Describe where the clips come from, as every record repeats it."""
    source = asdict(film.source)
    source["streams"] = [asdict(s) for s in film.source.streams if s.chosen]
    source["errors"] = list(film.source.errors)
    return source
