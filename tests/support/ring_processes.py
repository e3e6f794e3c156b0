"""Processes of ring attention: start the ranks of `ring_work.py` and collect their results."""

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
    """Results of jobs on `ranks` processes, from the ranks in `ends` (None: all)."""
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
