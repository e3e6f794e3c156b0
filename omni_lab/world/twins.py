"""Counterfactual twins: the same script with what one sense carries changed, muted, swapped or shifted."""

from __future__ import annotations

import random
from dataclasses import replace

from omni_lab.errors import UsageError
from omni_lab.world.questions import true_answer
from omni_lab.world.script import COLOURS, HELD_OUT_PAIRS, SPOKEN, Room, Script, Sound, Thing

WAYS = ("changed", "muted", "swapped", "shifted")
CARRIERS = ("image", "audio", "text")


def _changed_things(things: tuple[Thing, ...], rng: random.Random) -> tuple[Thing, ...]:
    """The same shapes in other named colours, each differing from before and none twice."""
    names = list(COLOURS)
    while True:
        new = rng.sample(names, len(things))
        pairs = [(colour, thing.shape) for colour, thing in zip(new, things, strict=True)]
        if all(c != t.colour for c, t in zip(new, things, strict=True)) and not any(
            p in HELD_OUT_PAIRS for p in pairs
        ):
            painted = zip(new, things, strict=True)
            return tuple(
                replace(t, colour=t.colour and c, rgb=COLOURS[c] if t.colour else t.rgb)
                for c, t in painted
            )


def _changed_sound(sound: Sound, rng: random.Random) -> Sound:
    if sound.beeps:
        return replace(sound, beeps=sound.beeps % 4 + 1)
    return replace(sound, word=rng.choice([word for word in SPOKEN if word != sound.word]))


def _changed(room: Room, carrier: str, rng: random.Random) -> Room:
    if carrier == "image":
        sign = room.sign and replace(
            room.sign, digits=f"{(int(room.sign.digits) + rng.randrange(1, 100)) % 100:02d}"
        )
        return replace(room, things=_changed_things(room.things, rng), sign=sign)
    if carrier == "text":
        return replace(room, note=room.note and rng.choice([w for w in SPOKEN if w != room.note]))
    sounds = tuple(_changed_sound(sound, rng) for sound in room.sounds)
    return replace(room, sounds=sounds)


def _taken(room: Room, other: Room, carrier: str) -> Room:
    """A room with one carrier from another room."""
    if carrier == "image":
        return replace(room, wall=other.wall, things=other.things, sign=other.sign)
    return (
        replace(room, sounds=other.sounds) if carrier == "audio" else replace(room, note=other.note)
    )


def twin(
    script: Script, carrier: str, way: str, other: Script | None = None, seed: int = 0
) -> Script:
    """The script's twin: one carrier is different, everything else stays as it was.

    `changed` gives the carrier new content; `muted` silences it, greys it or leaves it out; `swapped` takes it from
    `other` (of the same length); `shifted` moves it one room later, the last room's to the front. Questions stay, with
    the answers that are true in the twin; a question that has no answer there is left out.
    """
    if carrier not in CARRIERS or way not in WAYS:
        raise UsageError(
            f"twin of {carrier!r}, {way!r}: carriers are {', '.join(CARRIERS)}; ways {', '.join(WAYS)}"
        )
    rng = random.Random(f"twin/{seed}/{script.seed}")
    rooms = script.rooms
    if way == "changed":
        rooms = tuple(_changed(room, carrier, rng) for room in rooms)
    elif way == "shifted":
        rooms = tuple(_taken(room, rooms[i - 1], carrier) for i, room in enumerate(rooms))
    elif way == "swapped":
        if other is None or (len(other.rooms), other.room_s) != (len(rooms), script.room_s):
            raise UsageError(
                "a swapped twin needs `other`: a script of the same length, in rooms of the same length"
            )
        rooms = tuple(
            _taken(room, theirs, carrier) for room, theirs in zip(rooms, other.rooms, strict=True)
        )
    made = replace(
        script, rooms=rooms, muted=script.muted | {carrier} if way == "muted" else script.muted
    )
    return replace(
        made, questions=tuple(q for old in script.questions if (q := true_answer(made, old)))
    )


def differs(script: Script, made: Script) -> list[int]:
    """Indices of the twin's questions whose answer is not the original's."""
    before = {(q.fact, q.second, q.asked): q.answer for q in script.questions}
    return [
        i
        for i, q in enumerate(made.questions)
        if before.get((q.fact, q.second, q.asked)) != q.answer
    ]
