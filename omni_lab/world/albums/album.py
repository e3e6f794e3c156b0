"""Multi-image question answering (albums): several pictures or a short video.

A picture is a room of the world, seen for a moment, with a name for everything in it. In a video of
one room a thing moves from panel to panel, and others come one after the other and are gone after
two frames: the number of frames with a thing carries no information on when it came.

Two rules keep a guess at chance. The answer is drawn uniformly from all answers that the same form
of question could have in this album (`choices`): a model that sees all pictures but mixes up their
numbers is right in one of them. And no thing is asked about twice, neither the one in question nor
those it was distinguished from: no answer can be derived from the text before it.
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

# kind of question: the sort of album in which it is asked
KINDS = {
    "single": "single",  # "Image 1 colour top-left?", of the only picture
    "look": "multi",  # "Image 2 colour top-left?", where other pictures have other answers
    "which": "multi",  # "Which image red?", of a word that fits one picture
    "same": "multi",  # "Same image 1 image 3 colour top-left?"
    "watch": "video",  # "Frame 3 where red?", where other frames have other answers
    "when": "video",  # "When red?": the first of the two frames in which it is seen
    "first": "video",  # "First red blue?"
}
SORTS = tuple(dict.fromkeys(KINDS.values()))
# words that are in no film of the world
ALBUM_WORDS = ("image", "frame", "which", "same", "different", "when", "first")
STAY = 2  # frames for which a guest is seen
GUESTS = 3  # a fourth panel is left to the thing that stays


@dataclass(frozen=True)
class AlbumQuestion:
    """Question and answer about an album, with the candidate answers."""

    kind: str  # one of KINDS
    asked: tuple[str, ...]
    answer: str
    choices: tuple[str, ...]  # candidates from which the answer was drawn uniformly

    @property
    def text(self) -> tuple[str, str]:
        """Question and answer as written in the sequence."""
        return f"{' '.join(self.asked).capitalize()}?", f"{self.answer.capitalize()}."


@dataclass(frozen=True)
class Album:
    """Pictures or video, one picture for every second of a script, with questions."""

    script: Script
    video: bool
    questions: tuple[AlbumQuestion, ...]

    def pictures(self, size: int) -> UInt8[np.ndarray, "pictures size size 3"]:
        """Rendered pictures of side `size` in pixels, without camera noise."""
        return render(self.script, np.arange(self.script.seconds), size)


def write_album(
    seed: int,
    config: AlbumConfig | None = None,
    world: WorldConfig | None = None,
    split: str = "train",
) -> Album:
    """Random album, determined by `seed` and split (`train` or `test`).

    Raises
    ------
    UsageError
        the split is another

    >>> album = write_album(2, AlbumConfig(fewest=3, videos=0.0))
    >>> album.questions[0].text, album.questions[0].choices
    (('Image 4 shape top-left?', 'Triangle.'), ('diamond', 'triangle'))
    """
    if split not in ("train", "test"):
        raise UsageError(f"split={split!r}: albums have the splits train and test")
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
    """Rooms of a video of up to `most` frames: one thing changes its panel, guests come and go."""
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
    """Place for a question: number of the picture, answer there, identity of the thing."""

    number: int
    answer: str
    thing: tuple


class _Variant(NamedTuple):
    """Variant of a form of question: `spends` are the things of which it gives information."""

    asked: tuple[str, ...]
    answer: str
    spends: frozenset
    choices: tuple[str, ...] = ()  # where they are not the answers of all variants


def _forms(rooms: tuple[Room, ...], video: bool) -> Iterator[tuple[str, list[_Variant]]]:
    """Forms of question with their kind and all variants that have an answer in these rooms."""
    places: dict[tuple[str, tuple[str, str]], list[_Place]] = defaultdict(list)
    for number, room in enumerate(rooms, 1):
        for thing in room.things:
            # in a video it is the same thing in every frame
            identity = (0 if video else number, thing.colour, thing.shape)
            for fact, asked, answer in seen(thing):
                places[fact, asked].append(_Place(number, answer, identity))

    kind = "single" if len(rooms) == 1 else "watch" if video else "look"
    picture = "frame" if video else "image"
    for (fact, asked), found in places.items():
        spends = frozenset(place.thing for place in found)
        choices = FACTS[fact][1] if kind == "single" else ()
        variants = [
            _Variant((picture, str(place.number), *asked), place.answer, spends, choices)
            for place in found
        ]
        yield kind, variants

    words = {asked[1]: found for (fact, asked), found in places.items() if fact == "position"}
    if video:
        yield from _times(words, len(rooms))
    elif len(rooms) > 1:
        once = {word: found[0] for word, found in words.items() if len(found) == 1}
        which = [
            _Variant(("which", "image", word), str(place.number), frozenset({place.thing}))
            for word, place in once.items()
        ]
        yield "which", which
        for (fact, asked), found in places.items():
            if fact != "position":
                yield "same", [_compared(a, b, asked) for a, b in combinations(found, 2)]


def _compared(a: _Place, b: _Place, asked: tuple[str, str]) -> _Variant:
    """Comparison question: whether two pictures have the same answer."""
    numbers = ("image", str(a.number), "image", str(b.number))
    answer = "same" if a.answer == b.answer else "different"
    return _Variant(("same", *numbers, *asked), answer, frozenset({a.thing, b.thing}))


def _times(words: dict[str, list[_Place]], frames: int) -> Iterator[tuple[str, list[_Variant]]]:
    """Temporal questions: the first frame of a guest, and the order of two."""
    came = {word: found[0] for word, found in words.items() if len(found) < frames}
    when = [
        _Variant(("when", word), str(place.number), frozenset({place.thing}))
        for word, place in came.items()
    ]
    yield "when", when

    order = []
    for (one, a), (other, b) in permutations(came.items(), 2):
        if a.number != b.number and (one in COLOURS) == (other in COLOURS):
            pair, spends = (one, other), frozenset({a.thing, b.thing})
            answer = one if a.number < b.number else other
            order.append(_Variant(("first", *pair), answer, spends, pair))
    yield "first", order


def _ask(
    rng: random.Random, rooms: tuple[Room, ...], video: bool, count: int
) -> tuple[AlbumQuestion, ...]:
    """Up to `count` random questions: kinds in turn, the answer first, then a variant with it."""
    forms = list(_forms(rooms, video))
    spent: set = set()
    asked: Counter[str] = Counter()
    chosen = []

    for _ in range(count):
        # forms that leave a choice of answers, without the things already asked about
        free = [(kind, [v for v in variants if not v.spends & spent]) for kind, variants in forms]
        free = [
            (kind, variants)
            for kind, variants in free
            if variants and (variants[0].choices or len({v.answer for v in variants}) > 1)
        ]
        if not free:
            break

        fewest = min(asked[kind] for kind, _ in free)
        kind = rng.choice(sorted({kind for kind, _ in free if asked[kind] == fewest}))
        variants = rng.choice([variants for other, variants in free if other == kind])
        answers = sorted({v.answer for v in variants})
        answer = rng.choice(answers)
        variant = rng.choice([v for v in variants if v.answer == answer])

        choices = variant.choices or tuple(answers)
        chosen.append(AlbumQuestion(kind, variant.asked, answer, choices))
        spent |= variant.spends
        asked[kind] += 1
    return tuple(chosen)
