"""Counterfactual twins of a script: one modality changed, muted, swapped or shifted."""

from __future__ import annotations

import random
from dataclasses import replace

from omni_lab.errors import UsageError
from omni_lab.world.questions import true_answer
from omni_lab.world.script import COLOURS, HELD_OUT_PAIRS, SPOKEN, Room, Script, Sound, Thing

WAYS = ("changed", "muted", "swapped", "shifted")
CARRIERS = ("image", "audio", "text")


def _changed_things(things: tuple[Thing, ...], rng: random.Random) -> tuple[Thing, ...]:
    """Things of the same shapes in other named colours, none as before and none twice."""
    names = list(COLOURS)
    while True:
        new = rng.sample(names, len(things))
        pairs = [(colour, thing.shape) for colour, thing in zip(new, things, strict=True)]
        differ = all(c != t.colour for c, t in zip(new, things, strict=True))
        if differ and not HELD_OUT_PAIRS & {*pairs}:
            return tuple(
                replace(t, colour=t.colour and c, rgb=COLOURS[c] if t.colour else t.rgb)
                for c, t in zip(new, things, strict=True)
            )


def _changed_sound(sound: Sound, rng: random.Random) -> Sound:
    """Sound with another count of beeps or another word, in the same voice."""
    if sound.beeps:
        return replace(sound, beeps=sound.beeps % 4 + 1)
    return replace(sound, word=rng.choice([word for word in SPOKEN if word != sound.word]))


def _changed(room: Room, carrier: str, rng: random.Random) -> Room:
    """Room with new content of one carrier."""
    if carrier == "image":
        sign = room.sign
        if sign:
            number = (int(sign.digits) + rng.randrange(1, 100)) % 100
            sign = replace(sign, digits=f"{number:02d}")
        return replace(room, things=_changed_things(room.things, rng), sign=sign)
    if carrier == "text":
        return replace(room, note=room.note and rng.choice([w for w in SPOKEN if w != room.note]))
    sounds = tuple(_changed_sound(sound, rng) for sound in room.sounds)
    return replace(room, sounds=sounds)


def _taken(room: Room, other: Room, carrier: str) -> Room:
    """Room with one carrier taken from another room."""
    if carrier == "image":
        return replace(room, wall=other.wall, things=other.things, sign=other.sign)
    if carrier == "audio":
        return replace(room, sounds=other.sounds)
    return replace(room, note=other.note)


def twin(
    script: Script, carrier: str, way: str, other: Script | None = None, seed: int = 0
) -> Script:
    """Counterfactual twin of a script: one modality (`carrier`) intervened on, all else equal.

    Questions stay, with the answers that are true in the twin; one without an answer there is left
    out.

    Parameters
    ----------
    way : `changed` gives the carrier new content; `muted` silences it, greys it or leaves it out;
        `swapped` takes it from `other`; `shifted` moves it one room later, the last room's to the
        front
    other : a script of the same length, for `swapped`

    Raises
    ------
    UsageError
        carrier or way is unknown, or `other` is missing or of another length
    """
    if carrier not in CARRIERS or way not in WAYS:
        right = f"carriers are {', '.join(CARRIERS)}; ways {', '.join(WAYS)}"
        raise UsageError(f"twin of {carrier!r}, {way!r}: {right}")

    rng = random.Random(f"twin/{seed}/{script.seed}")
    rooms = script.rooms
    if way == "changed":
        rooms = tuple(_changed(room, carrier, rng) for room in rooms)
    elif way == "shifted":
        rooms = tuple(_taken(room, rooms[i - 1], carrier) for i, room in enumerate(rooms))
    elif way == "swapped":
        if other is None or (len(other.rooms), other.room_s) != (len(rooms), script.room_s):
            right = "a script of the same length, in rooms of the same length"
            raise UsageError(f"a swapped twin needs `other`: {right}")
        pairs = zip(rooms, other.rooms, strict=True)
        rooms = tuple(_taken(own, foreign, carrier) for own, foreign in pairs)

    muted = script.muted | {carrier} if way == "muted" else script.muted
    made = replace(script, rooms=rooms, muted=muted)
    answered = (true_answer(made, question) for question in script.questions)
    return replace(made, questions=tuple(question for question in answered if question))


def differs(script: Script, made: Script) -> list[int]:
    """Indices of the twin's questions whose answer is not the original's."""
    before = {(q.fact, q.second, q.asked): q.answer for q in script.questions}
    return [
        i
        for i, q in enumerate(made.questions)
        if before.get((q.fact, q.second, q.asked)) != q.answer
    ]
