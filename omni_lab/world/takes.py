"""Takes for the lessons on clocks and cuts: a clapperboard, and a guided tour with subtitles.

Film crews clap a board before a take: its flash and its click happen at one moment, so that any
slip between picture and sound can be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.clock import ticks
from omni_lab.world.dialogue import Line
from omni_lab.world.drawing import write_script
from omni_lab.world.film import audio_frames, encode, to_vtt, video_frames
from omni_lab.world.rendering import render
from omni_lab.world.voice import VOICES, speak

NTSC = Fraction(30_000, 1001)  # pictures a second of American television, and of many cameras
_CLICK_S = 0.002  # from the loudest moment of a click to its end
_TOUR = (  # seconds of silence before it, role, text
    (0.6, "guide", "Welcome to the gallery."),
    (0.3, "guide", "Please leave your bags at the door, and follow me to the first room."),
    (0.9, "visitor", "Is it all right to take pictures here?"),
    (0.3, "guide", "Of course, but without a flash."),
    (0.5, "guide", "In front of you hangs the oldest painting of the house."),
    (0.4, "guide", "Nobody knows who painted it, and nobody knows whom it shows."),
    (1.6, "visitor", "She looks as if she wanted to tell us something."),
    (0.4, "guide", "That is what everybody says."),
    (0.4, "guide", "Step to the left, and she seems to smile, step to the right, and the smile is gone."),
    (2.2, "guide", "The next room is darker, because old paper does not like the light."),
    (0.5, "visitor", "What are these small drawings?"),
    (0.3, "guide", "Plans for machines that were never built."),
    (0.4, "guide", "One of them was meant to fly."),
    (1.1, "visitor", "And did it?"),
    (0.5, "guide", "It flew for four seconds, straight into the river."),
    (0.7, "guide", "Thank you for coming, and mind the step."),
)  # fmt: skip
_SCENES_S = (0.0, 6.2, 16.5, 19.5, 27.9, 31.9, 38.0, 43.8)  # beginnings of the scenes
_LIGHT = (1.0, 0.75, 0.9, 0.6, 0.85, 0.4, 0.6, 1.0)  # brightness of each


def write_take(
    path: Path,
    pictures: Sequence[UInt8[np.ndarray, "height width 3"]],
    fps: Fraction | int,
    sound: Float32[np.ndarray, " samples"],
    rate: int,
    sound_from_s: float = 0.0,
    codec: str = "aac",
) -> Path:
    """Film from RGB pictures and mono sound in [-1, 1]; returns its path.

    Parameters
    ----------
    fps : pictures per second
    rate : samples per second
    sound_from_s : seconds without sound at the start; the first PTS of the sound says so
    codec : of the sound, as FFmpeg names it
    """
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(fps), options={"preset": "veryfast"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        audio.bit_rate = 32_000
        encode(container, video, video_frames(pictures))
        encode(container, audio, audio_frames(sound, rate, round(sound_from_s * rate)))
    return path


def clapperboard(
    path: Path, seconds: int = 6, sound_from_s: float = 0.0, codec: str = "aac"
) -> Path:
    """Film with a flash in the picture and a click in the sound in the middle of every second.

    Pictures come at the rate of NTSC, 30,000 in 1001 seconds; a flash begins with the picture
    nearest to its moment.

    Parameters
    ----------
    path : to write; the container is that of its suffix
    sound_from_s : seconds without sound at the start
    codec : of the sound
    """
    rate = 44_100
    dark, white = (np.full((72, 128, 3), grey, np.uint8) for grey in (40, 255))
    flashes = {round((second + Fraction(1, 2)) * NTSC) for second in range(seconds)}
    pictures = [white if n in flashes else dark for n in range(int(seconds * NTSC))]
    since = np.arange(seconds * rate) / rate % 1 - 0.5  # seconds from the middle of each second
    click = 0.8 * np.cos(2 * np.pi * 1500 * since) * np.clip(1 - np.abs(since) / _CLICK_S, 0, None)
    return write_take(path, pictures, NTSC, click.astype(np.float32), rate, sound_from_s, codec)


def guided_tour(path: Path) -> Path:
    """Film of a guide and a visitor in conversation, its scenes cut now and then in mid-sentence.

    Its WebVTT subtitles stand beside it.
    """
    sounds, lines, at = [], [], 0
    for pause_s, role, text in _TOUR:
        said = 0.6 * speak(text, VOICES[role], 160)
        at += ticks(pause_s)
        sounds.append((at, said))
        lines.append(Line(at, at + len(said), role, text))
        at += len(said)

    sound = np.zeros(-(-at // TICKS_PER_SECOND) * TICKS_PER_SECOND, np.float32)
    for start, said in sounds:
        sound[start : start + len(said)] = said

    walls = render(write_script(7, 2 * len(_SCENES_S)), 2.0 * np.arange(len(_SCENES_S)), 160)
    scenes = (walls * np.array(_LIGHT)[:, None, None, None]).astype(np.uint8)
    times = np.arange(0, len(sound) / TICKS_PER_SECOND, 0.1)
    shown = np.searchsorted(_SCENES_S, times, "right") - 1
    path.with_suffix(".vtt").write_text(to_vtt(lines), encoding="utf-8")
    return write_take(path, list(scenes[shown]), 10, sound, TICKS_PER_SECOND)
