"""Comparison of arms that differ in the omni stage alone: gains seed by seed, record and picture.

Arms start from one checkpoint of the unimodal stages per seed, and one plain arm serves all. The
omni stage shows a quarter of the tokens that the demo's does, so that differences show before
everything is learned. An arm is compared with another of the same seed, and the difference counts
where its 95 % interval over seeds lies on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni_lab.config import Config, override
from omni_lab.reproduce.arms import PLAIN, Arm, Task, run_all
from omni_lab.reproduce.record import Criterion, conclude

OMNI = "training.stages.omni"
BASE = (
    "training.threads=1",
    f"{OMNI}.steps=200",
    f"{OMNI}.batch_size=16",
    f"{OMNI}.seconds=4",
    "evaluation.clips=240",
)
QUICK = (
    "training.stages.vision.steps=3",
    "training.stages.audio.steps=3",
    "training.stages.vision.batch_size=4",
    "training.stages.audio.batch_size=4",
    f"{OMNI}.steps=4",
    f"{OMNI}.batch_size=4",
    "evaluation.clips=12",
)
SENSES = ("image", "audio", "both")


def omni(*settings: str) -> tuple[str, ...]:
    """Changes of the omni stage."""
    return tuple(f"{OMNI}.{setting}" for setting in settings)


@dataclass(frozen=True)
class Gain:
    """How much better one arm is than another, seed by seed, and what is claimed of it.

    Parameters
    ----------
    better, worse : names of arms; of several, separated by |, the best of each seed
    bound : what the gain must reach by its interval, in accuracy
    claim : key of the record's verdict
    """

    better: str
    worse: str
    claim: str
    bound: float = 0.0
    measure: str = "accuracy"

    @property
    def metric(self) -> str:
        """Name of the gain among the record's metrics."""
        return f"gain.{self.better}.over.{self.worse}"


@dataclass(frozen=True)
class Choice:
    """A comparison of arms: the claim, the arms, and what would confirm it."""

    claim: str
    arms: tuple[Arm, ...]
    gains: tuple[Gain, ...]
    settings: tuple[str, ...] = ()  # of all arms, the plain one too

    def tasks(self, config: Config, seeds: Sequence[int], results: Path, runs: Path) -> list[Task]:
        """All runs, seed by seed, so that a part of them is of use."""
        own = override(config, self.settings)
        return [
            Task(arm.name, arm.configured(own, seed), results, runs)
            for seed in seeds
            for arm in self.arms
        ]


def carried_by(row: dict[str, Any], sense: str) -> list[str]:
    """Facts of a run that a sense carries alone; `both` has those that need image and audio."""
    carriers = ["image", "audio"] if sense == "both" else [sense]
    return [fact for fact, score in row["facts"].items() if score["carriers"] == carriers]


def scores(row: dict[str, Any]) -> dict[str, float]:
    """Scores of one run: mean accuracy and loss over facts, in all and by the sense that carries them."""
    facts = row["facts"]
    out = {f"accuracy.{fact}": score["accuracy"] for fact, score in facts.items()}
    groups = {"": list(facts)} | {f".{sense}": carried_by(row, sense) for sense in SENSES}
    for name, own in groups.items():
        for measure in ("accuracy", "loss"):
            values = [facts[fact][measure] for fact in own]
            key = f"mean.{measure}{name}"
            out[key] = sum(values) / max(1, len(values))
    return out | {"training_loss": row["final_loss"]}


def numbers(choice: Choice, rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Metrics of one seed, flat: scores of every arm, and the gains that are claimed."""
    scored = {arm: scores(row) for arm, row in rows.items()}
    out = {f"{arm}.{name}": value for arm, own in scored.items() for name, value in own.items()}
    for gain in choice.gains:
        best, other = (
            max(scored[arm]["mean.accuracy"] for arm in names.split("|"))
            for names in (gain.better, gain.worse)
        )
        out[gain.metric] = best - other
    if PLAIN in scored:
        plain = scored[PLAIN]["mean.accuracy"]
        for arm, own in scored.items():
            if arm != PLAIN:
                out[f"against_plain.{arm}"] = own["mean.accuracy"] - plain
    return out


def reproduce(
    name: str, choice: Choice, config: Config, seeds: int, results: Path, runs: Path, quick: bool = False,
    jobs: int = 1,
) -> dict:  # fmt: skip
    """All arms of a comparison, once per seed, with its record and its picture."""
    from omni_lab.plots.training.arms import draw_arms

    folder = results / f"{name}{'-quick' if quick else ''}"
    config = override(config, BASE + (QUICK if quick else ()))
    seeds = 1 if quick else seeds
    kept = folder if quick else results
    rows = run_all(choice.tasks(config, range(seeds), kept, runs), jobs)
    arms = len(choice.arms)
    # a row that another experiment needed too has the name that the arm has there
    by_seed = [
        dict(zip((arm.name for arm in choice.arms), rows[first : first + arms], strict=True))
        for first in range(0, len(rows), arms)
    ]
    flat = [numbers(choice, own) for own in by_seed]
    metrics = {metric: [one[metric] for one in flat] for metric in flat[0]}
    criteria = [
        Criterion(gain.metric, gain.bound, by_interval=True, claim=gain.claim)
        for gain in choice.gains
    ]
    details = {
        "arms": {arm.name: list(arm.settings) for arm in choice.arms},
        "curves": {
            arm.name: [
                {name: own[arm.name]["curves"][name] for name in ("step", "stream")}
                for own in by_seed
            ]
            for arm in choice.arms
        },
        "seconds": {arm.name: [own[arm.name]["seconds"] for own in by_seed] for arm in choice.arms},
    }
    return conclude(folder, choice.claim, seeds, metrics, criteria, details, draw_arms)
