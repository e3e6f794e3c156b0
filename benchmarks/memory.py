"""Resident memory of training batches read from 500 shards, beside that from 50.

    python benchmarks/memory.py [--quick]

A few films of the gallery are built into shards; folders of 50 and of 500 are made of copies of
these, with an index by the project's own writer. A new process per folder opens the source as a
stage does and draws the same number of batches from it: the value is the ratio of their peaks in
resident memory, median over rounds. The index of all clips is held, the
clips are not, so that the ratio stays near 1.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from omni_lab.config import StageConfig, override, tiny
from omni_lab.triplets.shards.index import Index, digest, table_of

GOAL, FEW, MANY = 1.05, 50, 500


def built(folder: Path, films: int) -> Path:
    """Shards of films of the gallery of 16 s, one film each, cut into clips of two seconds."""
    from omni_lab.triplets.building.build import build
    from omni_lab.world.drawing import write_script
    from omni_lab.world.film import write_film

    paths = [
        write_film(write_script(seed, 16, tiny().world), folder / f"{seed}.mp4")
        for seed in range(films)
    ]
    cutting = replace(tiny().triplets, min_s=1.5, max_s=3.0, target_s=2.0, clips_per_shard=1)
    cutting = replace(cutting, detector="energy")
    build(paths, folder / "built", cutting, progress=False, workers=1)
    return folder / "built"


def copied(source: Path, out: Path, shards: int) -> Path:
    """A folder of so many shards, each a copy of one of the source's, in an index of its own."""
    import pyarrow

    index = Index.load(source)
    parts = {name: table_of(rows) for name, rows in index.rows_by_shard()}
    out.mkdir()
    tables, entries = [], []
    for number in range(shards):
        entry = index.shards[number % len(index.shards)]
        name = f"shard-{number:06d}.tar"
        shutil.copy(source / entry.name, out / name)
        table = parts[entry.name]
        at = table.column_names.index("shard")
        tables.append(table.set_column(at, "shard", pyarrow.array([name] * table.num_rows)))
        entries.append(replace(entry, name=name, rows=digest(tables[-1].to_pylist())))
    whole = table_of(pyarrow.concat_tables(tables).to_pylist())
    replace(index, table=whole, shards=tuple(entries)).write(out)
    return out


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

    rounds, steps, count = (2, 8, 1) if options.quick else (5, 250, 4)
    ratios = []
    with tempfile.TemporaryDirectory() as base:
        shards = built(Path(base), count)
        folders = {many: copied(shards, Path(base) / str(many), many) for many in (FEW, MANY)}
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
