"""Checkers experiment: which mistakes the exercises' checkers refuse, and which they name.

Mutation testing of every exercise: a right answer with one small change each, made by machine;
what computes something else has to be refused, with a message about the changed line.

Command: `omni-lab reproduce checkers`. Hardware: any; about 2 minutes. A seed draws the inputs that
tell a mutant from the right answer. Expected: none passes, 9 of 10 are named, no right one refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omni_lab.config import Config
from omni_lab.reproduce.record import Criterion, write_record

CLAIM = "No wrong answer passes, nine of ten are named rightly, no right answer is refused"


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False
) -> dict[str, Any]:
    """Diagnostic power of every checker, once per seed of the random inputs."""
    from omni_lab.check.diagnosis import EXERCISES, power

    metrics: dict[str, list[float]] = {}
    misnamed: dict[str, list[str]] = {}
    for seed in range(1 if quick else seeds):
        for name, exercise in EXERCISES.items():
            found = power(exercise, seed)
            numbers = {
                "mistakes": found.wrong, "passed": len(found.passed), "named": found.named,
                "right": len(exercise.answers), "refused": len(found.refused),
            }  # fmt: skip
            for metric, number in numbers.items():
                metrics.setdefault(f"{name}.{metric}", []).append(number)
            misnamed[name] = found.misnamed

    criteria = [
        criterion
        for name in EXERCISES
        for criterion in (
            Criterion(f"{name}.passed", 0, at_least=False),
            Criterion(f"{name}.named", 0.9),
            Criterion(f"{name}.refused", 0, at_least=False),
        )
    ]
    used = range(1 if quick else seeds)
    call = f"omni-lab reproduce checkers --seeds {len(used)}"
    folder = results / f"checkers{'-quick' if quick else ''}"
    return write_record(folder, CLAIM, call, used, metrics, criteria, {"misnamed": misnamed})
