"""SVLM: which text tokens are worth learning from, where a fraction of captions' words is wrong?

Decoders learn captions of pictures in which 20 % or 40 % of colours and shapes are wrong, from a
small set (600 pictures, 20 epochs) and a large one (6,000, 2 epochs), under every rule of selection
at equal steps; the standard loss also at 60 % of the steps, so that as many tokens count, and at
150 %, what a trainee and its reference cost together. All are examined on clean captions of unseen
pictures. Baselines: the reference alone (150 clean captions,
half the steps), and the same captions for all steps.

Command: `omni-lab reproduce svlm --seeds 5 --jobs 2`. Hardware: 2 CPU cores, no GPU; about 15 to 30
seconds a run on one core, 350 runs, and 4 minutes for the beginning of every seed.
Expected, written down before all but one trial seed of two rules: excess loss at 60 % beats the
standard loss by .15 at 40 % wrong words in the small set (interval above .15); so it does at 20 %
by .05; it beats clean captions alone in the large set; the switch is within .01 of the best rule
without an oracle in all four.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omni_lab.config import Config, override
from omni_lab.reproduce.record import Criterion, conclude
from omni_lab.reproduce.runs.svlm import CLEAN_FIRST, STEPS, Trainee, run_seeds

CLAIM = "Learning from the tokens with the highest excess loss beats learning from all of them"
CLEAN = (150, STEPS // 2)  # pictures and steps of the reference
SMALL, LARGE = 600, 6000  # pictures
SETS = {
    f"{name}, {wrong:.0%} wrong": (pictures, wrong)
    for name, pictures in (("small", SMALL), ("large", LARGE))
    for wrong in (0.2, 0.4)
}
FEW, MANY = f"small, {0.2:.0%} wrong", f"small, {0.4:.0%} wrong"
QUICK = ("training.stages.vision.steps=2", "training.stages.vision.batch_size=4")
STANDARD, SWITCH, ORACLE, EXCESS = "standard", "switch", "oracle", "excess"
LENGTHS = {f"{STANDARD}, 60 % of steps": 0.6, f"{STANDARD}, 150 % of steps": 1.5}
RULES: dict[str, tuple[str, ...]] = {
    STANDARD: (),
    "random": ("rule=random",),
    "highest loss": ("rule=loss",),
    "lowest reference loss": ("rule=reference",),
    EXCESS: ("rule=excess",),
    "lowest excess": ("rule=excess", "end=lowest"),
    "excess, λ = 2": ("rule=excess", "weight=2"),
    "static": ("rule=static",),
    "history": ("rule=history",),
    "visual gain": ("rule=visual",),
    "prior": ("rule=prior",),
    SWITCH: ("rule=switch",),
    ORACLE: ("rule=oracle",),
}
FRACTIONS = (0.4, 0.8)  # of tokens kept by excess loss, beside .6
CRITERIA = (
    Criterion(
        f"gain.{EXCESS}.{MANY}", 0.15, by_interval=True,
        claim="excess loss beats the standard loss by .15 at 40 % wrong words, small set",
    ),
    Criterion(
        f"gain.{EXCESS}.{FEW}", 0.05, by_interval=True,
        claim="and by .05 at 20 %",
    ),
    Criterion(
        f"over_clean.large, {0.4:.0%} wrong", 0.0, by_interval=True,
        claim="excess loss on a large noisy set beats clean captions alone",
    ),
    *(
        Criterion(
            f"switch_behind.{name}", 0.01, at_least=False, by_interval=True,
            claim="the switch is within .01 of the best rule",
        )
        for name in SETS
    ),
)  # fmt: skip


def trainees(seeds: range, quick: bool = False) -> list[Trainee]:
    """All runs, seed by seed."""
    out = []
    for seed in seeds:
        for name, (pictures, wrong) in SETS.items():
            for arm, selection in arms().items():
                steps = round(LENGTHS.get(arm, 1) * STEPS)
                needs = CLEAN if selection and selection != ("rule=oracle",) else None
                out.append(Trainee(f"{arm}|{name}", seed, pictures, wrong, steps, selection, needs))
        for arm, steps in (("reference", CLEAN[1]), ("clean alone", STEPS)):
            out.append(Trainee(arm, seed, CLEAN[0], 0.0, steps, first=CLEAN_FIRST))
    return [shortened(one) for one in out] if quick else out


def arms() -> dict[str, tuple[str, ...]]:
    """Selections by name, in the order of the table."""
    fractions = {f"{EXCESS}, keep {f:.0%}": ("rule=excess", f"keep={f}") for f in FRACTIONS}
    return {STANDARD: (), **dict.fromkeys(LENGTHS, ()), **RULES, **fractions}


def shortened(one: Trainee) -> Trainee:
    """The same run with a handful of pictures and steps."""
    clean = one.clean and (12, 2)
    return replace(one, pictures=12, steps=4 if one.steps == STEPS else 2, clean=clean)


def numbers(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Metrics of one seed, flat: accuracy of every arm, and what is claimed."""
    found = {row["arm"]: row["accuracy"] for row in rows}
    out = {f"accuracy.{arm.replace('|', '.')}": value for arm, value in found.items()}
    for name in SETS:
        rules = {rule: found[f"{rule}|{name}"] for rule in RULES}
        out |= {f"gain.{r}.{name}": v - rules[STANDARD] for r, v in rules.items() if r != STANDARD}
        out[f"over_clean.{name}"] = rules[EXCESS] - found["clean alone"]
        for budget, arm in zip(("tokens", "compute"), LENGTHS, strict=True):
            out[f"gain_at_equal_{budget}.{name}"] = rules[EXCESS] - found[f"{arm}|{name}"]
    return out


def behind(metrics: dict[str, list[float]], cells: dict[str, str]) -> dict[str, list[float]]:
    """How far the switch lies behind the rule that is best on average, by cell, over seeds.

    Parameters
    ----------
    cells : name of a cell → name of its metrics, with `{}` in place of the rule
    """
    out = {}
    for name, metric in cells.items():
        rivals = [rule for rule in RULES if rule not in (ORACLE, SWITCH)]
        scores = [metrics[metric.format(r)] for r in rivals if metric.format(r) in metrics]
        best = max(scores, key=sum)
        switched = metrics[metric.format(SWITCH)]
        out[f"switch_behind.{name}"] = [b - s for b, s in zip(best, switched, strict=True)]
    return out


def by_arm(by_seed: list[list[dict[str, Any]]], name: str) -> dict[str, list[Any]]:
    """What the rows of every arm have under a name, a seed after the other."""
    return {
        row["arm"]: [own[at][name] for own in by_seed]
        for at, row in enumerate(by_seed[0])
        if row[name]
    }


def details(by_seed: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """What the picture needs beside metrics: names, and the rows' curves."""
    return {
        "arms": list(arms()), "sets": list(SETS), "rules": list(RULES),
        "looked": by_arm(by_seed, "looked"), "kept": by_arm(by_seed, "kept"),
        "seconds": {row["arm"]: row["seconds"] for row in by_seed[0]},
    }  # fmt: skip


@dataclass(frozen=True)
class Study:
    """Experiment on selections: its runs, what is said of them, and how it is drawn.

    Parameters
    ----------
    trainees : runs of some seeds, seed by seed; those of the quick form where that is asked for
    numbers : metrics of the rows of one seed, flat; `accuracy.<rule>.<cell>` among them
    cells : in which rules are compared, and the switch with the best of them
    details : what the picture needs beside metrics, from the rows by seed
    """

    name: str
    claim: str
    criteria: tuple[Criterion, ...]
    trainees: Callable[[range, bool], list[Trainee]]
    numbers: Callable[[list[dict[str, Any]]], dict[str, float]]
    cells: Sequence[str]
    details: Callable[[list[list[dict[str, Any]]]], dict[str, Any]]

    def reproduce(
        self, draw: Callable[[dict], Any], config: Config, seeds: int, results: Path, runs: Path,
        quick: bool = False, jobs: int = 1,
    ) -> dict:  # fmt: skip
        """All runs, once per seed, with the record and its picture."""
        folder = results / f"{self.name}{'-quick' if quick else ''}"
        seeds = 1 if quick else seeds
        config = override(config, QUICK) if quick else config

        todo = self.trainees(range(seeds), quick)
        by_seed = run_seeds(todo, seeds, config, folder / "rows", runs, jobs)
        flat = [self.numbers(own) for own in by_seed]
        metrics = {metric: [one[metric] for one in flat] for metric in flat[0]}
        metrics |= behind(metrics, {name: f"accuracy.{{}}.{name}" for name in self.cells})
        described = self.details(by_seed)
        return conclude(folder, self.claim, seeds, metrics, self.criteria, described, draw)


STUDY = Study("svlm", CLAIM, CRITERIA, trainees, numbers, tuple(SETS), details)


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False, jobs: int = 1
) -> dict:
    """Every rule on four sets of captions, once per seed, with its record and its picture."""
    from omni_lab.plots.selection.rules import draw_selections

    return STUDY.reproduce(draw_selections, config, seeds, results, runs, quick, jobs)
