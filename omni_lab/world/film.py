"""Film writer for scripts: H.264 + AAC in MP4, SRT and WebVTT subtitles, ground truth in JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import UsageError
from omni_lab.progress import tracked
from omni_lab.world.dialogue import Line, facts, spoken_with
from omni_lab.world.rendering import HOP_END_S, HOP_START_S, render
from omni_lab.world.script import Script
from omni_lab.world.voice import soundtrack

if TYPE_CHECKING:
    from av import AudioFrame, VideoFrame
    from av.container import OutputContainer

_AUDIO_RATE = 48_000


def _stamp(ticks: int, mark: str) -> str:
    """Timestamp HH:MM:SS and milliseconds of a tick, with the format's decimal mark."""
    milliseconds = round(ticks * 1000 / TICKS_PER_SECOND)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return (
        f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{milliseconds:03d}"
    )


def _span(line: Line, mark: str) -> str:
    """Time span of a subtitle line."""
    return f"{_stamp(line.start, mark)} --> {_stamp(line.end, mark)}"


def to_srt(lines: list[Line]) -> str:
    """SubRip subtitles, with the role as a prefix: `GUIDE: Red.`"""
    return "\n".join(
        f"{index}\n{_span(line, ',')}\n{line.role.upper()}: {line.text}\n"
        for index, line in enumerate(lines, 1)
    )


def to_vtt(lines: list[Line]) -> str:
    """WebVTT subtitles, with the role as a voice tag: `<v Guide>Red.`"""
    cues = (f"{_span(line, '.')}\n<v {line.role.capitalize()}>{line.text}\n" for line in lines)
    return "WEBVTT\n\n" + "\n".join(cues)


def _pictures(script: Script, frame_rate: int, width: int, height: int, grain: float):
    """RGB frames of the film, in order; frames in which all things rest are drawn once."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    noise = (
        np.random.default_rng(0).normal(0, 255 * grain, (8, height, width, 3)).astype(np.int16)
        if grain
        else None
    )

    drawn, key = None, None
    for index in range(script.seconds * frame_rate):
        time = index / frame_rate
        second, within = divmod(time, 1)
        here = (int(second), min(HOP_END_S, max(HOP_START_S, within)))
        if here != key:
            wall = script.rooms[int(second) // script.room_s].wall
            drawn = np.full((height, width, 3), wall, np.uint8)
            drawn[top : top + side, left : left + side] = render(script, [time], side)[0]
            key = here

        if noise is None:
            yield drawn
        else:
            yield np.clip(drawn + noise[random.Random(index).randrange(8)], 0, 255).astype(np.uint8)


def video_frames(pictures: Iterable[np.ndarray]) -> Iterator[VideoFrame]:
    """Numbered video frames of RGB pictures."""
    from av import VideoFrame

    for index, picture in enumerate(pictures):
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = index
        yield frame


def _sound(script: Script, hiss: float) -> Float32[np.ndarray, " samples"]:
    """Soundtrack at the film's rate."""
    from scipy.signal import resample_poly

    wave = soundtrack(script)
    if hiss:
        noise = np.random.default_rng(script.seed).standard_normal(len(wave), np.float32)
        wave = wave + hiss * noise
    return resample_poly(wave, _AUDIO_RATE // TICKS_PER_SECOND, 1).astype(np.float32)


def audio_frames(
    wave: Float32[np.ndarray, " samples"], rate: int, first: int = 0
) -> Iterator[AudioFrame]:
    """Mono audio frames of AAC's length, from the sample `first` on."""
    from av import AudioFrame

    for start in range(first, len(wave), 1024):
        frame = AudioFrame.from_ndarray(
            wave[None, start : start + 1024], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = rate, start
        yield frame


def encode(container: OutputContainer, stream: Any, frames: Iterable[Any]) -> None:
    """All frames of one stream, encoded and muxed."""
    for frame in frames:
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_film(
    script: Script,
    path: Path | str,
    size: int | tuple[int, int] = 480,
    frame_rate: int = 24,
    crf: int = 20,
    grain: float = 0.0,
    hiss: float = 0.0,
    progress: bool = False,
    senses: Collection[str] = ("image", "audio", "text"),
    lines: Sequence[Line] | None = None,
) -> Path:
    """Film files of a script: `path` (.mp4) and, with the same stem, .srt, .vtt and .truth.json.

    Parameters
    ----------
    size : side of a square film, or (width, height), in even pixels; a wide film has wall on both
        sides
    frame_rate : Hz
    crf : x264's quality, lower is better
    grain : deviation of the camera noise as a fraction of full scale, so that a film is as hard to
        decode as a real one
    hiss : deviation of the room's noise, full scale 1
    senses : a silent film, or sound alone, leaves a modality out, with the exchanges that need it
    lines : subtitles, where they are not the dialogue

    Raises
    ------
    UsageError
        `path` is no .mp4, a side is odd, or the film has neither pictures nor sound
    """
    import av

    path = Path(path)
    if path.suffix != ".mp4":
        raise UsageError(
            f"{path}: films are written as .mp4, not {path.suffix or 'without suffix'}"
        )
    width, height = (size, size) if isinstance(size, int) else size
    if width % 2 or height % 2:
        raise UsageError(f"size {width} × {height}: H.264 needs even sides")

    if not {"image", "audio"} & set(senses):
        right = "name image, audio or both"
        raise UsageError(f"senses={','.join(senses)}: a film without pictures and sound; {right}")

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        # streams are declared before the first packet
        video = audio = None
        if "image" in senses:
            options = {"crf": str(crf), "preset": "medium"}
            video = container.add_stream("libx264", rate=frame_rate, options=options)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.time_base = Fraction(1, frame_rate)
        if "audio" in senses:
            audio = container.add_stream("aac", rate=_AUDIO_RATE, layout="mono")
            audio.bit_rate = 96_000

        if video:
            pictures = _pictures(script, frame_rate, width, height, grain)
            total = script.seconds * frame_rate
            pictures = tracked(pictures, path.name, "frame", total, progress)
            encode(container, video, video_frames(pictures))
        if audio:
            encode(container, audio, audio_frames(_sound(script, hiss), _AUDIO_RATE))

    known = [fact for fact in facts(script) if set(fact["carriers"]) <= set(senses)]
    if lines is None:
        lines = spoken_with(script, senses)
    else:
        known = []  # its times are those of the dialogue's lines
    path.with_suffix(".srt").write_text(to_srt(lines), encoding="utf-8")
    path.with_suffix(".vtt").write_text(to_vtt(lines), encoding="utf-8")
    truth = {
        "seed": script.seed,
        "split": script.split,
        "seconds": script.seconds,
        "ticks_per_second": TICKS_PER_SECOND,
        "facts": known,
    }
    path.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return path
