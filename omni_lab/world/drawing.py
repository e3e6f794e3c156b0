"""Random script generation from a seed: rooms, things, sounds and questions."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import replace

from omni_lab.config import WorldConfig
from omni_lab.errors import UsageError
from omni_lab.world.questions import ask
from omni_lab.world.script import (
    COLOURS,
    HELD_OUT_PAIRS,
    ROLES,
    SHAPES,
    SPLITS,
    SPOKEN,
    TEST_PITCHES,
    TEST_SPEEDS,
    TRAIN_PITCHES,
    TRAIN_SPEEDS,
    WALL_SHADES,
    Room,
    Script,
    Sign,
    Sound,
    Thing,
)

NAMED = 0.75  # of spoken words name something in their room


def _unnamed_rgb(rng: random.Random) -> tuple[int, int, int]:
    """Random colour far from every named one, and from every wall so as to be visible."""
    others = (
        *COLOURS.values(),
        *((shade,) * 3 for shade in range(WALL_SHADES[0], WALL_SHADES[1] + 1, 5)),
    )
    while True:
        rgb = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        if all(math.dist(rgb, other) > 75 for other in others):
            return rgb


def draw_thing(
    rng: random.Random, cell: int, pair: tuple[str, str], seconds: int, config: WorldConfig
) -> Thing:
    """Random thing of a (colour, shape) pair: its shade, and its hops over `seconds`.

    With the odds of `config` its colour or its shape is one without a name.
    """
    colour, shape = pair
    if (colour, shape) not in HELD_OUT_PAIRS:
        draw = rng.random()
        if draw < config.unnamed_colours:
            colour = None
        elif draw < config.unnamed_colours + config.blobs:
            shape = None
    base = COLOURS[colour] if colour else _unnamed_rgb(rng)
    rgb = tuple(min(255, max(0, round(v + rng.gauss(0, 6)))) for v in base)
    corners = [rng.randrange(4)]
    for _ in range(seconds):
        corners.append(corners[-1] ^ rng.choice((0, 1, 2)))
    return Thing(cell, colour, shape, rgb, tuple(corners))


def draw_pairs(rng: random.Random, count: int, split: str) -> list[tuple[str, str]]:
    """Random colour–shape pairs, no colour and no shape twice; one held-out pair in its split."""
    held = sorted(HELD_OUT_PAIRS)
    pairs = [rng.choice(held)] if split == "held_out" else []
    while len(pairs) < count:
        pair = (rng.choice(tuple(COLOURS)), rng.choice(SHAPES))
        if pair not in HELD_OUT_PAIRS and all(pair[0] != c and pair[1] != s for c, s in pairs):
            pairs.append(pair)
    return pairs


def _sound(rng: random.Random, named: list[str], split: str, config: WorldConfig) -> Sound:
    """Random sound of a second: beeps, or a word in a voice of the split."""
    if rng.random() < config.beeps:
        count = rng.randint(1, 4)
        return Sound(
            rng.uniform(0.03, 0.2),
            beeps=count,
            tone_hz=rng.uniform(500, 1500),
            gain=rng.uniform(0.2, 0.5),
        )
    word = rng.choice(named) if named and rng.random() < NAMED else rng.choice(SPOKEN)
    speeds, pitches = (
        (TRAIN_SPEEDS, TRAIN_PITCHES) if split == "train" else (TEST_SPEEDS, TEST_PITCHES)
    )
    return Sound(
        rng.uniform(0.03, 0.2), word, rng.choice(ROLES), rng.choice(speeds), rng.choice(pitches),
        gain=rng.uniform(0.35, 0.9),
    )  # fmt: skip


def draw_room(rng: random.Random, split: str, config: WorldConfig) -> Room:
    """Random room: its wall, two to four things, a sign or none, sounds, and a note or none."""
    seconds = config.room_s
    cells = rng.sample(range(4), 4)
    sign = Sign(cells.pop(), f"{rng.randrange(100):02d}") if rng.random() < config.signs else None
    count = rng.randint(2, len(cells))
    placed = zip(cells[:count], draw_pairs(rng, count, split), strict=True)
    things = tuple(draw_thing(rng, cell, pair, seconds, config) for cell, pair in placed)
    named = [w for t in things if t.colour and t.shape for w in (t.colour, t.shape)]
    shade = rng.randint(*WALL_SHADES)
    wall = tuple(min(255, shade + rng.randint(-12, 12)) for _ in range(3))
    sounds = tuple(_sound(rng, named, split, config) for _ in range(seconds))
    note = rng.choice(SPOKEN) if rng.random() < 0.3 else None
    return Room(wall, things, sounds, sign, note)


def write_script(
    seed: int,
    seconds: int,
    config: WorldConfig | None = None,
    split: str = "train",
    calm: bool = False,
    senses: Collection[str] = ("image", "audio", "text"),
) -> Script:
    """Random script of a film, determined by `seed` and `config`, questions included.

    Parameters
    ----------
    seconds : length, a whole number of rooms
    split : `train`, `test` (the same kind of rooms, unheard voices) or `held_out` (an unseen
        colour–shape pair in every room)
    calm : one question a second, slow enough to be read
    senses : modalities that questions may need

    Raises
    ------
    UsageError
        the split is unknown, or `seconds` is no multiple of a room
    """
    config = config or WorldConfig()
    if split not in SPLITS:
        raise UsageError(f"split={split!r}: use one of {', '.join(SPLITS)}")
    if seconds < config.room_s or seconds % config.room_s:
        right = f"a film is a whole number of rooms of {config.room_s} s"
        raise UsageError(f"seconds={seconds}: {right}")

    rng = random.Random(f"{split}/{seed}")
    rooms = tuple(draw_room(rng, split, config) for _ in range(seconds // config.room_s))
    per_second = 1 if calm else config.questions_per_second
    questions = tuple(
        replace(question, second=index * config.room_s + question.second)
        for index, room in enumerate(rooms)
        for question in ask(room, rng, per_second, senses, config.asked)
    )
    return Script(seed, split, config.room_s, rooms, questions)
