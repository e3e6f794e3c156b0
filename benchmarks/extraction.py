"""What building triplets of a 1080p film costs beside decoding it and throwing everything away, and beside other tools.

    python benchmarks/extraction.py [--quick] [--film FILE]

The film is made once, by the world, with a camera's noise, so that it is as hard to decode as a filmed one (about
6 Mbit/s). The build is all that a worker does for a film: frames at 2 per second and 240 px as JPEG, 16 kHz mono sound,
cues, scene changes, cutting, quality, fingerprints, and the tar of its clips. (Starting a worker process, once per
build, is not in it.) The floor is PyAV decoding both streams, on one thread as a worker does, and keeping nothing. Two
peers take the same frames and samples: moviepy as its documentation says, and two calls of ffmpeg, one for pictures and
one for sound. All are CPU seconds (user and system, with child processes), interleaved in one run, and the ratio is
taken within each round.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from omni_lab.config import TripletConfig, tiny
from omni_lab.media.decoding import decode
from omni_lab.triplets.cutting.film import clips_of_film
from omni_lab.triplets.shards.members import write_clip

GOAL = 1.25
CONFIG = TripletConfig()


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time that `work` takes, in this process and in those that it starts."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(
        b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime
        for a, b in zip(before, after, strict=True)
    )


def film(seconds: int, grain: float) -> Path:
    """Write the 1080p film, or find it where an earlier run wrote it."""
    from omni_lab.world.drawing import write_script
    from omni_lab.world.film import write_film

    path = Path(tempfile.gettempdir()) / "omni_lab_benchmarks" / f"world_1080p_{seconds}s.mp4"
    if not path.exists():
        print(f"writing {path} (once)", flush=True)
        part = path.with_name(f"part_{path.name}")
        write_film(
            write_script(1, seconds, tiny().world),
            part,
            size=(1920, 1080),
            grain=grain,
            progress=True,
        )
        part.rename(path)
    return path


def decode_only(path: Path) -> None:
    """The floor: decode every frame of both streams and keep none."""
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            packet.decode()


def whole_build(path: Path) -> None:
    """Everything from the file to the tar of its clips."""
    _, clips = clips_of_film(path, CONFIG)
    with tempfile.TemporaryFile() as file, tarfile.open(fileobj=file, mode="w") as tar:
        for clip in clips:
            write_clip(tar, clip)


def with_ffmpeg(path: Path) -> None:
    """The same frames and samples by two calls of ffmpeg, as most scripts do it."""
    from imageio_ffmpeg import get_ffmpeg_exe

    size = CONFIG.image_size
    frames = ["-an", "-vf", f"fps={CONFIG.frames_per_second},scale=-2:{size}", "-q:v", "2"]
    with tempfile.TemporaryDirectory() as out:
        for taken in (
            [*frames, f"{out}/%05d.jpg"],
            ["-vn", "-ac", "1", "-ar", "16000", f"{out}/sound.wav"],
        ):
            subprocess.run([get_ffmpeg_exe(), "-v", "error", "-i", str(path), *taken], check=True)


def with_moviepy(path: Path) -> None:
    """The same frames and samples through moviepy."""
    from moviepy import VideoFileClip

    with VideoFileClip(str(path), target_resolution=(None, CONFIG.image_size)) as clip:
        for k in range(int(clip.duration * CONFIG.frames_per_second)):
            clip.get_frame((k + 0.5) / CONFIG.frames_per_second)
        clip.audio.to_soundarray(fps=16_000)


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(
        description="CPU time of building triplets, as a ratio to decoding the film."
    )
    parser.add_argument(
        "--quick", action="store_true", help="a film of 4 s and 3 rounds, instead of 20 s and 7"
    )
    parser.add_argument("--film", type=Path, help="measure with this film instead of the world's")
    options = parser.parse_args()
    rounds = 3 if options.quick else 7
    path = options.film or film(4 if options.quick else 20, grain=0.015)
    ways = {
        "decode only": lambda: decode_only(path), "omni_lab": lambda: whole_build(path),
        "ffmpeg twice": lambda: with_ffmpeg(path), "moviepy": lambda: with_moviepy(path),
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            spent = cpu_seconds(work)
            if turn:  # the first round imports and warms the file cache
                times[name].append(spent)
    length = decode(path, CONFIG).duration / 16_000
    print(
        f"{path.name}: {length:.1f} s, {path.stat().st_size * 8 / length / 1e6:.1f} Mbit/s, {rounds} rounds"
    )
    ratios = {
        n: [t / floor for t, floor in zip(times[n], times["decode only"], strict=True)]
        for n in ways
    }
    for name in ways:
        low, middle, high = min(ratios[name]), statistics.median(ratios[name]), max(ratios[name])
        spent = statistics.median(times[name])
        print(
            f"{name:<12}{spent:8.3f} s CPU   {middle:5.2f} x decode only ({low:.2f} to {high:.2f})"
        )
    ours = ratios["omni_lab"]
    value = statistics.median(ours)
    result = {
        "name": "extraction",
        "value": round(value, 3),
        "unit": "x CPU time of decoding only",
        "goal": GOAL,
    }
    print(
        json.dumps(
            {
                **result,
                "holds": value <= GOAL,
                "spread": round(max(ours) - min(ours), 3),
                "n": rounds,
            }
        )
    )


if __name__ == "__main__":
    main()
