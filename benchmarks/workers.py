"""How much faster two worker processes build films than one: wall time of the same build, on an idle machine.

    python benchmarks/workers.py [--quick]

Each round builds the same films into new folders, with one worker and with two, and the ratio is taken within the
round. A worker decodes on one thread, so that workers do not crowd each other. What is paid once (starting the
processes) is part of it. On a machine that does other work the ratio is lower, and says so by its spread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from omni_lab.config import TripletConfig, tiny
from omni_lab.triplets.building.build import build

GOAL = 1.8
CONFIG = TripletConfig()


def films(count: int, seconds: int) -> list[Path]:
    """Write films of the world at 720p, or find them where an earlier run wrote them."""
    from omni_lab.world.drawing import write_script
    from omni_lab.world.film import write_film

    folder = Path(tempfile.gettempdir()) / "omni_lab_benchmarks"
    made = []
    for seed in range(count):
        path = folder / f"world_720p_{seconds}s_{seed}.mp4"
        if not path.exists():
            part = path.with_name(f"part_{path.name}")
            write_film(
                write_script(seed, seconds, tiny().world), part, size=(1280, 720), grain=0.015
            )
            part.rename(path)
        made.append(path)
    return made


def seconds_of(paths: list[Path], workers: int) -> float:
    """Wall time of building the films."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        build(paths, out, CONFIG, progress=False, workers=workers)
        return time.perf_counter() - start


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(
        description="Wall time of a build with one worker over that with two."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="6 films of 6 s and 2 rounds, instead of 16 of 10 s and 5",
    )
    quick = parser.parse_args().quick
    count, seconds, rounds = (6, 6, 2) if quick else (16, 10, 5)
    paths = films(count, seconds)
    ratios = []
    for number in range(rounds):
        one, two = seconds_of(paths, 1), seconds_of(paths, 2)
        ratios.append(one / two)
        print(
            f"round {number + 1}: {count} films, {one:.2f} s with one worker, {two:.2f} s with two"
        )
    value = statistics.median(ratios)
    print(f"two workers are {value:.2f} times as fast as one (goal {GOAL})")
    result = {"name": "workers", "value": round(value, 3), "unit": "x one worker", "goal": GOAL}
    spread = round(max(ratios) - min(ratios), 3)
    print(json.dumps({**result, "holds": value >= GOAL, "spread": spread, "n": rounds}))


if __name__ == "__main__":
    main()
