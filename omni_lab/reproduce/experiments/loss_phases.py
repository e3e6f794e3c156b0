"""O12: does the loss of the omni stage fall in three phases, and what is the plateau made of?

At a constant learning rate, without a contrastive loss, so that neither a decay nor a changing
weight can bend the curve. Every step's loss is kept, of the total, of every fact and sense; on the
way the model is asked the same questions, for what is said to happen on a plateau.

Command: `omni-lab reproduce O12 --seeds 5 --jobs 2`. Hardware: 2 CPU cores, no GPU; about 10
minutes a run from scratch, 6 from the unimodal stages, on one core.
Expected, written down first: three phases in four of five seeds from new weights; the article
speaks of a stage that begins with the unimodal ones, so that both are judged. The plateau is a sum
of staggered drops: at most a quarter of the facts have three phases of their own. The first seed
showed that nearly all have (down to a guess, then level, then learned), so that one more criterion
was added, and is marked: the last fact begins its second drop after three times as many steps as
the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from omni_lab.config import Config, override
from omni_lab.reproduce.arms import Arm, Task, run_all
from omni_lab.reproduce.experiments.comparison import BASE, QUICK, omni
from omni_lab.reproduce.record import Criterion, conclude

CLAIM = "The loss of the omni stage falls in three phases: drop, plateau, second drop"
STEADY = omni("schedule=constant", "align_weight=0")
ARMS = (
    Arm("from new weights", (*STEADY, *omni("steps=1200")), scratch=True),
    Arm("from the unimodal stages", (*STEADY, *omni("steps=600"))),
)
TOLERATED = 0.2  # of the seeds
CRITERIA = (
    *(
        Criterion(f"three_phases.{arm.name}", 1.0, tolerated=TOLERATED, claim=f"three phases {arm.name}")
        for arm in ARMS
    ),
    Criterion(
        "facts_in_three_phases.from new weights", 0.25, at_least=False, tolerated=TOLERATED,
        claim="facts fall once, without phases of their own",
    ),
    Criterion(
        "staggered.from new weights", 3.0, tolerated=TOLERATED,
        claim="the facts' second drops are staggered (added after the first seed)",
    ),
)  # fmt: skip


def phases_of(task: Task) -> dict[str, Any]:
    """Phases of a run's total, and of every fact, from its kept log."""
    from omni_lab.analysis.logs import read_log
    from omni_lab.analysis.phases import find_phases

    log = read_log(task.log)
    total = find_phases([log], parts=True)["runs"][0]
    facts = {}
    for name in log.curves:
        if name.startswith("facts."):
            own = find_phases([log], curve=name, parts=False)["runs"][0]
            facts[name] = {"verdict": own["verdict"], "second_drop": _second_drop(own)}
    return {"total": total, "facts": facts}


def _second_drop(run: dict[str, Any]) -> float | None:
    """Step at which the second drop of a curve in three phases begins."""
    from omni_lab.analysis.phases import THREE, plateau_span

    stretch = run["stretches"][0]
    return plateau_span(stretch)[1] if stretch["verdict"] == THREE else None


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """Metrics of one run, flat."""
    from omni_lab.analysis.phases import THREE

    facts = found["facts"].values()
    drops = [fact["second_drop"] for fact in facts if fact["second_drop"] is not None]
    return {
        "three_phases": float(found["total"]["verdict"] == THREE),
        "facts_in_three_phases": len(drops) / max(1, len(facts)),
        "staggered": max(drops) / min(drops) if drops else 0.0,
    }


def on_the_plateau(found: dict[str, Any], watched: list[dict[str, float]]) -> dict[str, float]:
    """What a model did on its plateau and after it: means of the figures that were watched."""
    from omni_lab.analysis.phases import plateau_span

    place = plateau_span(found["total"]["stretches"][0])
    if place is None:
        return {}
    begin, end = place
    parts = {
        "plateau": [row for row in watched if begin <= row["step"] <= end],
        "after": [row for row in watched if row["step"] > end],
    }
    return {
        f"{name}.{part}": float(np.mean([row[name] for row in rows]))
        for part, rows in parts.items()
        if rows
        for name in ("repeated", "parallel")
    }


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False, jobs: int = 1
) -> dict:
    """Both beginnings once per seed, their phases, and what the model does on the way."""
    from omni_lab.plots.training.plateaus import draw_plateaus

    folder = results / f"O12{'-quick' if quick else ''}"
    short = omni("steps=60") if quick else ()
    config = override(config, BASE + (QUICK if quick else ()))
    seeds = 1 if quick else seeds
    tasks = [
        Task(
            arm.name, Arm(arm.name, (*arm.settings, *short), arm.scratch).configured(config, seed),
            folder if quick else results, runs, whole=True,
        )
        for seed in range(seeds)
        for arm in ARMS
    ]  # fmt: skip
    rows = run_all(tasks, jobs)
    found = [phases_of(task) for task in tasks]

    metrics: dict[str, list[float]] = {}
    for task, own in zip(tasks, found, strict=True):
        for name, value in numbers(own).items():
            metrics.setdefault(f"{name}.{task.arm}", []).append(value)
    details = {
        "runs": [
            {
                "arm": task.arm,
                "seed": task.config.seed,
                "log": task.log.name,
                "verdict": own["total"]["verdict"],
                "reason": own["total"]["reason"],
                "stretch": own["total"]["stretches"][0],
                "facts": own["facts"],
                "curves": {
                    name: values
                    for name, values in row["curves"].items()
                    if name == "step" or name.startswith("facts.")
                },
                "watched": row["watched"],
                "plateau": on_the_plateau(own, row["watched"]),
            }
            for task, own, row in zip(tasks, found, rows, strict=True)
        ]
    }
    return conclude(folder, CLAIM, seeds, metrics, CRITERIA, details, draw_plateaus)
