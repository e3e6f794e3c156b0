"""Captioned pictures of the gallery with wrong words planted in them, and the truth of every word.

Words are of the three types of selective visual language modelling (OmChat, Zhao et al. 2024): 1
says what the picture shows (a colour, a shape, that a panel is empty), 2 follows from the words
before (panels come in one order), 3 contradicts the picture. Picture, caption and wrong words of a
number are the same in every set that has it.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from omni_lab.config import WorldConfig
from omni_lab.world.drawing import draw_pairs, draw_thing
from omni_lab.world.rendering import render
from omni_lab.world.script import CELLS, COLOURS, SHAPES, WALL_SHADES, Room, Script

SHOWN, FOLLOWS, WRONG = 1, 2, 3  # types of a word
EMPTY = "nothing"
_NAMED = WorldConfig(room_s=1, unnamed_colours=0.0, blobs=0.0, signs=0.0)
_KIND = {word: kind for kind in (tuple(COLOURS), SHAPES) for word in kind}


class Word(NamedTuple):
    """Word of a caption, its type, and what the picture shows there."""

    text: str
    type: int
    true: str


def draw_room(split: str, number: int) -> Room:
    """Room of a picture: two or three coloured things in four panels."""
    rng = random.Random(f"captions/{split}/{number}")
    count = rng.randint(2, 3)
    placed = zip(rng.sample(range(4), count), draw_pairs(rng, count, "train"), strict=True)
    things = tuple(draw_thing(rng, cell, pair, 1, _NAMED) for cell, pair in placed)
    return Room((rng.randint(*WALL_SHADES),) * 3, things, ())


def caption_of(room: Room, number: int, wrong: float) -> list[Word]:
    """Caption of a room, panel by panel, with a fraction of its colours and shapes replaced.

    A wrong word is another one of its kind. A word that is wrong at some fraction is so at every
    larger one.

    >>> [w.text for w in caption_of(draw_room("train", 1), 1, 0.0)][:3]
    ['top-left', 'nothing', 'top-right']
    """
    rng = random.Random(f"wrong/{number}")
    in_cell = {thing.cell: (thing.colour, thing.shape) for thing in room.things}
    words = []
    for cell, name in enumerate(CELLS):
        words.append(Word(name, FOLLOWS, name))
        for true in in_cell.get(cell, (EMPTY,)):
            luck, other = rng.random(), rng.random()
            if true != EMPTY and luck < wrong:
                others = [word for word in _KIND[true] if word != true]
                words.append(Word(others[int(other * len(others))], WRONG, true))
            else:
                words.append(Word(true, SHOWN, true))
    return words


def drawn(
    rooms: list[Room], split: str, first: int, size: int, noise: float
) -> UInt8[np.ndarray, "pictures S S 3"]:
    """Pictures of rooms, side `size` in pixels, with the camera's noise (deviation, of 1)."""
    script = Script(first, split, 1, tuple(rooms), ())
    pictures = render(script, np.arange(len(rooms)), size)
    rng = np.random.default_rng([first, len(rooms), split == "test"])
    grain = rng.normal(0, 255 * noise, pictures.shape)
    return np.clip(np.round(pictures + grain), 0, 255).astype(np.uint8)
