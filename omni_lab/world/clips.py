"""Synthetic triplets straight from a script: frames, audio and cues without a film file.

Training takes this path; the film of the same script gives the same triplet through extraction.
"""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from omni_lab.config import TICKS_PER_SECOND, WorldConfig
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.record import Triplet
from omni_lab.world.dialogue import caption, facts, spoken_with
from omni_lab.world.rendering import render
from omni_lab.world.script import Script
from omni_lab.world.voice import soundtrack

_POOL = 1 << 22


@functools.lru_cache(maxsize=1)
def _noise() -> Float32[np.ndarray, " samples"]:
    """Pool of standard normal noise: a piece at a random place costs less than a new draw."""
    return np.random.default_rng(0).standard_normal(_POOL, dtype=np.float32)


def _piece(count: int, rng: random.Random) -> Float32[np.ndarray, " samples"]:
    """Piece of `count` noise samples from a random place of the pool."""
    pool = _noise() if count < _POOL else np.resize(_noise(), count + 1)
    start = rng.randrange(len(pool) - count)
    return pool[start : start + count]


def grain(
    frames: UInt8[np.ndarray, "frames height width 3"], level: float, rng: random.Random
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Additive Gaussian image noise of a camera: `level` is its deviation as a fraction of 255."""
    noisy = frames + 255 * level * _piece(frames.size, rng).reshape(frames.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def hiss(
    audio: Float32[np.ndarray, " samples"], level: float, rng: random.Random
) -> Float32[np.ndarray, " samples"]:
    """Additive Gaussian audio noise of a room: `level` is its typical deviation, full scale 1."""
    return audio + level * rng.uniform(0.2, 1.5) * _piece(len(audio), rng)


def without_rooms(media: np.ndarray, script: Script, sense: str, fraction: float) -> np.ndarray:
    """Media in which whole rooms are lost: noise alone, from which nothing can be known.

    So the best accuracy that is possible is known: 1 where nothing is lost, a guess elsewhere.

    Parameters
    ----------
    media : frames (uint8) or samples (float32) of the whole script, at an even rate
    sense : "image" or "audio"
    fraction : of rooms that are lost
    """
    if not fraction:
        return media
    rng = random.Random(f"lost/{sense}/{script.split}/{script.seed}")
    out, of_room = media.copy(), len(media) // len(script.rooms)
    for room in range(len(script.rooms)):
        if rng.random() < fraction:
            here = out[room * of_room : (room + 1) * of_room]
            noise = _piece(here.size, rng).reshape(here.shape)
            here[:] = np.clip(128 + 64 * noise, 0, 255) if sense == "image" else 0.1 * noise
    return out


def from_script(
    script: Script,
    size: int,
    world: WorldConfig | None = None,
    frames_per_second: float = 2.0,
    noisy: bool = True,
    senses: tuple[str, ...] = ("image", "audio", "text"),
) -> Triplet:
    """Triplet of a whole scripted film, without a film file.

    Parameters
    ----------
    size : picture side, pixels
    frames_per_second : Hz
    noisy : with the camera's and the room's noise of `world`
    senses : modalities of the triplet; exchanges that need another one are left out
    """
    world = world or WorldConfig()
    rng = random.Random(f"noise/{script.split}/{script.seed}")
    # the middle of each interval, as extraction samples a film
    times = (np.arange(round(script.seconds * frames_per_second)) + 0.5) / frames_per_second

    frames, audio = np.zeros((0, size, size, 3), np.uint8), np.zeros(0, np.float32)
    if "image" in senses:
        frames = render(script, times, size)
        frames = grain(frames, world.image_noise, rng) if noisy else frames
        frames = without_rooms(frames, script, "image", world.image_lost)
    if "audio" in senses:
        audio = soundtrack(script)
        audio = hiss(audio, world.audio_noise, rng) if noisy else audio
        audio = without_rooms(audio, script, "audio", world.audio_lost)

    cues = tuple(Cue(x.start, x.end, x.text, x.role, "prefix") for x in spoken_with(script, senses))

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
    """Unimodal caption pair: one second of a script's clip, and a description of one modality.

    `carrier` is `image` or `audio` (see `caption`); the other modality is left out.
    """
    part = clip.window(second * TICKS_PER_SECOND, (second + 1) * TICKS_PER_SECOND)
    if carrier == "image":
        part = replace(part, audio=part.audio[:0])
    else:
        part = replace(part, frames=part.frames[:0], frame_times=part.frame_times[:0])
    cue = Cue(0, TICKS_PER_SECOND, caption(script, second, carrier, order), "guide")
    return replace(part, cues=(cue,), has=frozenset({carrier, "text"}), facts=())
