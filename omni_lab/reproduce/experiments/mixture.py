"""Instruction mixture: does training longer help and then harm, and how well are mixtures chosen?

A decoder that has learned from text alone is instructed on six tasks of very unequal size: captions,
questions on a picture, comparisons of two, video order, speech, text alone. (a) The curve: parts of
one mixture double from 1 to 8, a trunk runs through them at a constant rate, from each part's state
a branch trains on for 10 % more steps with a linear decay, and the trunk's last checkpoints are
merged (WSM). (b) The surface: random mixtures at one budget, a fit, and the optimum that it finds,
confirmed in other orders of the samples. (c) From these runs, replayed: how far from the optimum
OmChat's procedure (one mixture by importance), random search and regression (as RegMix) end, and how
often a winner by one score is none.

Command: `omni-lab reproduce mixture --seeds 5 --jobs 2`. Hardware: 2 CPU cores, no GPU; 230 runs at
one budget (17 CPU-seconds each on a crowded machine), ten curves of a minute each, and four minutes
for the beginning of every seed.
Expected, written down before all but one trial seed of the curve: the branches' average rises from
the first part to the second, and falls from there to the eighth (C9: from 10 to 20 million tokens,
and from there to 80); text loses more than the other tasks do on average, and loses at all; merging
is within .01 of the branches; the mixture by importance is within .02 of the optimum; the optimum is
above equal shares; at most one winner in ten of eight runs is none, against the runner-up; without
comparisons and videos among the instructions both are answered worse by .05 (C10).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni_lab.analysis.mixtures import (
    Judge,
    candidates,
    cross_validated,
    draw_percentages,
    fitted,
    rank_correlation,
    replay,
)
from omni_lab.config import Config, override
from omni_lab.reproduce.record import Criterion, conclude
from omni_lab.reproduce.runs.mixture import Sizes, Trial, run_trials
from omni_lab.training.branches.held_out import AVERAGE
from omni_lab.world.instruct.examples import TASKS

CLAIM = (
    "Decay branches of one mixture tell how long to train, and text is what longer training loses"
)
Percent = tuple[float, ...]  # of every task, in the order of TASKS
IMPORTANCE: Percent = (30, 25, 15, 15, 5, 10)
EQUAL: Percent = (100 / 6,) * 6
MANY = ("compare", "order")  # tasks that show several pictures
MIXTURES = 40  # of the surface, for every seed; among them the two above and six corners
CORNER = 95  # per cent of one task
AGAIN = 2  # other orders of the samples in which mixtures are confirmed
CONFIRMED = 1000  # first of these orders
SEARCHED = (4, 8, 16, 32)  # runs that a procedure may make
PARTS = Sizes().parts
QUICK_SIZES = Sizes(words=4, part=3, parts=(1, 2), merged=2, window=0.5, tested=12, fewer=200)
QUICK_SETTINGS = (
    "training.stages.vision.steps=2", "training.stages.vision.batch_size=4",
    "training.stages.audio.steps=2", "training.stages.audio.batch_size=4",
)  # fmt: skip

CRITERIA = (
    Criterion(
        "curve.rise", 0.0, by_interval=True,
        claim="C9 scores rise from the first part to the second",
    ),
    Criterion(
        "curve.fall", 0.0, at_least=False, by_interval=True,
        claim="C9 and fall from the second to the eighth",
    ),
    Criterion(
        "curve.text", 0.0, at_least=False, by_interval=True, claim="C9 it is text that falls",
    ),
    Criterion(
        "curve.text_beside_others", 0.0, at_least=False, by_interval=True,
        claim="C9 it is text that falls",
    ),
    Criterion(
        "curve.merge_behind", 0.01, at_least=False, by_interval=True,
        claim="merging is within .01 of the branches",
    ),
    Criterion(
        "confirmed.optimum_over_importance", 0.02, at_least=False, by_interval=True,
        claim="C9 percentages by importance are within .02 of the optimum",
    ),
    Criterion(
        "confirmed.optimum_over_equal", 0.0, by_interval=True,
        claim="the optimum of the fit beats equal shares",
    ),
    Criterion(
        "false.runner_up.8", 0.1, at_least=False, by_interval=True,
        claim="one winner of eight runs in ten, at most, is none",
    ),
    Criterion(
        "needed.compare_and_order", 0.05, by_interval=True,
        claim="C10 comparisons and videos are learned from instructions of their kind",
    ),
)  # fmt: skip


def named(percent: Sequence[float]) -> tuple[str, ...]:
    """Percentages as a mixture takes them; equal ones as fractions, those at 0 left out."""
    if len({*percent}) == 1:
        return tuple(f"{task}=100/{len(percent)}" for task in TASKS)
    return tuple(f"{t}={p:g}" for t, p in zip(TASKS, percent, strict=True) if p)


def mixtures(seed: int, count: int) -> list[Percent]:
    """Mixtures of the surface that a seed runs: equal, by importance, corners, random ones."""
    least = (100 - CORNER) // (len(TASKS) - 1)
    corners = [
        tuple(CORNER if task == own else least for task in range(len(TASKS)))
        for own in range(len(TASKS))
    ]  # fmt: skip
    rng = np.random.default_rng([seed, 1])
    drawn = [tuple(draw_percentages(rng, len(TASKS))) for _ in range(count)]
    return [EQUAL, IMPORTANCE, *corners, *drawn][:count]


def without_many() -> Percent:
    """The mixture by importance without comparisons and videos, its other shares in proportion."""
    kept = [0 if t in MANY else p for t, p in zip(TASKS, IMPORTANCE, strict=True)]
    whole = [round(100 * p / sum(kept)) for p in kept]
    whole[0] += 100 - sum(whole)
    return tuple(whole)


def curve_numbers(row: dict[str, Any], without: dict[str, Any]) -> dict[str, float]:
    """Metrics of one seed's curve: every kind and part, and what is claimed of them.

    Parameters
    ----------
    without : the curve of the mixture without comparisons and videos
    """
    points, names = row["points"], (*TASKS, AVERAGE)
    out = {f"before.{name}": row["before"][name] for name in names}
    for part, point in zip(PARTS, points, strict=False):
        for kind in ("trunk", "branch", "merge"):
            out |= {f"{kind}.{part}.{name}": point[kind][name] for name in names}
    first, second, last = (points[n]["branch"] for n in (0, 1, -1))
    change = {name: last[name] - second[name] for name in names}
    behind = [point["branch"][AVERAGE] - point["merge"][AVERAGE] for point in points]
    gain = [point["branch"][AVERAGE] - point["trunk"][AVERAGE] for point in points]
    others = [change[task] for task in TASKS if task != "text"]
    blind = without["points"][-1]["branch"]
    needed = [last[task] - blind[task] for task in MANY]
    return out | {
        "curve.rise": second[AVERAGE] - first[AVERAGE],
        "curve.fall": change[AVERAGE],
        "curve.text": change["text"],
        "curve.text_beside_others": change["text"] - float(np.mean(others)),
        "curve.merge_behind": float(np.mean(behind)),
        "curve.gain_of_decay": float(np.mean(gain)),
        "needed.compare_and_order": float(np.mean(needed)),
    }


def false_parts(curves: Sequence[dict[str, Any]]) -> list[float]:
    """Whether the part that a seed crowns is another one than all other seeds' mean crowns."""
    table = np.array([[p["branch"][AVERAGE] for p in row["points"]] for row in curves])
    found = []
    for seed in range(len(table)):
        others = np.delete(table, seed, 0) if len(table) > 1 else table
        found.append(float(table[seed].argmax() != others.mean(0).argmax()))
    return found


def surface_numbers(
    rows: Sequence[dict[str, Any]], shares: np.ndarray, seed: int
) -> dict[str, float]:
    """Metrics of one seed's replayed procedures, judged by the surface of the other seeds."""
    scores, seeds = _scores(rows), np.array([row["seed"] for row in rows])
    own = seeds == seed
    rest = ~own if (~own).any() else own  # a quick form has one seed
    judge = Judge(fitted(shares[rest], scores[rest], seeds[rest]), candidates(len(TASKS)))
    runs = [count for count in SEARCHED if count <= own.sum() - 2]
    known = judge.surface(shares[own])
    return {
        "regret.importance": judge.regret(np.array(IMPORTANCE) / 100),
        "regret.equal": judge.regret(np.array(EQUAL) / 100),
        "rank_correlation": rank_correlation(scores[own], known),
        **replay(shares[own], scores[own], judge, runs),
    }


def _scores(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.array([row["scores"][AVERAGE] for row in rows])


def confirmed(seed: int, arms: dict[str, Percent], again: int) -> list[tuple[str, Trial]]:
    """Trials of a seed that confirm mixtures, in orders that no other run had."""
    return [
        (name, Trial(seed, named(percent), CONFIRMED + order))
        for name, percent in arms.items()
        for order in range(again)
    ]


def compared(rows: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, float]:
    """Metrics of one seed's confirmation, from its rows by mixture."""

    def mean(arm: str) -> float:
        return float(np.mean([row["scores"][AVERAGE] for own, row in rows if own == arm]))

    best = mean("optimum")
    return {
        **{f"confirmed.{arm}": mean(arm) for arm in ("optimum", "importance", "equal")},
        "confirmed.optimum_over_importance": best - mean("importance"),
        "confirmed.optimum_over_equal": best - mean("equal"),
    }


def noise(rows: Sequence[tuple[str, dict[str, Any]]]) -> float:
    """Standard deviation of a score between orders of the same samples, of one mixture and seed."""
    by: dict[tuple[str, int], list[float]] = {}
    for arm, row in rows:
        by.setdefault((arm, row["seed"]), []).append(row["scores"][AVERAGE])
    several = [np.var(own, ddof=1) for own in by.values() if len(own) > 1]
    return float(np.sqrt(np.mean(several))) if several else 0.0


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False, jobs: int = 1
) -> dict:
    """Curve, surface and confirmation, each once per seed, with the record and its picture."""
    from omni_lab.plots.training.surfaces import draw_mixtures

    folder = results / f"mixture{'-quick' if quick else ''}"
    seeds, sizes, count = (1, QUICK_SIZES, 10) if quick else (seeds, Sizes(), MIXTURES)
    config = override(config, QUICK_SETTINGS) if quick else config

    def run(trials: Sequence[Trial]) -> list[dict[str, Any]]:
        return run_trials(trials, config, sizes, folder / "rows", runs, jobs)

    curves, without = (
        run([Trial(s, named(percent), s, curve=True) for s in range(seeds)])
        for percent in (IMPORTANCE, without_many())
    )
    drawn = [(seed, percent) for seed in range(seeds) for percent in mixtures(seed, count)]
    rows = run([Trial(seed, named(percent), seed) for seed, percent in drawn])
    shares = np.array([percent for _, percent in drawn]) / 100
    scores, of = _scores(rows), np.array([seed for seed, _ in drawn])
    surface, grid = fitted(shares, scores, of), candidates(len(TASKS))
    optimum = tuple(int(p) for p in np.round(100 * grid[surface(grid).argmax()]))

    arms = {"optimum": optimum, "importance": IMPORTANCE, "equal": EQUAL}
    asked = [t for s in range(seeds) for t in confirmed(s, arms, 1 if quick else AGAIN)]
    again = list(zip([arm for arm, _ in asked], run([t for _, t in asked]), strict=True))

    flat = [
        curve_numbers(curves[s], without[s])
        | surface_numbers(rows, shares, s)
        | compared([(arm, row) for arm, row in again if row["seed"] == s])
        for s in range(seeds)
    ]
    metrics = {name: [one[name] for one in flat] for name in flat[0]}
    metrics["false.part"] = false_parts(curves)
    details = {
        "tasks": list(TASKS), "parts": list(sizes.parts), "steps": list(sizes.ends),
        "searched": [n for n in SEARCHED if f"regret.random.{n}" in metrics],
        "percentages": {name: list(percent) for name, percent in arms.items()},
        "cross_validated": cross_validated(shares, scores, of),
        "noise": noise(again),
        "rows": [
            {"seed": int(s), "percent": [round(100 * x, 2) for x in own], "score": round(y, 5),
             "fit": round(float(f), 5)}
            for s, own, y, f in zip(of, shares, scores, surface(shares), strict=True)
        ],
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }  # fmt: skip
    return conclude(folder, CLAIM, seeds, metrics, CRITERIA, details, draw_mixtures)
