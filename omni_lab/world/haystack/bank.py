"""Needle-in-a-haystack material: sentences, bank of pictures, and needles for both.

The text needle is one visitor's sentence ("Ada says river."), among sentences about the gallery in
which that name does not occur. The visual needle is a thing whose shape no other frame of its film
shows; its colour is only in the picture (`what`), and its time only in the time mark before it
(`when`). Marks are single words, as the time tokens of Whisper (Radford et al. 2022) and Vid2Seq
(Yang et al. 2023).
"""

from __future__ import annotations

import functools
import random
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from omni_lab.config import WorldConfig
from omni_lab.world.drawing import draw_pairs, draw_thing
from omni_lab.world.rendering import render
from omni_lab.world.script import (
    CELLS,
    COLOURS,
    COUNTS,
    MOTIONS,
    ROLES,
    SHAPES,
    SPOKEN,
    WALL_SHADES,
    Room,
    Script,
)

NAMES = (
    "ada", "amir", "aya", "ben", "chen", "clara", "diego", "emil", "fatima", "greta", "hana",
    "igor", "jonas", "kofi", "leila", "mei", "noor", "olga", "paul", "rosa", "sami", "tara",
    "yusuf", "zoe",
)  # fmt: skip
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# hours of a film's clock
MARKS = tuple(f"{_DIGITS[hour // 10]}-{_DIGITS[hour % 10]}" for hour in range(24))
HAYSTACK_WORDS = (*NAMES, *MARKS, "says", "when", "colour", "beeps", "moves", "sign")


def needle(name: str, word: str) -> str:
    """Text needle: the sentence of one visitor.

    >>> needle("ada", "river")
    'Ada says river.'
    """
    return f"{name.capitalize()} says {word}."


@functools.cache
def sentences(split: str) -> tuple[str, ...]:
    """Filler sentences of a split, without visitors' names; a fifth of all are for tests alone."""
    made = [
        f"{colour.capitalize()} {shape} {cell}."
        for colour in COLOURS
        for shape in SHAPES
        for cell in CELLS
    ]
    made += [
        f"{word.capitalize()} moves {motion}." for word in (*COLOURS, *SHAPES) for motion in MOTIONS
    ]
    made += [f"{role.capitalize()} says {word}." for role in ROLES for word in SPOKEN]
    made += [f"{count.capitalize()} beeps." for count in COUNTS] + [
        f"Sign {number:02d}." for number in range(100)
    ]
    random.Random("haystack").shuffle(made)
    fifth = len(made) // 5
    return tuple(made[:fifth] if split == "test" else made[fifth:])


class Bank(NamedTuple):
    """Bank of pictures of one thing each, from which films are composed, with their labels."""

    frames: UInt8[np.ndarray, "pictures S S 3"]
    shape: Int64[np.ndarray, " pictures"]  # index into SHAPES
    colour: Int64[np.ndarray, " pictures"]  # index into COLOURS


def draw_bank(seed: int, count: int, size: int, world: WorldConfig, split: str = "train") -> Bank:
    """Random bank of `count` noisy pictures of side `size` in pixels, one thing in each."""
    rng = random.Random(f"bank/{split}/{seed}")
    named = WorldConfig(room_s=1, unnamed_colours=0.0, blobs=0.0, signs=0.0)
    rooms, shape, colour = [], [], []
    for _ in range(count):
        (pair,) = draw_pairs(rng, 1, split)
        shade = rng.randint(*WALL_SHADES)
        rooms.append(Room((shade,) * 3, (draw_thing(rng, rng.randrange(4), pair, 1, named),), ()))
        colour.append(tuple(COLOURS).index(pair[0]))
        shape.append(SHAPES.index(pair[1]))
    script = Script(seed, split, 1, tuple(rooms), ())
    pictures = render(script, np.arange(count), size)
    noise = np.random.default_rng([seed, count, split == "test"]).normal(
        0, 255 * world.image_noise, pictures.shape
    )
    noisy = np.clip(np.round(pictures + noise), 0, 255).astype(np.uint8)
    return Bank(noisy, np.array(shape), np.array(colour))
