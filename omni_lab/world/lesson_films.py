"""Lesson films: what the gallery's lessons teach, as film files with subtitles.

The lessons of a stage are streams with questions and answers, and captions. On film both are
subtitles: some films are asked about, others described. `omni-lab triplets build` and
`omni-lab train` then treat them as anyone's films.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND, WorldConfig
from omni_lab.progress import tracked
from omni_lab.world.dialogue import Line, caption, dialogue, spoken_with
from omni_lab.world.drawing import write_script
from omni_lab.world.film import write_film
from omni_lab.world.gallery_lessons import DESCRIBING, FINDING, MOVING
from omni_lab.world.script import Script

SIZE = 96  # pixels, twice the tiny model's
FRAME_RATE = 8  # Hz
LENGTH = 64  # of one film, s
PAUSE = 160  # ticks between two captions
SEEN, HEARD, ALL = ("image", "text"), ("audio", "text"), ("image", "audio", "text")


class FilmKind(NamedTuple):
    """One kind of lesson film: its modalities and its subtitles."""

    senses: tuple[str, ...]
    lines: Callable[[Script], list[Line]]


def _described(carrier: str, orders: tuple[int, ...] = (0,)) -> Callable[[Script], list[Line]]:
    """Subtitles that describe every second, with orders that take turns."""

    def lines(script: Script) -> list[Line]:
        found = []
        for second in range(script.seconds):
            order = orders[(script.seed + second) % len(orders)]
            start, end = second * TICKS_PER_SECOND, (second + 1) * TICKS_PER_SECOND - PAUSE
            found.append(Line(start, end, "guide", caption(script, second, carrier, order)))
        return found

    return lines


def _by_ear(script: Script) -> list[Line]:
    """Subtitles that ask only for what is seen and named by a heard word."""
    return [
        line
        for exchange, carriers in dialogue(script)
        if {"image", "audio"} <= set(carriers)
        for line in exchange
    ]


KINDS = {
    "asked_seen": FilmKind(SEEN, lambda script: spoken_with(script, SEEN)),
    "found": FilmKind(SEEN, _described("image", FINDING)),
    "moved": FilmKind(SEEN, _described("image", MOVING)),
    "described": FilmKind(SEEN, _described("image", DESCRIBING)),
    "asked_heard": FilmKind(HEARD, lambda script: spoken_with(script, HEARD)),
    "named": FilmKind(HEARD, _described("audio")),
    "asked": FilmKind(ALL, lambda script: spoken_with(script, ALL)),
    "by_ear": FilmKind(ALL, _by_ear),
}


def write_lesson_films(
    folder: Path, kind: str, seconds: int, world: WorldConfig, length: int = LENGTH, first: int = 0
) -> int:
    """Lesson films of one kind, `kind-000000.mp4` and so on; how many.

    Parameters
    ----------
    kind : one of `KINDS`
    seconds : of all films together; films without a subtitle are left out
    length : of one film, s
    first : seed of the first film; kinds and films have scenes of their own
    """
    senses, lines = KINDS[kind]
    count = -(-seconds // length)
    seed = (1 + [*KINDS].index(kind)) * 1_000_000_000 + first
    written = 0
    for number in tracked(range(count), f"films {kind}", "film", count):
        script = write_script(seed + number, length, world, senses=senses)
        if not (shown := lines(script)):
            continue
        write_film(
            script, folder / f"{kind}-{number:06}.mp4", SIZE, FRAME_RATE, crf=16,
            grain=world.image_noise, hiss=world.audio_noise, senses=senses, lines=shown,
        )  # fmt: skip
        written += 1
    return written
