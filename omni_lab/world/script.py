"""The script of a gallery film: rooms, things, sounds, notes and what is asked about them.

A room lasts a few seconds. It has a 2 × 2 wall of panels (cells); things stand in panels and, in the middle of every
second, hop left, right, up or down inside their panel or rest. A thing stands on one of four corners of its panel, from
which only one sideways hop, one upright hop or a rest is possible: one picture alone allows a third on motion.
Every second a voice (the guide's or the visitor's) says one word, or something beeps one to four times.
Some rooms have a sign with two digits, some a note that exists in the subtitles alone.

Everything is drawn from `random.Random(seed)`, so a seed and a config name a film exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass, replace

from omni_lab.config import WorldConfig
from omni_lab.errors import CallFault

CELLS = ("top-left", "top-right", "bottom-left", "bottom-right")
COLOURS = {
    "red": (214, 39, 40),
    "orange": (255, 140, 20),
    "yellow": (238, 214, 30),
    "green": (44, 160, 60),
    "cyan": (40, 196, 214),
    "blue": (40, 80, 205),
    "purple": (140, 60, 180),
    "black": (28, 28, 32),
}
WALL_SHADES = (185, 240)  # darkest and lightest grey
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
OTHER_WORDS = ("apple", "bridge", "garden", "lemon", "music", "river", "silver", "winter")
SPOKEN = (*COLOURS, *SHAPES, *OTHER_WORDS)
MOTIONS = ("left", "right", "up", "down", "still")
COUNTS = ("one", "two", "three", "four")
ROLES = ("guide", "visitor")
SPLITS = ("train", "test", "held_out")
HELD_OUT_PAIRS = frozenset((c, SHAPES[(3 * i + 5) % 8]) for i, c in enumerate(COLOURS))

# Speaking speeds (words per minute) and pitches (espeak units): the test voices lie between the trained ones.
TRAIN_SPEEDS, TRAIN_PITCHES = (130, 150, 170, 190), (35, 45, 55, 65)
TEST_SPEEDS, TEST_PITCHES = (140, 160, 180), (40, 50, 60)


@dataclass(frozen=True)
class Thing:
    """A coloured shape in one panel: `corners[s]` is where it stands when second `s` of its room begins."""

    cell: int
    colour: str | None  # None: a colour without a name, never asked about
    shape: str | None  # None: a blob, never asked about
    rgb: tuple[int, int, int]
    corners: tuple[int, ...]

    def motion(self, second: int) -> str:
        """The word for its hop in `second` of its room."""
        before, after = self.corners[second], self.corners[second + 1]
        if before == after:
            return "still"
        if (before ^ after) == 1:
            return "right" if after & 1 else "left"
        return "down" if after & 2 else "up"

    @property
    def held_out(self) -> bool:
        """Whether its colour and shape never meet in training."""
        return (self.colour, self.shape) in HELD_OUT_PAIRS


@dataclass(frozen=True)
class Sign:
    """A board with two digits to read."""

    cell: int
    digits: str


@dataclass(frozen=True)
class Sound:
    """What is heard in one second: a spoken word, or beeps."""

    at_s: float  # onset, seconds from the second's start
    word: str | None = None
    role: str = "guide"  # whose voice
    speed: int = 150  # words per minute
    pitch: int = 50  # espeak's 0–99
    beeps: int = 0
    tone_hz: float = 880.0
    gain: float = 0.5


@dataclass(frozen=True)
class Room:
    """A few seconds in front of one wall."""

    wall: tuple[int, int, int]
    things: tuple[Thing, ...]
    sounds: tuple[Sound, ...]  # one per second
    sign: Sign | None = None
    note: str | None = None  # a word that only the subtitles carry

    def find(self, colour: str | None = None, shape: str | None = None) -> Thing | None:
        """The thing of that colour or that shape, if there is one."""
        for thing in self.things:
            if (colour is not None and thing.colour == colour) or (shape is not None and thing.shape == shape):
                return thing
        return None


@dataclass(frozen=True)
class Question:
    """One exchange: the visitor asks, the guide answers; `carriers` are the senses the answer needs."""

    fact: str
    second: int  # of the film
    asked: tuple[str, ...]
    answer: tuple[str, ...]
    carriers: tuple[str, ...]
    held_out: bool = False


@dataclass(frozen=True)
class Script:
    """A whole film: the truth that pixels, sound and subtitles are rendered from."""

    seed: int
    split: str
    room_s: int
    rooms: tuple[Room, ...]
    questions: tuple[Question, ...]
    muted: frozenset[str] = frozenset()  # senses that are silenced: grey pictures, no sound, no notes

    @property
    def seconds(self) -> int:
        """Length of the film."""
        return len(self.rooms) * self.room_s

    def sound(self, second: int) -> Sound:
        """What is heard in that second of the film."""
        return self.rooms[second // self.room_s].sounds[second % self.room_s]


def _unnamed_rgb(rng: random.Random) -> tuple[int, int, int]:
    """A colour at a clear distance from every named one, and from every wall: what stands there can be seen."""
    others = (*COLOURS.values(), *((shade,) * 3 for shade in range(WALL_SHADES[0], WALL_SHADES[1] + 1, 5)))
    while True:
        rgb = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        if all(math.dist(rgb, other) > 75 for other in others):
            return rgb


def draw_thing(rng: random.Random, cell: int, pair: tuple[str, str], seconds: int, config: WorldConfig) -> Thing:
    """Draw how the thing of that colour and shape looks and hops in so many seconds; its name may be withheld."""
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
    """Draw colour–shape pairs, no colour and no shape twice; exactly one held-out pair where the split is held_out."""
    held = sorted(HELD_OUT_PAIRS)
    pairs = [rng.choice(held)] if split == "held_out" else []
    while len(pairs) < count:
        pair = (rng.choice(tuple(COLOURS)), rng.choice(SHAPES))
        if pair not in HELD_OUT_PAIRS and all(pair[0] != c and pair[1] != s for c, s in pairs):
            pairs.append(pair)
    return pairs


def _sound(rng: random.Random, named: list[str], split: str, config: WorldConfig) -> Sound:
    if rng.random() < config.beeps:
        count = rng.randint(1, 4)
        return Sound(rng.uniform(0.03, 0.2), beeps=count, tone_hz=rng.uniform(500, 1500), gain=rng.uniform(0.2, 0.5))
    word = rng.choice(named) if named and rng.random() < 0.75 else rng.choice(SPOKEN)
    speeds, pitches = (TRAIN_SPEEDS, TRAIN_PITCHES) if split == "train" else (TEST_SPEEDS, TEST_PITCHES)
    return Sound(
        rng.uniform(0.03, 0.2), word, rng.choice(ROLES), rng.choice(speeds), rng.choice(pitches),
        gain=rng.uniform(0.35, 0.9),
    )  # fmt: skip


def draw_room(rng: random.Random, split: str, config: WorldConfig) -> Room:
    """Draw a room: its wall, two to four things, a sign or none, sounds and a note or none."""
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
    """Write the film named by `seed`: `seconds` long (a whole number of rooms), its questions included.

    `split` is `train`, `test` (the same kind of rooms, voices never heard) or `held_out` (a colour–shape pair never
    seen in every room). `calm` asks one question a second, slow enough to be read. Only what `senses` carry is asked
    about.
    """
    from omni_lab.world.questions import ask

    config = config or WorldConfig()
    if split not in SPLITS:
        raise CallFault(f"split={split!r}: use one of {', '.join(SPLITS)}")
    if seconds < config.room_s or seconds % config.room_s:
        raise CallFault(f"seconds={seconds}: a film is a whole number of rooms of {config.room_s} s")
    rng = random.Random(f"{split}/{seed}")
    rooms = tuple(draw_room(rng, split, config) for _ in range(seconds // config.room_s))
    per_second = 1 if calm else config.questions_per_second
    questions = tuple(
        replace(question, second=index * config.room_s + question.second)
        for index, room in enumerate(rooms)
        for question in ask(room, rng, per_second, senses)
    )
    return Script(seed, split, config.room_s, rooms, questions)
