"""The omni stream: what is seen, heard and written takes turns, one unit of time after the other.

It is the time-division stream of MiniCPM-o: for every unit `<unit>`, that unit's image tokens, its audio tokens, then
its text. `<listen>` says that the model takes in, `<speak>` that it writes. Two settings shorten it:
`sequence.boundary=implicit` leaves `<unit>` out, `sequence.control=text` leaves `<speak>` out, so that in a unit which
the model opens its text stands where `<listen>` would.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from omni_lab.config import TICKS_PER_SECOND, SequenceConfig
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT, Item, Sequence, SequenceError, role_token
from omni_lab.triplets.cutting.clips import split
from omni_lab.triplets.record import Triplet


def unit_ticks(config: SequenceConfig) -> int:
    """Length of a unit in ticks."""
    return round(config.unit_s * TICKS_PER_SECOND)


def unit_count(triplet: Triplet, config: SequenceConfig) -> int:
    """Units of a clip's stream: a last one shorter than half a unit does not count, but there is always one."""
    ticks = unit_ticks(config)
    return max(1, (triplet.duration + ticks // 2) // ticks)


def omni_stream(triplet: Triplet, config: SequenceConfig, supervised: bool = True) -> Sequence:
    """Lay a clip out as the omni stream.

    The text of `config.model_role` is supervised, with the `<speak>` before and the `<listen>` after it. Text stands
    in the unit in which it begins; where the time of every word is known, each word stands in its own unit. A unit in
    which nothing is seen or heard has no item of that sense: nothing is filled in, and `missing` says so.

    Parameters
    ----------
    supervised : refuse a clip without text, since nothing can be learned from it; False lays it out to be looked at
        or answered about

    Raises
    ------
    SequenceError
        the clip has nothing in it, or no text, or lacks a sense that it says it has
    """
    _check(triplet, supervised)
    ticks, units = unit_ticks(config), unit_count(triplet, config)
    spans = triplet.quality.get(
        "audio_spans", [[0, len(triplet.audio)]]
    )  # outside them samples are padding
    spans = spans if "audio" in triplet.has else []
    said = _by_unit(triplet.cues, ticks, units)
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
        opens = said[unit] and said[unit][0].role == config.model_role
        if not (opens and config.control == "text"):
            items.append(Item("control", end, end, LISTEN, config.model_role, True, unit))
        for cue in said[unit]:
            items.extend(spoken(cue, unit, config))
    missing = _missing(triplet, units, ticks, len(frames), len(waves))
    return Sequence(triplet.clip_id, tuple(items), tuple(frames), tuple(waves), missing=missing)


def _missing(triplet: Triplet, units: int, ticks: int, seen: int, heard: int) -> tuple[str, ...]:
    """Say what of the clip the stream lacks: whole senses, senses of some units, the end."""
    message = [
        f"no {sense} in this clip"
        for sense in ("image", "audio", "text")
        if sense not in triplet.has
    ]
    for sense, given in (("image", seen), ("audio", heard)):
        if sense in triplet.has and given < units:
            message.append(f"no {sense} in {units - given} of {units} units")
    if (rest := triplet.duration - units * ticks) > 0 and triplet.has & {"image", "audio"}:
        message.append(
            f"what is seen and heard in the last {rest / TICKS_PER_SECOND:.2f} s, less than half a unit"
        )
    return tuple(message)


def _check(triplet: Triplet, supervised: bool) -> None:
    if not triplet.has:
        raise SequenceError(f"clip {triplet.clip_id}: nothing to see, hear or read in it")
    for sense, content in (("image", triplet.frames), ("audio", triplet.audio)):
        if sense in triplet.has and not len(content):
            raise SequenceError(
                f"clip {triplet.clip_id}: it is said to have {sense}, but there is none in it"
            )
    if supervised and not triplet.cues:
        message = "no text in it, so that there is nothing to learn to write; give its film subtitles, or have speech "
        raise SequenceError(f"clip {triplet.clip_id}: {message}written down (triplets.recogniser)")


def _by_unit(cues: tuple[Cue, ...], ticks: int, units: int) -> list[list[Cue]]:
    """The text of every unit: a cue whose every word has a time is parted between units, others stand where they begin.

    Words that are not those of the text (of a language without spaces, or some of them only) tell no word's time.
    """
    said: list[list[Cue]] = [[] for _ in range(units)]
    edges = [unit * ticks for unit in range(1, units)]
    for cue in cues:
        timed = len(cue.words) == len(cue.text.split())
        parts = split(cue, edges) if timed else [(min(max(cue.start, 0) // ticks, units - 1), cue)]
        for unit, part in parts:
            said[unit].append(part)
    return said


def spoken(cue: Cue, unit: int, config: SequenceConfig) -> Iterator[Item]:
    """One piece of text with the tokens that open and close it."""
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
    """The frames that one unit sees: evenly chosen from those inside it, None where there are none."""
    first, last = np.searchsorted(triplet.frame_times, (start, end))
    if first == last:
        return None
    chosen = first + np.floor((np.arange(count) + 0.5) * (last - first) / count).astype(int)
    return triplet.frames[chosen]
