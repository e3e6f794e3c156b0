"""The exercise of the unit interleaver: in which order a clip's senses and text stand in the omni stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from omni_lab.check.verdict import Verdict, tried
from omni_lab.config import TICKS_PER_SECOND, tiny
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.items import LISTEN, SPEAK, UNIT
from omni_lab.sequences.stream import omni_stream
from omni_lab.triplets.record import Triplet

SECOND = TICKS_PER_SECOND


def _clip() -> Triplet:
    """Four seconds, the third without a picture, the last without sound; text on a border, and after the last unit."""
    cues = (
        Cue(SECOND // 2, SECOND, "Where is it?", "visitor"),
        Cue(3 * SECOND // 4, 3 * SECOND // 2, "Top-left.", "guide"),
        Cue(2 * SECOND, 5 * SECOND // 2, "Thank you.", "visitor"),
        Cue(9 * SECOND // 4, 3 * SECOND, "Mind the step.", "guide"),
        Cue(43 * SECOND // 10, 44 * SECOND // 10, "Goodbye.", "guide"),
    )
    return Triplet(
        source_id="exercise",
        start=0,
        end=44 * SECOND // 10,
        frames=np.zeros((3, 8, 8, 3), np.uint8),
        frame_times=np.array([SECOND // 2, 3 * SECOND // 2, 7 * SECOND // 2]),
        audio=np.ones(3 * SECOND, np.float32),
        cues=cues,
        has=frozenset({"image", "audio", "text"}),
    )


def interleaved(attempt: Callable[[list, list, list], Sequence[str]]) -> Verdict:
    """Check an attempt at: in which order do pictures, sound, text and control tokens stand in the omni stream?

    Parameters
    ----------
    attempt : takes, for every second, whether there is a picture, whether there is sound, and all cues as (start in
        seconds, role, text); returns the stream as words: `<unit>`, `image`, `audio`, `<listen>`, `<visitor>`,
        `<speak>`, and the text of cues
    """
    sequence = omni_stream(_clip(), tiny().sequence)
    right = [item.kind if item.kind in ("image", "audio") else item.text for item in sequence.items]
    units = 1 + max(item.unit for item in sequence.items)
    seen, heard = (
        [
            any(item.kind == kind and item.unit == unit for item in sequence.items)
            for unit in range(units)
        ]
        for kind in ("image", "audio")
    )
    cues = [(cue.start / SECOND, cue.role, cue.text) for cue in _clip().cues]
    value = tried(attempt, seen, heard, cues)
    if isinstance(value, Verdict):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        return Verdict(
            False, f"return a list of words such as {UNIT!r} and 'image'; this is {value!r:.80}"
        )
    wrong = _wrong(list(value), right, [text for _, _, text in cues])
    if wrong:
        return Verdict(False, wrong)
    message = f"right: {units} units, {len(right)} pieces, nothing lost and nothing filled in"
    return Verdict(True, message)


def _wrong(mine: list[str], right: list[str], texts: list[str]) -> str | None:
    """Why a stream is not as it should be, the gravest mistake first."""
    strange = next((word for word in mine if word not in right), None)
    if strange is not None:
        if strange == "<guide>":
            return f"'<guide>': the guide is the model's own role, and its text opens with {SPEAK}"
        pieces = f"{UNIT}, image, audio, {LISTEN}, {SPEAK}, <visitor> and texts"
        return f"{strange!r} is no piece of this stream: use {pieces}"
    have, need = Counter(mine), Counter(right)
    for text in texts:
        if have[text] != need[text]:
            if not have[text]:
                late = (
                    ": it begins after the last unit, and stands in it all the same"
                    if text == texts[-1]
                    else ""
                )
                return f"{text!r} is lost{late}; what is dropped in silence is missed by nobody, and never learned"
            return f"{text!r} stands there {have[text]} times: a cue belongs to one unit, the one in which it begins"
    for sense in ("image", "audio"):
        if have[sense] > need[sense]:
            return f"a unit without {sense} got one: what a film lacks has no tokens, and is never made up"
        if have[sense] < need[sense]:
            return f"{need[sense] - have[sense]} units lack their {sense}, although it is there"
    if have[UNIT] != need[UNIT]:
        return (
            f"{have[UNIT]} times {UNIT}: every unit opens with it once, also one without a picture"
        )
    if have["<visitor>"] != need["<visitor>"] or have[SPEAK] != need[SPEAK]:
        return f"every text opens with its role: {SPEAK} for the model's own (guide), <visitor> for the visitor"
    if have[LISTEN] != need[LISTEN]:
        turns = f"{LISTEN} stands after the senses of every unit, and again where the model has finished to speak"
        return f"{have[LISTEN]} times {LISTEN}, not {need[LISTEN]}: {turns}"
    return _misplaced(mine, right, texts)


def _misplaced(mine: list[str], right: list[str], texts: list[str]) -> str | None:
    """All pieces are there: the first that stands in the wrong place, and the rule about it."""
    if mine == right:
        return None
    if mine[0] != UNIT:
        return f"the stream begins with {mine[0]!r}: {UNIT} opens a unit, and what belongs to it comes after"
    own, true = _by_unit(mine), _by_unit(right)
    for unit, (have, need) in enumerate(zip(own, true, strict=True)):
        if {"image", "audio"} & set(have) != {"image", "audio"} & set(need):
            rule = "a unit is finished, senses and text, before the next begins: nobody hears a later second early"
            return f"unit {unit} has other senses than its second: {rule}"
    for have, need in zip(own, true, strict=True):
        moved = next((text for text in texts if (text in have) != (text in need)), None)
        if moved:
            home = next(number for number, pieces in enumerate(true) if moved in pieces)
            return f"{moved!r} belongs to unit {home}, in which it begins; a border belongs to the unit that it opens"
    place = next(
        i
        for i, (mine_here, right_here) in enumerate(zip(mine, right, strict=True))
        if mine_here != right_here
    )
    at = f"unit {right[:place].count(UNIT) - 1}, piece {place}: {mine[place]!r} stands where {right[place]!r} should"
    if {mine[place], right[place]} == {"image", "audio"}:
        return f"{at}; first what is seen, then what is heard, in every unit alike"
    return f"{at}; after the senses comes {LISTEN}, then text by text: who speaks, what, and {LISTEN} after the model's"


def _by_unit(stream: list[str]) -> list[list[str]]:
    """The pieces of every unit of a stream that begins with one."""
    units: list[list[str]] = []
    for piece in stream:
        if piece == UNIT:
            units.append([])
        units[-1].append(piece)
    return units
