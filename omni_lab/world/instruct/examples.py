"""Instruction examples of the gallery: captions, questions, comparisons, video order, speech.

Six tasks of very unequal kind, as instruction data have them (OmChat, Zhao et al. 2024: comparisons
of several images and questions about video among them). An example is a function of (task, split,
number). Its answer is drawn before its pictures, evenly over all that the question allows, so that
the question alone leaves a guess at chance.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from omni_lab.config import WorldConfig
from omni_lab.errors import UsageError
from omni_lab.world.captions.pictures import SHOWN, caption_of
from omni_lab.world.captions.pictures import draw_room as captioned_room
from omni_lab.world.drawing import draw_pairs, draw_thing
from omni_lab.world.instruct.words import ask_words
from omni_lab.world.questions import seen
from omni_lab.world.script import (
    COLOURS,
    MOTIONS,
    ROLES,
    SHAPES,
    SPOKEN,
    TEST_PITCHES,
    TEST_SPEEDS,
    TRAIN_PITCHES,
    TRAIN_SPEEDS,
    WALL_SHADES,
    Room,
    Sound,
    Thing,
)

# carriers of the answers of every task
TASKS = {
    "captions": ("image",),
    "vqa": ("image",),
    "compare": ("image",),
    "order": ("image",),
    "speech": ("audio",),
    "text": ("text",),
}
FRAMES = 3  # of a video
_LANES = {"across": ((0, 1), (2, 3)), "down": ((0, 2), (1, 3))}  # rows and columns of panels
_ALONG = {"across": ("right", "left", "still"), "down": ("down", "up", "still")}
_NAMED = WorldConfig(room_s=1, unnamed_colours=0.0, blobs=0.0, signs=0.0)


@dataclass(frozen=True)
class Example:
    """Instruction example: what is shown and heard, what is asked, and the answer.

    Parameters
    ----------
    rooms : a picture of each is shown, in order
    sound : heard before the question
    scored : of every word of the answer, whether it is examined
    """

    asked: tuple[str, ...]
    answer: tuple[str, ...]
    scored: tuple[bool, ...]
    rooms: tuple[Room, ...] = ()
    sound: Sound | None = None


def draw_example(task: str, split: str, number: int) -> Example:
    """Example `number` of a task, in the split `train` or `test`.

    >>> example = draw_example("order", "train", 0)
    >>> len(example.rooms), example.asked[0], len(example.answer)
    (3, 'motion', 1)

    Raises
    ------
    UsageError
        there is no such task, or no such split
    """
    if task not in TASKS or split not in ("train", "test"):
        right = f"tasks are {', '.join(TASKS)}, splits train and test"
        raise UsageError(f"instruction example of {task!r}, split {split!r}: {right}")
    if task == "captions":
        return _caption(split, number)
    rng = random.Random(f"instruct/{task}/{split}/{number}")
    draw = {"vqa": _question, "compare": _comparison, "order": _order, "speech": _speech}
    return draw[task](rng, split) if task in draw else _words(rng, split)


def _one(asked: tuple[str, ...], answer: str, *rooms: Room, sound: Sound | None = None) -> Example:
    """Example whose answer is one word."""
    return Example(asked, (answer,), (True,), rooms, sound)


def _caption(split: str, number: int) -> Example:
    """Caption of a picture, panel by panel; its colours and shapes are examined."""
    room = captioned_room(split, number)
    words = caption_of(room, number, 0.0)
    named = (*COLOURS, *SHAPES)
    scored = tuple(word.type == SHOWN and word.text in named for word in words)
    return Example(("position",), tuple(word.text for word in words), scored, (room,))


def _wall(rng: random.Random) -> tuple[int, int, int]:
    return (rng.randint(*WALL_SHADES),) * 3


def _things(rng: random.Random, cells: list[int]) -> list[Thing]:
    """Things with names of different colours and shapes, one in each of some panels."""
    pairs = draw_pairs(rng, len(cells), "train")
    return [draw_thing(rng, c, pair, 1, _NAMED) for c, pair in zip(cells, pairs, strict=True)]


def _question(rng: random.Random, split: str) -> Example:
    """Question about one picture: a colour or shape by its panel, a panel by its colour or shape."""
    cells = rng.sample(range(4), rng.randint(2, 3))
    things = _things(rng, cells)
    _, asked, answer = rng.choice(list(seen(rng.choice(things))))
    return _one(asked, answer, Room(_wall(rng), tuple(things), ()))


def _comparison(rng: random.Random, split: str) -> Example:
    """Comparison of two pictures: the colour or shape of the thing that is in the second alone.

    Two things stand in both: the second picture by itself leaves a guess among three.
    """
    things = _things(rng, rng.sample(range(4), 3))
    wall, asked = _wall(rng), rng.choice(("colour", "shape"))
    rooms = (Room(wall, tuple(things[1:]), ()), Room(wall, tuple(things), ()))
    return _one((asked, "absent"), getattr(things[0], asked), *rooms)


def _order(rng: random.Random, split: str) -> Example:
    """Video in which things move from panel to panel: which way the one that is named went."""
    motion = rng.choice(MOTIONS)
    way = next(w for w, along in _ALONG.items() if motion in along)
    if motion == "still":
        way = rng.choice(tuple(_ALONG))
    lanes = rng.sample(_LANES[way], 2)
    things = _things(rng, [0, 1])
    motions = (motion, rng.choice(_ALONG[way]))
    paths = [
        _path(rng, lane, along, way) for lane, along in zip(lanes, motions, strict=True)
    ]  # panels over frames
    wall = _wall(rng)
    shown = [
        Room(wall, tuple(replace(t, cell=p[n]) for t, p in zip(things, paths, strict=True)), ())
        for n in range(FRAMES)
    ]
    return _one(("motion", rng.choice((things[0].colour, things[0].shape))), motion, *shown)


def _path(rng: random.Random, lane: tuple[int, int], motion: str, way: str) -> list[int]:
    """Panel of a thing in every frame, on a lane of two panels."""
    if motion == "still":
        return [rng.choice(lane)] * FRAMES
    first, second = lane if motion == _ALONG[way][0] else lane[::-1]
    moves = rng.randint(1, FRAMES - 1)
    return [first] * moves + [second] * (FRAMES - moves)


def _speech(rng: random.Random, split: str) -> Example:
    """Spoken word to be written; the voices of tests are others than those of training."""
    train = split == "train"
    speeds, pitches = (
        (TRAIN_SPEEDS, TRAIN_PITCHES) if train else (TEST_SPEEDS, TEST_PITCHES)
    )  # fmt: skip
    word = rng.choice(SPOKEN)
    sound = Sound(
        rng.uniform(0.03, 0.2), word, rng.choice(ROLES), rng.choice(speeds), rng.choice(pitches),
        gain=rng.uniform(0.35, 0.9),
    )  # fmt: skip
    return _one(("word", "said"), word, sound=sound)


def _words(rng: random.Random, split: str) -> Example:
    """Question on words alone."""
    return _one(*ask_words(rng, split))
