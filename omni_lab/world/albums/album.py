"""Albums: several pictures at once, or a short video, and questions that need to tell the pictures apart.

A picture is a room of the world, seen for a moment, with a name for everything in it. In a video of one room a thing
moves from panel to panel, and others come one after the other and are gone after two frames: how often a thing is seen
does not tell when it came.

Two rules make a guess worth no more than its chance. The answer is drawn evenly from all that the same form of question
could have as an answer in this album (`choices`): so somebody who sees every picture but not which is which is right in
one of them. And a thing that is asked about is not asked about again, nor is any that it was told apart from: no answer
can be had from the text before it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from omni_lab.config import AlbumConfig, WorldConfig
from omni_lab.errors import UsageError
from omni_lab.world.drawing import draw_pairs, draw_room, draw_thing
from omni_lab.world.questions import FACTS, seen
from omni_lab.world.rendering import render
from omni_lab.world.script import COLOURS, Room, Script

# kind of question: in which sort of album it is asked
KINDS = {
    "single": "single",  # "Image 1 colour top-left?", of the only picture
    "look": "multi",  # "Image 2 colour top-left?", where other pictures would answer otherwise
    "which": "multi",  # "Which image red?", of a word that fits one picture
    "same": "multi",  # "Same image 1 image 3 colour top-left?"
    "watch": "video",  # "Frame 3 where red?", where other frames would answer otherwise
    "when": "video",  # "When red?": the first of the two frames in which it is seen
    "first": "video",  # "First red blue?"
}
SORTS = tuple(dict.fromkeys(KINDS.values()))
ALBUM_WORDS = (
    "image",
    "frame",
    "which",
    "same",
    "different",
    "when",
    "first",
)  # that no film of the world says
STAY = 2  # frames for which a guest is seen
GUESTS = 3  # a fourth panel is left to the thing that stays


@dataclass(frozen=True)
class AlbumQuestion:
    """One exchange: the visitor asks, the guide answers."""

    kind: str  # one of KINDS
    asked: tuple[str, ...]
    answer: str
    choices: tuple[str, ...]  # what the answer was drawn from, evenly

    @property
    def text(self) -> tuple[str, str]:
        """Question and answer as they are written."""
        return f"{' '.join(self.asked).capitalize()}?", f"{self.answer.capitalize()}."


@dataclass(frozen=True)
class Album:
    """Pictures, one for every second of a script, and what is asked about them."""

    script: Script
    video: bool
    questions: tuple[AlbumQuestion, ...]

    def pictures(self, size: int) -> UInt8[np.ndarray, "pictures size size 3"]:
        """Draw them, `size` pixels a side."""
        return render(self.script, np.arange(self.script.seconds), size)


def write_album(
    seed: int,
    config: AlbumConfig | None = None,
    world: WorldConfig | None = None,
    split: str = "train",
) -> Album:
    """Write the album named by `seed` in its split, `train` or `test`.

    >>> album = write_album(2, AlbumConfig(fewest=3, videos=0.0))
    >>> album.questions[0].text, album.questions[0].choices
    (('Image 4 shape top-left?', 'Triangle.'), ('diamond', 'triangle'))
    """
    if split not in ("train", "test"):
        raise UsageError(f"split={split!r}: there are albums of train and test")
    config = config or AlbumConfig()
    plain = replace(world or WorldConfig(), room_s=1, signs=0.0, unnamed_colours=0.0, blobs=0.0)
    rng = random.Random(f"album/{split}/{seed}")
    video = rng.random() < config.videos
    if video:
        rooms = _moving(rng, split, config.frames, plain)
    else:
        rooms = tuple(
            draw_room(rng, split, plain) for _ in range(rng.randint(config.fewest, config.most))
        )
    questions = _ask(rng, rooms, video, config.questions)
    return Album(Script(seed, split, plain.room_s, rooms, ()), video, questions)


def _moving(rng: random.Random, split: str, most: int, plain: WorldConfig) -> tuple[Room, ...]:
    """Up to `most` frames of a video: one thing stays and changes its panel, guests come at any time and go."""
    count = rng.randint(max(most - 2, STAY + 1), most)
    room = draw_room(rng, split, plain)
    host, *guests = (
        draw_thing(rng, 0, pair, 1, plain) for pair in draw_pairs(rng, 1 + GUESTS, split)
    )
    guests = [
        replace(guest, cell=cell)
        for guest, cell in zip(guests, rng.sample(range(4), GUESTS), strict=True)
    ]
    comes = [rng.randint(0, count - STAY) for _ in guests]
    frames = []
    for number in range(count):
        there = [guest for guest, at in zip(guests, comes, strict=True) if at <= number < at + STAY]
        free = sorted(set(range(4)) - {guest.cell for guest in there})
        frames.append(replace(room, things=(replace(host, cell=rng.choice(free)), *there)))
    return tuple(frames)


class _Place(NamedTuple):
    """Where a question about one picture could be asked: its number, the answer there, and whose it is."""

    number: int
    answer: str
    thing: tuple


class _Way(NamedTuple):
    """One way to ask a form of question: `spends` are the things of which it tells something."""

    asked: tuple[str, ...]
    answer: str
    spends: frozenset
    choices: tuple[str, ...] = ()  # where they are not the answers of all ways


def _forms(rooms: tuple[Room, ...], video: bool) -> Iterator[tuple[str, list[_Way]]]:
    """Every form of question with its kind, and the ways to ask it that are true in these rooms."""
    places: dict[tuple[str, tuple[str, str]], list[_Place]] = defaultdict(list)
    for number, room in enumerate(rooms, 1):
        for thing in room.things:
            whose = (
                0 if video else number,
                thing.colour,
                thing.shape,
            )  # in a video it is the same in every frame
            for fact, asked, answer in seen(thing):
                places[fact, asked].append(_Place(number, answer, whose))
    kind = "single" if len(rooms) == 1 else "watch" if video else "look"
    picture = "frame" if video else "image"
    for (fact, asked), found in places.items():
        told = frozenset(place.thing for place in found)
        words = FACTS[fact][1] if kind == "single" else ()
        yield (
            kind,
            [
                _Way((picture, str(place.number), *asked), place.answer, told, words)
                for place in found
            ],
        )
    words = {asked[1]: found for (fact, asked), found in places.items() if fact == "position"}
    if video:
        yield from _times(words, len(rooms))
    elif len(rooms) > 1:
        found_in = {word: found[0] for word, found in words.items() if len(found) == 1}
        yield (
            "which",
            [
                _Way(("which", "image", w), str(p.number), frozenset({p.thing}))
                for w, p in found_in.items()
            ],
        )
        for (fact, asked), found in places.items():
            if fact != "position":
                yield "same", [_compared(a, b, asked) for a, b in combinations(found, 2)]


def _compared(a: _Place, b: _Place, asked: tuple[str, str]) -> _Way:
    """Whether two pictures would answer a question alike."""
    numbers = ("image", str(a.number), "image", str(b.number))
    answer = "same" if a.answer == b.answer else "different"
    return _Way(("same", *numbers, *asked), answer, frozenset({a.thing, b.thing}))


def _times(words: dict[str, list[_Place]], frames: int) -> Iterator[tuple[str, list[_Way]]]:
    """When guests came, and which of two came first."""
    came = {word: found[0] for word, found in words.items() if len(found) < frames}
    yield (
        "when",
        [_Way(("when", word), str(p.number), frozenset({p.thing})) for word, p in came.items()],
    )
    ways = []
    for (one, a), (other, b) in permutations(came.items(), 2):
        if a.number != b.number and (one in COLOURS) == (other in COLOURS):
            answer = one if a.number < b.number else other
            ways.append(
                _Way(("first", one, other), answer, frozenset({a.thing, b.thing}), (one, other))
            )
    yield "first", ways


def _ask(
    rng: random.Random, rooms: tuple[Room, ...], video: bool, count: int
) -> tuple[AlbumQuestion, ...]:
    """Choose up to `count` questions: of the kinds in turn, answer first, then a way to ask for it."""
    forms = list(_forms(rooms, video))
    spent: set = set()
    asked: Counter[str] = Counter()
    chosen = []
    for _ in range(count):
        free = [(kind, [way for way in ways if not way.spends & spent]) for kind, ways in forms]
        free = [
            (kind, ways)
            for kind, ways in free
            if ways and (ways[0].choices or len({w.answer for w in ways}) > 1)
        ]
        if not free:
            break
        fewest = min(asked[kind] for kind, _ in free)
        kind = rng.choice(sorted({kind for kind, _ in free if asked[kind] == fewest}))
        ways = rng.choice([ways for other, ways in free if other == kind])
        answers = sorted({way.answer for way in ways})
        answer = rng.choice(answers)
        way = rng.choice([way for way in ways if way.answer == answer])
        chosen.append(AlbumQuestion(kind, way.asked, answer, way.choices or tuple(answers)))
        spent |= way.spends
        asked[kind] += 1
    return tuple(chosen)
