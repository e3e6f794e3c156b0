"""Exercise of the unit interleaver: the order of image, audio, text and control in a stream."""

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
    """Clip of four units of 1 s: the third without a picture, the last without sound.

    It has text on a unit boundary, text after the last unit, and a visitor who answers the guide.
    """
    cues = (
        Cue(SECOND // 2, SECOND, "Where is it?", "visitor"),
        Cue(3 * SECOND // 4, 3 * SECOND // 2, "Top-left.", "guide"),
        Cue(2 * SECOND, 5 * SECOND // 2, "Thank you.", "visitor"),
        Cue(9 * SECOND // 4, 3 * SECOND, "Mind the step.", "guide"),
        Cue(11 * SECOND // 4, 3 * SECOND, "I see it.", "visitor"),
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
    """Checker of the omni stream's order: units of image, audio, control tokens and text.

    Parameters
    ----------
    attempt : takes, for every second, whether there is a picture, whether there is sound, and all
        cues as (start in s, role, text); returns the stream as words: `<unit>`, `image`, `audio`,
        `<listen>`, `<visitor>`, `<speak>`, and the text of cues
    """
    sequence = omni_stream(_clip(), tiny().sequence)
    right = [item.kind if item.kind in ("image", "audio") else item.text for item in sequence.items]
    units = 1 + max(item.unit for item in sequence.items)
    given = {(item.kind, item.unit) for item in sequence.items}
    seen, heard = ([(kind, unit) in given for unit in range(units)] for kind in ("image", "audio"))
    cues = [(cue.start / SECOND, cue.role, cue.text) for cue in _clip().cues]

    value = tried(attempt, seen, heard, cues)
    if isinstance(value, Verdict):
        return value
    # a string is a sequence of strings too, but not a list of pieces
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        message = f"return a list of words such as {UNIT!r} and 'image'; yours is {value!r:.80}"
        return Verdict(False, message)

    if wrong := _wrong(list(value), right, [text for _, _, text in cues]):
        return Verdict(False, wrong)
    message = f"{units} units, {len(right)} pieces, nothing missing and nothing filled in"
    return Verdict(True, f"right: {message}")


def _wrong(given: list[str], right: list[str], texts: list[str]) -> str | None:
    """Explanation of a wrong stream, the gravest mistake first, or None."""
    strange = next((word for word in given if word not in right), None)
    if strange == "<guide>":
        return f"'<guide>': the guide is the model's own role, and its text opens with {SPEAK}"
    if strange is not None:
        pieces = f"{UNIT}, image, audio, {LISTEN}, {SPEAK}, <visitor> and texts"
        return f"{strange!r} is no piece of this stream: use {pieces}"
    have, need = Counter(given), Counter(right)
    return (
        _wrong_texts(have, need, texts)
        or _wrong_senses(have, need)
        or _wrong_control(have, need)
        or _misplaced(given, right, texts)
    )


def _wrong_texts(have: Counter[str], need: Counter[str], texts: list[str]) -> str | None:
    """Text that is missing or doubled, explained, or None."""
    wrong = next((text for text in texts if have[text] != need[text]), None)
    if wrong is None:
        return None
    if have[wrong]:
        rule = "a cue belongs to one unit, the one in which it begins"
        return f"{wrong!r} stands there {have[wrong]} times: {rule}"
    late = ": it begins after the last unit, and still belongs into that unit"
    note = late if wrong == texts[-1] else ""
    return f"{wrong!r} is missing{note}; what is dropped raises no error, and is never learned"


def _wrong_senses(have: Counter[str], need: Counter[str]) -> str | None:
    """Picture or sound that is made up or missing, explained, or None."""
    for sense in ("image", "audio"):
        if have[sense] > need[sense]:
            rule = "what a film lacks has no tokens, and is never made up"
            return f"a unit without {sense} got one: {rule}"
        if have[sense] < need[sense]:
            return f"{need[sense] - have[sense]} units lack their {sense}, although it is there"
    return None


def _wrong_control(have: Counter[str], need: Counter[str]) -> str | None:
    """Control tokens in wrong numbers, explained, or None."""
    if have[UNIT] != need[UNIT]:
        rule = "every unit opens with it once, also one without a picture"
        return f"{have[UNIT]} times {UNIT}: {rule}"
    if have[LISTEN] != need[LISTEN]:
        rule = "it follows the senses of every unit, and every text of the model's own"
        return f"{have[LISTEN]} times {LISTEN}, not {need[LISTEN]}: {rule}"
    if have["<visitor>"] != need["<visitor>"] or have[SPEAK] != need[SPEAK]:
        return f"every text opens with its role: {_ROLES}"
    return None


_ROLES = f"{SPEAK} for the model's own (guide), <visitor> for the visitor"


def _misplaced(given: list[str], right: list[str], texts: list[str]) -> str | None:
    """First piece in a wrong place, where no piece is missing, and its rule, or None."""
    if given == right:
        return None
    if given[0] != UNIT:
        rule = f"{UNIT} opens a unit, and what belongs to it comes after"
        return f"the stream begins with {given[0]!r}: {rule}"

    # whole units first: a text in another unit moves every piece after it
    own, true = _by_unit(given), _by_unit(right)
    for unit, (have, need) in enumerate(zip(own, true, strict=True)):
        for sense, where in (("image", "seen"), ("audio", "heard")):
            if have.count(sense) > 1:
                rule = "a unit is finished, senses and text, before the next one begins"
                return f"unit {unit} has {sense} {have.count(sense)} times: {rule}"
            if have.count(sense) > need.count(sense):
                return f"unit {unit} has {sense}, which its second lacks: `{where}` tells"
    for have, need in zip(own, true, strict=True):
        moved = next((text for text in texts if (text in have) != (text in need)), None)
        if moved:
            home = next(number for number, pieces in enumerate(true) if moved in pieces)
            rule = "a boundary belongs to the unit that it opens"
            return f"{moved!r} belongs to unit {home}, in which it begins; {rule}"

    place = next(i for i, pair in enumerate(zip(given, right, strict=True)) if pair[0] != pair[1])
    where = f"unit {right[:place].count(UNIT) - 1}, piece {place}"
    at = f"{where}: {given[place]!r} stands where {right[place]!r} should"
    if {given[place], right[place]} == {"image", "audio"}:
        return f"{at}; first what is seen, then what is heard, in every unit alike"
    same_text = given[place + 1] == right[place + 1]
    if {given[place], right[place]} == {SPEAK, "<visitor>"} and same_text:
        return f"{at}; every text opens with its role: {_ROLES}"
    order = f"role, text, and {LISTEN} after the model's own"
    return f"{at}; after the senses comes {LISTEN}, then text by text as time goes by: {order}"


def _by_unit(stream: list[str]) -> list[list[str]]:
    """Pieces unit by unit, of a stream that begins with a unit."""
    units: list[list[str]] = []
    for piece in stream:
        if piece == UNIT:
            units.append([])
        units[-1].append(piece)
    return units
