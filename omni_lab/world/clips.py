"""From a script straight to the triplet that its film would give: the array path that training takes."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from omni_lab.config import TICKS_PER_SECOND, WorldConfig
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.record import Triplet
from omni_lab.world.dialogue import dialogue, facts
from omni_lab.world.questions import captions
from omni_lab.world.rendering import render
from omni_lab.world.script import COUNTS, Script
from omni_lab.world.voice import soundtrack

_POOL = 1 << 22


@functools.lru_cache(maxsize=1)
def _noise() -> Float32[np.ndarray, " samples"]:
    """A pool of standard normal noise: cutting a piece at a random place costs less than drawing a new one."""
    return np.random.default_rng(0).standard_normal(_POOL, dtype=np.float32)


def _piece(count: int, rng: random.Random) -> Float32[np.ndarray, " samples"]:
    """Cut so many samples of noise out of the pool, at a random place."""
    pool = _noise() if count < _POOL else np.resize(_noise(), count + 1)
    start = rng.randrange(len(pool) - count)
    return pool[start : start + count]


def grain(
    frames: UInt8[np.ndarray, "n h w 3"], level: float, rng: random.Random
) -> UInt8[np.ndarray, "n h w 3"]:
    """Add the camera's noise: `level` is its standard deviation, as a share of full scale."""
    noisy = frames + 255 * level * _piece(frames.size, rng).reshape(frames.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def hiss(
    audio: Float32[np.ndarray, " samples"], level: float, rng: random.Random
) -> Float32[np.ndarray, " samples"]:
    """Add the room's noise at a random loudness around `level` (standard deviation, share of full scale)."""
    return audio + level * rng.uniform(0.2, 1.5) * _piece(len(audio), rng)


def from_script(
    script: Script,
    size: int,
    world: WorldConfig | None = None,
    frames_per_second: float = 2.0,
    noisy: bool = True,
    senses: tuple[str, ...] = ("image", "audio", "text"),
) -> Triplet:
    """Make the triplet of a whole scripted film, without writing the film.

    `size` is the side of its frames in pixels. `noisy` adds the camera's and the room's noise of `world`. Where
    `senses` leaves one out, the exchanges that need it are left out too.
    """
    world = world or WorldConfig()
    rng = random.Random(f"noise/{script.split}/{script.seed}")
    times = (
        np.arange(round(script.seconds * frames_per_second)) + 0.5
    ) / frames_per_second  # as extraction samples
    frames, audio = np.zeros((0, size, size, 3), np.uint8), np.zeros(0, np.float32)
    if "image" in senses:
        frames = render(script, times, size)
        frames = grain(frames, world.image_noise, rng) if noisy else frames
    if "audio" in senses:
        audio = soundtrack(script)
        audio = hiss(audio, world.audio_noise, rng) if noisy else audio
    exchanges = [lines for lines, carriers in dialogue(script) if set(carriers) <= set(senses)]
    cues = tuple(
        Cue(x.start, x.end, x.text, x.role, "prefix") for exchange in exchanges for x in exchange
    )
    return Triplet(
        source_id=f"world-{script.split}-{script.seed}",
        start=0,
        end=script.seconds * TICKS_PER_SECOND,
        frames=frames,
        frame_times=np.round(times * TICKS_PER_SECOND).astype(np.int64)[: len(frames)],
        audio=audio,
        cues=cues,
        has=frozenset(senses),
        facts=tuple(fact for fact in facts(script) if set(fact["carriers"]) <= set(senses)),
    )


def described(clip: Triplet, script: Script, second: int, carrier: str, order: int = 0) -> Triplet:
    """One second of a script's clip with a description of what one sense carries: a pair for unimodal training.

    `carrier` is `image` (a caption; see `captions` for `order`) or `audio` (who speaks and which word, or how many
    beeps); the other sense is left out.
    """
    part = clip.window(second * TICKS_PER_SECOND, (second + 1) * TICKS_PER_SECOND)
    if carrier == "image":
        said = captions(script.rooms[second // script.room_s], second % script.room_s, order)
        text = ", ".join(f"{first} {then}" for first, then in said) + "."
        part = replace(part, audio=part.audio[:0])
    else:
        sound = script.sound(second)
        text = f"{sound.role} {sound.word}." if sound.word else f"Beeps {COUNTS[sound.beeps - 1]}."
        part = replace(part, frames=part.frames[:0], frame_times=part.frame_times[:0])
    cue = Cue(0, TICKS_PER_SECOND, text, "guide")
    return replace(part, cues=(cue,), has=frozenset({carrier, "text"}), facts=())
