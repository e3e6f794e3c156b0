"""What an experiment leaves behind: `results/<id>/record.json`, with command, commit, hardware, seeds and verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_lab.training.run import environment, write_json

# two-sided 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


@dataclass(frozen=True)
class Criterion:
    """One thing that must hold, written down before the experiment: `metric` is at least or at most `bound`."""

    metric: str
    bound: float
    at_least: bool = True

    def holds(self, values: Sequence[float]) -> bool:
        """Whether every seed keeps it."""
        return all((v >= self.bound) if self.at_least else (v <= self.bound) for v in values)


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean over seeds with its 95 % interval (Student's t), and the seeds' extremes."""
    mean = statistics.fmean(values)
    half = 0.0
    if len(values) > 1:
        half = _T[min(len(values) - 2, len(_T) - 1)] * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half, "min": min(values), "max": max(values)}


def write_record(
    folder: Path,
    claim: str,
    command: str,
    seeds: Sequence[int],
    metrics: Mapping[str, Sequence[float]],
    criteria: Sequence[Criterion],
) -> dict:
    """Judge every criterion on every seed and write the record; the verdict is `reproduced` where all hold."""
    judged = [
        {
            "metric": c.metric,
            "must_be": f"{'>=' if c.at_least else '<='} {c.bound}",
            "worst": (min if c.at_least else max)(metrics[c.metric]),
            "holds": c.holds(metrics[c.metric]),
        }
        for c in criteria
    ]
    record = {
        "id": folder.name,
        "claim": claim,
        "command": command,
        "environment": environment(),
        "seeds": list(seeds),
        "metrics": {name: {**interval(values), "seeds": list(values)} for name, values in metrics.items()},
        "criteria": judged,
        "verdict": "reproduced" if all(row["holds"] for row in judged) else "not reproduced",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "record.json", record)
    return record
