"""Starts the ranks of `ring_work.py` and collects what they have found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_ranks(
    folder: Path, jobs: str, ranks: int, ends: tuple[int, ...] | None = None, most_s: float = 240
) -> list:
    """Run jobs on `ranks` processes; give what each of those in `ends` (None: all) has found."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "support" / "ring_work.py"), jobs]
    processes = []
    for rank in range(ranks):
        with (folder / f"{rank}.log").open("w") as log:
            called = [*command, str(rank), str(ranks), str(folder)]
            processes.append(subprocess.Popen(called, env=environment, stdout=log, stderr=log))
    found = []
    try:
        for rank in ends or range(ranks):
            code = processes[rank].wait(most_s)
            assert code == 0, f"rank {rank}: {(folder / f'{rank}.log').read_text()[-2000:]}"
            found.append(json.loads((folder / f"{rank}.json").read_text()))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return found
