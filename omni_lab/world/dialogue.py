"""Timed dialogue and ground-truth facts of a script, for subtitles and `truth.json`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.world.questions import captions
from omni_lab.world.script import COUNTS, Question, Script

_MILLISECOND = TICKS_PER_SECOND // 1000


@dataclass(frozen=True)
class Line:
    """Subtitle line of one role, with its time span in ticks from the film's start."""

    start: int
    end: int
    role: str
    text: str


def _slots(script: Script, second: int) -> list[str | Question]:
    """Dialogue slots of a second, in order: the room's note in its first second, then questions."""
    room = script.rooms[second // script.room_s]
    note = (
        [room.note]
        if room.note and second % script.room_s == 0 and "text" not in script.muted
        else []
    )
    return [*note, *(q for q in script.questions if q.second == second)]


def dialogue(script: Script) -> list[tuple[tuple[Line, ...], tuple[str, ...]]]:
    """Dialogue exchanges with the modalities they need: question and answer, or a note alone.

    A second is divided evenly among its exchanges, in whole milliseconds: subtitle formats hold no
    finer time, and a fact is found by the tick at which its line begins.
    """
    exchanges = []
    for second in range(script.seconds):
        slots = _slots(script, second)
        for index, slot in enumerate(slots):
            width = TICKS_PER_SECOND // len(slots) // (2 * _MILLISECOND) * (2 * _MILLISECOND)
            start = second * TICKS_PER_SECOND + index * width
            middle, end = start + width // 2, start + width - 160
            if isinstance(slot, str):
                exchanges.append(((Line(start, end, "visitor", f"Note {slot}."),), ("text",)))
                continue
            asked = f"{slot.asked[0].capitalize()} {slot.asked[1]}?"
            answer = f"{' '.join(slot.answer).capitalize()}."
            lines = (Line(start, middle, "visitor", asked), Line(middle, end, "guide", answer))
            exchanges.append((lines, slot.carriers))
    return exchanges


def spoken_with(script: Script, senses: Collection[str]) -> list[Line]:
    """Dialogue lines of the exchanges that need no other modalities than `senses`."""
    return [
        line
        for exchange, carriers in dialogue(script)
        if set(carriers) <= set(senses)
        for line in exchange
    ]


def caption(script: Script, second: int, carrier: str, order: int = 0) -> str:
    """Caption of one second: what is seen (see `captions` for `order`), or who says what.

    Parameters
    ----------
    carrier : the modality that is described, `image` or `audio`
    """
    if carrier == "image":
        pairs = captions(script.rooms[second // script.room_s], second % script.room_s, order)
        return ", ".join(f"{first} {then}" for first, then in pairs) + "."
    sound = script.sound(second)
    return f"{sound.role} {sound.word}." if sound.word else f"Beeps {COUNTS[sound.beeps - 1]}."


def facts(script: Script) -> tuple[dict, ...]:
    """Ground-truth facts: every question with its answer and that line's time in ticks.

    They are the `facts` of `truth.json`.
    """
    answers = [lines[1] for lines, _ in dialogue(script) if len(lines) == 2]
    return tuple(
        {
            "fact": question.fact,
            "start": line.start,
            "end": line.end,
            "asked": " ".join(question.asked),
            "answer": " ".join(question.answer),
            "carriers": list(question.carriers),
            "held_out": question.held_out,
        }
        for question, line in zip(script.questions, answers, strict=True)
    )
