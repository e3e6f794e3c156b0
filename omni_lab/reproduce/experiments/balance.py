"""O7: does balancing how fast modalities converge help, beside a plain recipe that is tuned as long?

The gallery has a dial for each sense: a fraction of rooms whose pictures are noise alone, and of
rooms whose sound is. So the best accuracy that is possible is known, for every fact, and what a
recipe leaves of it is its regret, sense by sense. Every rule gets as many tries as the plain recipe,
one setting each; of its tries a recipe shows, for each seed, the one that was best on the others.

Command: `omni-lab reproduce O7 --seeds 5 --jobs 2`. Hardware: 2 CPU cores, no GPU; 15 runs of about
2 minutes for each seed on one core, and 5 minutes for the beginning.
Expected, written down first: a rule beats the tuned plain recipe where the 95 % interval of its gain
lies above zero. Published gains mostly vanish beside a tuned baseline (results/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni_lab.config import Config, override
from omni_lab.reproduce.arms import PLAIN, Arm, Task, run_all
from omni_lab.reproduce.experiments.comparison import (
    BASE,
    QUICK,
    SENSES,
    Choice,
    carried_by,
    omni,
    scores,
)
from omni_lab.reproduce.record import Criterion, conclude

CLAIM = "Learning rates that follow how fast modalities converge beat one rate for all"
LOST = {"image": 0.2, "audio": 0.4}  # fractions of rooms, the dial of each sense
DIALS = tuple(f"world.{sense}_lost={fraction}" for sense, fraction in LOST.items())
TRIES: dict[str, tuple[tuple[str, ...], ...]] = {
    PLAIN: (omni("lr_scale=0.6"), (), omni("lr_scale=1.5")),
    "fixed ratios": (
        omni("rates=image=0.5,connector.image=0.5"),
        omni("rates=audio=0.5,connector.audio=0.5"),
        omni("rates=decoder=0.5"),
    ),
    "rates by progress": tuple(
        omni("balance.rule=rates", f"balance.strength={s}") for s in (0.5, 1, 2)
    ),
    "loss weights by progress": tuple(
        omni("balance.rule=weights", f"balance.strength={s}") for s in (0.5, 1, 2)
    ),
    "OGM-GE": tuple(
        omni("balance.rule=ogm", f"balance.strength={s}", f"balance.noise={noise}")
        for s, noise in ((0.1, 1), (0.5, 1), (0.5, 0))
    ),
}
RULES = tuple(recipe for recipe in TRIES if recipe != PLAIN)
CRITERIA = tuple(
    Criterion(f"gain.{rule}", 0.0, by_interval=True, claim=f"{rule} beats plain, both tuned")
    for rule in RULES
)


def named(recipe: str, number: int) -> str:
    """Name of one try of a recipe."""
    return f"{recipe} {number + 1}"


def best_possible(row: dict[str, Any], chance: dict[str, float]) -> dict[str, float]:
    """Highest accuracy that is possible for every fact: right where nothing is lost, else a guess."""
    best = {}
    for fact, score in row["facts"].items():
        whole = float(np.prod([1 - LOST.get(sense, 0.0) for sense in score["carriers"]]))
        best[fact] = whole + (1 - whole) * chance[fact]
    return best


def regrets(row: dict[str, Any], chance: dict[str, float]) -> dict[str, float]:
    """What a run leaves of the best possible accuracy, mean over the facts of each sense."""
    best, facts = best_possible(row, chance), row["facts"]
    out = {}
    for sense in SENSES:
        own = [fact for fact in carried_by(row, sense) if fact != "absent"]
        out[f"regret.{sense}"] = float(np.mean([best[f] - facts[f]["accuracy"] for f in own]))
    return out | {"regret": float(np.mean(list(out.values())))}


def chosen(values: Sequence[Sequence[float]], seed: int) -> int:
    """Try that is best on the other seeds, by mean accuracy; with one seed, on that one.

    Parameters
    ----------
    values : accuracy per try, then per seed

    >>> chosen([[0.9, 0.1, 0.1], [0.2, 0.5, 0.5]], seed=0)
    1
    """
    others = [[v for s, v in enumerate(own) if s != seed] or list(own) for own in values]
    return int(np.argmax([np.mean(own) for own in others]))


def numbers(runs: dict[str, list[dict[str, Any]]], seeds: int) -> dict[str, list[float]]:
    """Metrics over seeds: of every recipe at its chosen try, accuracy and regret, and its gain."""
    from omni_lab.world.questions import CHANCE

    out: dict[str, list[float]] = {}
    for recipe, tries in TRIES.items():
        own = [runs[named(recipe, number)] for number in range(len(tries))]
        accuracy = [[scores(row)["mean.accuracy"] for row in one] for one in own]
        for seed in range(seeds):
            row = own[chosen(accuracy, seed)][seed]
            for name, value in (scores(row) | regrets(row, CHANCE)).items():
                out.setdefault(f"{recipe}.{name}", []).append(value)
    for rule in RULES:
        pairs = zip(out[f"{rule}.mean.accuracy"], out[f"{PLAIN}.mean.accuracy"], strict=True)
        out[f"gain.{rule}"] = [own - plain for own, plain in pairs]
    return out


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False, jobs: int = 1
) -> dict:
    """All tries of all recipes, once per seed, in a gallery where each sense has its dial."""
    from omni_lab.plots.training.arms import draw_arms

    folder = results / f"O7{'-quick' if quick else ''}"
    config = override(config, (*BASE, *DIALS, *(QUICK if quick else ())))
    seeds = 1 if quick else seeds
    arms = tuple(
        Arm(named(recipe, number), settings)
        for recipe, tries in TRIES.items()
        for number, settings in enumerate(tries)
    )
    kept = folder if quick else results
    tasks: list[Task] = Choice(CLAIM, arms, ()).tasks(config, range(seeds), kept, runs)
    rows = run_all(tasks, jobs)
    found = {arm.name: rows[at :: len(arms)] for at, arm in enumerate(arms)}

    metrics = numbers(found, seeds)
    details = {
        "arms": {recipe: [list(one) for one in tries] for recipe, tries in TRIES.items()},
        "lost": LOST,
        "tries": {
            arm.name: [round(scores(row)["mean.accuracy"], 5) for row in found[arm.name]]
            for arm in arms
        },
        "curves": {
            recipe: [
                {name: row["curves"][name] for name in ("step", "stream")}
                for row in found[named(recipe, 1)]
            ]
            for recipe in TRIES
        },
    }
    return conclude(folder, CLAIM, seeds, metrics, CRITERIA, details, draw_arms)
