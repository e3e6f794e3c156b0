"""Processes of ring attention: start the ranks of `ring_work.py` and collect their results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_ranks(
    folder: Path, jobs: str, ranks: int, ends: tuple[int, ...] | None = None, most_s: float = 240
) -> list:
    """Results of jobs on `ranks` processes, from the ranks in `ends` (None: all)."""
    folder.mkdir(parents=True, exist_ok=True)
    awaited = range(ranks) if ends is None else ends
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "support" / "ring_work.py")]
    arguments = [jobs, str(ranks), str(folder), ",".join(map(str, awaited))]

    launcher = subprocess.Popen([*command, *arguments], env=environment, start_new_session=True)
    try:
        code = launcher.wait(most_s)
        logs = (f"rank {rank}: {(folder / f'{rank}.log').read_text()[-2000:]}" for rank in awaited)
        assert code == 0, "\n".join(logs)
    finally:
        if launcher.poll() is None:
            os.killpg(launcher.pid, signal.SIGKILL)  # and its ranks
            launcher.wait()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in awaited]
