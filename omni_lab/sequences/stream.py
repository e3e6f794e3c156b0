"""Omni stream: time-division multiplexing of image, audio and text tokens in units of time.

From MiniCPM-o: for every unit `<unit>`, that unit's image tokens, its audio tokens, then its text.
`<listen>` marks that the model takes in, `<speak>` that it writes. Two settings shorten the stream:
`sequence.boundary=implicit` leaves `<unit>` out, `sequence.control=text` leaves `<speak>` out, so
that in a unit which the model opens its text stands in the place of `<listen>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from omni_lab.config import TICKS_PER_SECOND, SequenceConfig
from omni_lab.media.subtitles.reader import Cue
from omni_lab.media.subtitles.words import word_spans, words_of
from omni_lab.sequences.items import (
    LISTEN,
    SPEAK,
    UNIT,
    Fact,
    Item,
    Sequence,
    SequenceError,
    role_token,
)
from omni_lab.triplets.cutting.clips import split
from omni_lab.triplets.record import Triplet


def unit_ticks(config: SequenceConfig) -> int:
    """Unit length in ticks at 16 kHz."""
    return round(config.unit_s * TICKS_PER_SECOND)


def unit_count(triplet: Triplet, config: SequenceConfig) -> int:
    """Number of units in a clip's stream, at least 1: a rest below half a unit does not count."""
    ticks = unit_ticks(config)
    return max(1, (triplet.duration + ticks // 2) // ticks)


def omni_stream(triplet: Triplet, config: SequenceConfig, supervised: bool = True) -> Sequence:
    """Omni stream of a clip: per unit its image, audio and text items.

    The text of `config.model_role` is supervised, with the `<speak>` before and the `<listen>`
    after it. Text stands in the unit in which it begins; where the time of every word is known,
    each word stands in the unit of its time, after the white space before it. A unit without
    picture or sound has no item of that modality: none is filled in, and `missing` lists it.

    Parameters
    ----------
    supervised : refuse a clip without text, which has no token to learn; False lays it out as
        context, to be asked about

    Raises
    ------
    SequenceError
        the clip is empty, has no text, or lacks a modality that its `has` lists
    """
    _check(triplet, supervised)
    ticks, units = unit_ticks(config), unit_count(triplet, config)
    # outside the spans samples are padding
    spans = triplet.quality.get("audio_spans", [[0, len(triplet.audio)]])
    spans = spans if "audio" in triplet.has else []
    cues = _by_unit(triplet.cues, ticks, units)
    items: list[Item] = []
    frames, waves = [], []

    for unit in range(units):
        start, end = unit * ticks, (unit + 1) * ticks
        if config.boundary == "explicit":
            items.append(Item("control", start, start, UNIT, unit=unit))

        if (seen := _frames(triplet, start, end, config.frames_per_unit)) is not None:
            items.append(Item("image", start, end, unit=unit))
            frames.append(seen)
        if any(first < end and start < last for first, last in spans):
            items.append(Item("audio", start, end, unit=unit))
            wave = triplet.audio[start:end]
            waves.append(np.pad(wave, (0, ticks - len(wave))) if len(wave) < ticks else wave)

        opens = cues[unit] and cues[unit][0].role == config.model_role
        if not (opens and config.control == "text"):
            items.append(Item("control", end, end, LISTEN, config.model_role, True, unit))
        for cue in cues[unit]:
            items.extend(spoken(cue, unit, config))

    items = list(_with_facts(items, triplet.facts))
    missing = _missing(triplet, units, ticks, len(frames), len(waves))
    return Sequence(triplet.clip_id, tuple(items), tuple(frames), tuple(waves), missing=missing)


def _with_facts(items: Iterable[Item], facts: Iterable[dict]) -> Iterator[Item]:
    """Items, with the fact that each answer states: a fact starts at its answer's tick."""
    known = {fact["start"]: Fact(fact["fact"], tuple(fact["carriers"])) for fact in facts}
    for item in items:
        answers = item.kind == "text" and item.loss
        yield item._replace(fact=known.get(item.start)) if answers else item


def _missing(triplet: Triplet, units: int, ticks: int, seen: int, heard: int) -> tuple[str, ...]:
    """Content of the clip that the stream lacks, in words: modalities, single units, the end."""
    lacks = [
        f"no {sense} in this clip"
        for sense in ("image", "audio", "text")
        if sense not in triplet.has
    ]
    for sense, given in (("image", seen), ("audio", heard)):
        if sense in triplet.has and given < units:
            lacks.append(f"no {sense} in {units - given} of {units} units")
    if (rest := triplet.duration - units * ticks) > 0 and triplet.has & {"image", "audio"}:
        last = f"the last {rest / TICKS_PER_SECOND:.2f} s, less than half a unit"
        lacks.append(f"what is seen and heard in {last}")
    return tuple(lacks)


def _check(triplet: Triplet, supervised: bool) -> None:
    """Refuse a clip without content, without text to learn, or without a modality it lists."""
    if not triplet.has:
        raise SequenceError(f"clip {triplet.clip_id}: nothing to see, hear or read in it")
    for sense, content in (("image", triplet.frames), ("audio", triplet.audio)):
        if sense in triplet.has and not len(content):
            right = f"fill it, or take {sense} out of `has`"
            raise SequenceError(
                f"clip {triplet.clip_id}: `has` lists {sense}, but there is none in it; {right}"
            )
    if supervised and not triplet.cues:
        wrong = "no text in it, so that no token is supervised"
        right = "give its film subtitles, or have its speech transcribed (triplets.recogniser)"
        raise SequenceError(f"clip {triplet.clip_id}: {wrong}; {right}")


def _by_unit(cues: tuple[Cue, ...], ticks: int, units: int) -> list[list[Cue]]:
    """Cues of every unit: split between units where every word has a time, else at their start.

    Word times count only if there is one for each word of the text (not where an aligner found
    some words only).
    """
    placed: list[list[Cue]] = [[] for _ in range(units)]
    edges = [unit * ticks for unit in range(1, units)]
    for cue in cues:
        timed = len(cue.words) == len(words_of(cue.text))
        parts = split(cue, edges) if timed else [(min(max(cue.start, 0) // ticks, units - 1), cue)]
        for unit, part in _as_it_was(cue.text, parts):
            placed[unit].append(part)
    return placed


def _as_it_was(text: str, parts: Iterable[tuple[int, Cue]]) -> Iterator[tuple[int, Cue]]:
    """Parts of a cue with the white space that its text has within and before each of them."""
    parts = list(parts)
    if len(parts) == 1:
        yield from parts
        return
    spans = word_spans(text)
    first = end = 0
    for unit, part in parts:
        begin = spans[first][0]
        # a single space before a role's text is what `tokenize` writes there
        begin = begin if part.role and text[end:begin] == " " else end
        first += len(words_of(part.text))
        end = spans[first - 1][1]
        yield unit, replace(part, text=text[begin:end])


def spoken(cue: Cue, unit: int, config: SequenceConfig) -> Iterator[Item]:
    """Items of one dialogue turn: opening control token, text, and `<listen>` after the model's."""
    speaks = cue.role == config.model_role
    if not speaks or config.control == "speak":
        opening = SPEAK if speaks else role_token(cue.role)
        yield Item("control", cue.start, cue.start, opening, cue.role, speaks, unit)
    yield Item("text", cue.start, cue.end, cue.text, cue.role, speaks, unit)
    if speaks:
        yield Item("control", cue.end, cue.end, LISTEN, cue.role, True, unit)


def _frames(
    triplet: Triplet, start: int, end: int, count: int
) -> UInt8[np.ndarray, "F H W 3"] | None:
    """Uniformly sampled frames of one unit; None where the unit has none."""
    first, last = np.searchsorted(triplet.frame_times, (start, end))
    if first == last:
        return None
    chosen = first + np.floor((np.arange(count) + 0.5) * (last - first) / count).astype(int)
    return triplet.frames[chosen]
