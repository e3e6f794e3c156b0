"""Resident memory of training batches read from 500 shards, beside that from 50.

    python benchmarks/memory.py [--quick]

A few films of the gallery are built into shards once; folders of 50 and of 500 are made of copies of
their clips under other names, each a tar of its own, by the project's own writer. A new process per
folder opens the source as a stage does and draws the same number of batches from it: the value is
the ratio of their peaks in resident memory, median over rounds. The index of all clips is held, the
clips are not, so that the ratio stays near 1.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from omni_lab.config import StageConfig, override, tiny
from omni_lab.triplets.record import EncodedClip

GOAL, FEW, MANY = 1.05, 50, 500
CLIPS = 8  # of a shard


def films(count: int, seconds: int) -> list[EncodedClip]:
    """Clips of films of the gallery, cut to two seconds."""
    from omni_lab.triplets.building.build import build
    from omni_lab.triplets.shards.tars import read_clips
    from omni_lab.world.drawing import write_script
    from omni_lab.world.film import write_film

    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write_film(write_script(seed, seconds, tiny().world), Path(folder) / f"{seed}.mp4")
            for seed in range(count)
        ]
        cutting = replace(tiny().triplets, min_s=2.0, max_s=4.0, target_s=2.0)
        build(paths, Path(folder) / "out", cutting, progress=False, workers=1)
        return list(read_clips(Path(folder) / "out"))


def copied(clips: list[EncodedClip], out: Path, shards: int) -> Path:
    """A folder of so many shards of copies of clips, each under a source of its own."""
    from omni_lab.triplets.shards.index import FilmEntry
    from omni_lab.triplets.shards.members import members_of
    from omni_lab.triplets.shards.tars import ShardWriter

    # a tar is closed after each film; the writer's index grows with them, and is written each time
    with ShardWriter(out, "benchmark", clips_per_shard=CLIPS) as writer:
        for number in range(shards):
            source = f"{number:032x}"
            for at in range(CLIPS):
                clip = _renamed(clips[(number + at) % len(clips)], source, at)
                writer.add(clip, [data for _, data in members_of(clip)])
            writer.end_film(FilmEntry(source, f"{source}.mp4", CLIPS, 0))
    return out


def _renamed(clip: EncodedClip, source: str, at: int) -> EncodedClip:
    """The clip under another name, at another time of its film."""
    length = clip.record["end"] - clip.record["start"]
    start = at * 10 * 16_000
    name = f"{source}_{start}_{start + length}"
    about = {**clip.record["source"], "id": source, "uri": f"{source}.mp4"}
    record = {
        **clip.record, "clip_id": name, "source": about, "start": start, "end": start + length
    }  # fmt: skip
    return replace(clip, clip_id=name, record=record)


def drawn(folder: str, steps: int) -> None:
    """In this process: batches of a stage from a folder; prints its peak memory, MB."""
    from omni_lab.data.sources import training_data

    stage = StageConfig(
        "omni", ("shards",), train=("image", "audio", "connector", "decoder"), steps=steps,
        batch_size=16, seconds=2,
    )  # fmt: skip
    data = training_data(override(tiny(), [f"data.shards={folder}"]), stage)
    for step in range(steps):
        data.batch(step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": peak, "documents": len(data.sources["shards"])}))


def peak_of(folder: Path, steps: int) -> dict:
    """Peak memory of a new process that draws batches from a folder."""
    call = [sys.executable, __file__, "--folder", str(folder), "--steps", str(steps)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Memory of batches from 500 shards beside 50.")
    parser.add_argument("--quick", action="store_true", help="two rounds of fewer batches")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        drawn(options.folder, options.steps)
        return

    rounds, steps, count = (2, 30, 2) if options.quick else (5, 250, 4)
    clips = films(count, 8)
    ratios = []
    with tempfile.TemporaryDirectory() as base:
        folders = {many: copied(clips, Path(base) / str(many), many) for many in (FEW, MANY)}
        for number in range(rounds):
            few, many = (peak_of(folders[shards], steps) for shards in (FEW, MANY))
            ratios.append(many["peak_mb"] / few["peak_mb"])
            print(
                f"round {number + 1}: {few['peak_mb']:.0f} MB from {few['documents']} clips in "
                f"{FEW} shards, {many['peak_mb']:.0f} MB from {many['documents']} in {MANY}"
            )

    value = statistics.median(ratios)
    print(f"{MANY} shards take {value:.3f} of the memory of {FEW} (goal at most {GOAL})")
    result = {"name": "memory", "value": round(value, 4), "unit": "x of 50 shards", "goal": GOAL}
    spread = round(max(ratios) - min(ratios), 4)
    print(json.dumps({**result, "holds": value <= GOAL, "spread": spread, "n": rounds}))


if __name__ == "__main__":
    main()
