"""Processes of ring attention: start the ranks of `ring_work.py` and collect their results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


def run_ranks(folder: Path, jobs: str, ranks: int) -> list:
    """Results of jobs on `ranks` processes, from all of them."""
    (found,) = run_calls([Call(folder, jobs, ranks, tuple(range(ranks)))])
    return found


class Call(NamedTuple):
    """Jobs on `ranks` processes, of which those in `ends` are waited for."""

    folder: Path
    jobs: str
    ranks: int
    ends: tuple[int, ...]


def run_calls(calls: list[Call], most_s: float = 240) -> list[list]:
    """Results of several calls, one after the other, from the ranks that each waits for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "support" / "ring_work.py")]
    for call in calls:
        call.folder.mkdir(parents=True, exist_ok=True)
        ends = ",".join(map(str, call.ends))
        command += [call.jobs, str(call.ranks), str(call.folder), ends]

    launcher = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        code = launcher.wait(most_s)
        logs = [log for call in calls for log in sorted(call.folder.glob("*.log"))]
        assert code == 0, "\n".join(f"{log}: {log.read_text()[-2000:]}" for log in logs)
    finally:
        if launcher.poll() is None:
            os.killpg(launcher.pid, signal.SIGKILL)  # and its ranks
            launcher.wait()
    return [
        [json.loads((call.folder / f"{rank}.json").read_text()) for rank in call.ends]
        for call in calls
    ]
