"""Question generation without text leakage: no answer can be copied from the text before it.

The rule: a thing's colour, and a thing's shape, is written at most once per room, as question or as
answer, and every hop, sound, sign and note is asked about at most once. A heard word is not written
by the question that needs it, and a question asks for it only where nothing in the room bears that
name: else the names written before would make it a likely guess, and "Colour heard? Red." would
leave one word to a model that sees the red thing.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Collection, Iterator
from dataclasses import replace

from omni_lab.errors import UsageError
from omni_lab.world.script import (
    CELLS,
    COLOURS,
    COUNTS,
    MOTIONS,
    ROLES,
    SHAPES,
    SPOKEN,
    Question,
    Room,
    Script,
    Thing,
)

# fact: the modalities that carry it, the words it can be answered with, and its sampling weight
FACTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
    "colour": (("image",), tuple(COLOURS), 1.0),
    "shape": (("image",), SHAPES, 1.0),
    "position": (("image",), CELLS, 1.5),
    "motion": (("image",), MOTIONS, 0.4),
    "sign": (("image",), tuple(f"{n:02d}" for n in range(100)), 1.5),
    "word": (("audio",), SPOKEN, 3.0),
    "speaker": (("audio",), ROLES, 0.8),
    "beeps": (("audio",), COUNTS, 2.5),
    "shape_to_colour": (("image", "audio"), tuple(COLOURS), 20.0),
    "colour_to_shape": (("image", "audio"), SHAPES, 20.0),
    "note": (("text",), SPOKEN, 4.0),
    # the heard thing is not in the room: without this fact, a deaf model guesses among the two to
    # four things in it
    "absent": (("image", "audio"), (*COLOURS, *SHAPES, "nothing"), 0.1),
}


# accuracy of a uniform guess
CHANCE = {fact: 1 / len(answers) for fact, (_, answers, _) in FACTS.items()}


def seen(thing: Thing) -> Iterator[tuple[str, tuple[str, str], str]]:
    """Visual questions about a thing in one picture, where it has names: fact, question, answer."""
    cell = CELLS[thing.cell]
    if thing.colour:
        yield "colour", ("colour", cell), thing.colour
        yield "position", ("where", thing.colour), cell
    if thing.shape:
        yield "shape", ("shape", cell), thing.shape
        yield "position", ("where", thing.shape), cell


def _candidates(
    room: Room, second: int
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], frozenset, bool]]:
    """Candidate questions of a second: fact, question, answer, what it writes, held out or not."""
    for index, thing in enumerate(room.things):
        cell, held = CELLS[thing.cell], thing.held_out
        hop, writes = thing.motion(second), frozenset({(index, "motion", second)})
        yield "motion", ("motion", cell), (hop,), writes, held
        for fact, asked, answer in seen(thing):
            attribute = "colour" if thing.colour in (asked[1], answer) else "shape"
            yield fact, asked, (answer,), frozenset({(index, attribute)}), held

    sound = room.sounds[second]
    none = frozenset({("none", second)})
    if sound.word:
        yield "word", ("word", "said"), (sound.word,), frozenset({("word", second)}), False
        yield "speaker", ("who", "speaks"), (sound.role,), frozenset({("role", second)}), False

    if not (thing := room.find(shape=sound.word) if sound.word else None):
        yield "absent", ("colour", "heard"), ("nothing",), none, False
    elif thing.colour:
        spoils = frozenset({(room.things.index(thing), "colour")})
        yield "shape_to_colour", ("colour", "heard"), (thing.colour,), spoils, thing.held_out
    if not (thing := room.find(colour=sound.word) if sound.word else None):
        yield "absent", ("shape", "heard"), ("nothing",), none, False
    elif thing.shape:
        spoils = frozenset({(room.things.index(thing), "shape")})
        yield "colour_to_shape", ("shape", "heard"), (thing.shape,), spoils, thing.held_out

    if sound.beeps:
        count, writes = COUNTS[sound.beeps - 1], frozenset({("beeps", second)})
        yield "beeps", ("beeps", "count"), (count,), writes, False
    if room.sign:
        yield "sign", ("sign", "says"), (room.sign.digits,), frozenset({("sign",)}), False
    if room.note and second > 0:
        yield "note", ("note", "says"), (room.note,), frozenset({("note",)}), False


@functools.cache
def sampling_weights(asked: tuple[str, ...] = ()) -> dict[str, float]:
    """Sampling weight of every fact, with the changes of `world.asked`.

    >>> sampling_weights(("word=6",))["word"], sampling_weights()["word"]
    (6.0, 3.0)

    Raises
    ------
    UsageError
        there is no such fact, or its weight is no number of 0 or more
    """
    weights = {fact: weight for fact, (_, _, weight) in FACTS.items()}
    for spec in asked:
        fact, _, number = spec.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if fact not in weights or not 0 <= weight < math.inf:
            right = f"write FACT=WEIGHT, 0 or more, of {', '.join(weights)}"
            raise UsageError(f"world.asked = {spec!r}: {right}")
        weights[fact] = weight
    return weights


def ask(
    room: Room,
    rng: random.Random,
    per_second: int,
    senses: Collection[str],
    asked: tuple[str, ...] = (),
) -> list[Question]:
    """Random questions of a room, `per_second` for every second counted from the room's start.

    Only facts that `senses` carry are asked about. The seconds take turns, so that a rare question
    of a late second is not spoilt by the common ones of an early one.

    Parameters
    ----------
    asked : changes of how often facts are asked about, as in `world.asked`
    """
    weights = sampling_weights(asked)
    written: set = set()
    borne = {name for thing in room.things for name in (thing.colour, thing.shape)}
    asked_about = {
        fact
        for fact, (carriers, _, _) in FACTS.items()
        if set(carriers) <= set(senses) and weights[fact]
    }
    if per_second == 1:  # a calm film has no time for things that are not there
        asked_about.discard("absent")

    def fits(candidate: tuple) -> bool:
        fact, _, answer, *_ = candidate
        return fact in asked_about and not (fact == "word" and answer[0] in borne)

    seconds = range(len(room.sounds))
    possible = [[c for c in _candidates(room, second) if fits(c)] for second in seconds]

    chosen = []
    for _ in range(per_second):
        for second, candidates in enumerate(possible):
            pool = [candidate for candidate in candidates if not candidate[3] & written]
            if not pool:
                continue
            fact, words, answer, writes, held = rng.choices(pool, [weights[c[0]] for c in pool])[0]
            written |= writes
            chosen.append(Question(fact, second, words, answer, FACTS[fact][0], held))
    return sorted(chosen, key=lambda question: question.second)


def true_answer(script: Script, question: Question) -> Question | None:
    """Question with its ground-truth answer in `script`; None where it has no answer there."""
    if script.muted & set(question.carriers):
        return None
    room, second = script.rooms[question.second // script.room_s], question.second % script.room_s
    for fact, asked, answer, _, held in _candidates(room, second):
        if (fact, asked) == (question.fact, question.asked):
            return replace(question, answer=answer, held_out=held)
    return None


def captions(room: Room, second: int, order: int) -> list[tuple[str, str]]:
    """Image caption of a room, panel by panel, as pairs of panel and word.

    `order` 0 and 1 are complementary: where one names the colour the other names the shape, so that
    a thing's colour and shape never stand in one caption. Orders 2 and 3 name the same with the
    word before its panel, sorted by word so that the order carries no position: they teach to find
    a thing as 0 and 1 teach to describe a place. Order 4 is order 2, and then how things move, as 0
    and 1 say it too. The sign comes last. Unnamed attributes are left out.
    """
    named = [
        (CELLS[t.cell], t.colour if (t.cell + order) % 2 == 0 else t.shape) for t in room.things
    ]
    signs = [(CELLS[room.sign.cell], room.sign.digits)] if room.sign else []
    things = sorted(room.things, key=lambda thing: thing.cell)
    moves = [(CELLS[thing.cell], thing.motion(second)) for thing in things]
    if order >= 2:
        found = sorted((word, cell) for cell, word in named if word)
        return found + (moves if order == 4 else []) + signs
    pairs = [pair for pair in (*named, *moves) if pair[1]]
    return sorted(pairs, key=lambda pair: CELLS.index(pair[0])) + signs
