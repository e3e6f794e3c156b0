"""Forecast: where the total loss of another mixture of questions flattens and falls again.

The loss of every fact on one mixture, as in O12 from new weights, is carried to another mixture by
how often each fact is asked there. How much practice counts (γ) is fitted on a second mixture. The
forecast for the third is written to `results/forecast/forecast.json` before it is run.

Command: `omni-lab reproduce forecast --seeds 3 --jobs 2`. Hardware: 2 CPU cores, no GPU; about 10
minutes a run on one core, for three mixtures and each seed.
Expected, written down first: both break times of the third mixture's total within a fifth of the
forecast in every seed, and its curve nearer to the forecast than to that of the first mixture.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.forecast import REST, fitted_gamma, forecast, rest_of, smoothed, stretched
from omni_lab.analysis.logs.curve import Curve
from omni_lab.config import Config, config_hash, override
from omni_lab.reproduce.arms import Arm, Task, run_all
from omni_lab.reproduce.experiments.comparison import BASE, QUICK, omni
from omni_lab.reproduce.experiments.loss_phases import ARMS
from omni_lab.reproduce.record import Criterion, conclude
from omni_lab.storage import write_json

CLAIM = "The curve of another mixture's total loss can be told beforehand from the curves of facts"
SCRATCH = ARMS[0]
FITTED = "world.asked=word=1,speaker=0.3,beeps=1,sign=5"  # less by ear, more signs
FORETOLD = "world.asked=shape_to_colour=4,colour_to_shape=4,colour=4,shape=4,position=4,sign=6"
FROM = 20.0  # step from which curves are compared: the rate has risen
BATCHES = 40  # of a mixture, in which the shares of facts are counted
NEAR = 0.2
CRITERIA = (
    Criterion("break_error.first", NEAR, at_least=False, claim="where the total flattens"),
    Criterion("break_error.second", NEAR, at_least=False, claim="where it falls again"),
    Criterion(
        "error.better_than_the_same", 0.0, by_interval=True,
        claim="the forecast is nearer than the first mixture's curve",
    ),
    Criterion(
        "error.better_than_shares", 0.0, by_interval=True,
        claim="practice tells more than the shares alone",
    ),
)  # fmt: skip


def shares(config: Config) -> dict[str, float]:
    """Fraction of a stream's supervised tokens that state each fact, counted in the data alone."""
    from omni_lab.sequences.batch import IGNORED
    from omni_lab.sequences.targets import NO_GROUP
    from omni_lab.world.source import lessons

    data = lessons(config, config.training.stages[-1])
    counts: Counter[str] = Counter()
    for step in range(BATCHES):
        rows = data.batch(step).streams
        counts["all"] += int((rows.labels != IGNORED).sum())
        stated = rows.targets.fact[rows.targets.fact != NO_GROUP]
        for number, name in enumerate(rows.targets.facts):
            counts[name] += int((stated == number).sum())
    total = counts.pop("all")
    return {name: count / total for name, count in counts.items()} | {
        REST: 1 - sum(counts.values()) / total
    }


def skills_of(log: Path, share: dict[str, float]) -> tuple[dict[str, Curve], Curve]:
    """Smoothed losses of a run's facts and rest, and of its answers in streams as a whole."""
    from omni_lab.analysis.logs import read_log

    curves = read_log(log, loss="stream").curves
    facts = {
        name.removeprefix("facts."): smoothed(curve)
        for name, curve in curves.items()
        if name.startswith("facts.") and name.removeprefix("facts.") in share
    }
    total = smoothed(curves["stream"])
    return {**facts, REST: rest_of(total, facts, share)}, total


def breaks_of(
    steps: Float64[np.ndarray, " points"], loss: Float64[np.ndarray, " points"]
) -> list[float]:
    """The two steps at which a line of three pieces through a log-log curve bends, by least squares."""
    from omni_lab.analysis.phases import broken_line

    own = steps >= FROM
    x = np.linspace(np.log(steps[own][0]), np.log(steps[own][-1]), 120)
    breaks, _ = broken_line(x, np.interp(x, np.log(steps[own]), np.log(loss[own])), 2)
    return [float(step) for step in np.exp(breaks)]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of log loss."""
    return float(np.sqrt(np.mean((np.log(one) - np.log(other)) ** 2)))


def mean_curves(runs: list[dict[str, Curve]]) -> dict[str, Curve]:
    """Geometric means over seeds of curves on one grid of steps."""
    return {
        name: replace(
            runs[0][name],
            values=np.exp(np.mean([np.log(run[name].values) for run in runs], axis=0)),
        )
        for name in runs[0]
        if all(name in run for run in runs)
    }


def foretold(tasks: dict[str, list[Task]], path: Path, steps: np.ndarray) -> dict[str, Any]:
    """Forecast of the third mixture, from a file where it was written before that was run."""
    key = config_hash([config_hash(task.config) for own in tasks.values() for task in own])
    if path.is_file() and (kept := json.loads(path.read_text(encoding="utf-8")))["key"] == key:
        return kept

    share = {name: shares(own[0].config) for name, own in tasks.items()}
    runs = {
        name: [skills_of(task.log, share[name])[0] for task in tasks[name]]
        for name in ("first", "fitted")
    }
    pairs = list(zip(runs["first"], runs["fitted"], strict=True))
    gamma, errors = fitted_gamma(pairs, share["first"], share["fitted"])
    skills = mean_curves(runs["first"])
    curves = {
        name: forecast(skills, share["first"], share["foretold"], steps, exponent)
        for name, exponent in (("forecast", gamma), ("shares", 0.0))
    }
    same = forecast(skills, share["first"], share["first"], steps, 0.0)["total"]
    told = {
        "key": key, "gamma": gamma, "gamma_errors": errors, "shares": share,
        "steps": steps.tolist(), "breaks": breaks_of(steps, curves["forecast"]["total"]),
        "curves": {fact: values.tolist() for fact, values in curves["forecast"].items()},
        "shares_alone": curves["shares"]["total"].tolist(), "the_same": same.tolist(),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, told)
    return told


def reproduce(
    config: Config, seeds: int, results: Path, runs: Path, quick: bool = False, jobs: int = 1
) -> dict:
    """Two mixtures, the forecast of the third in a file, then the third."""
    from omni_lab.plots.training.forecasts import draw_forecast

    folder = results / f"forecast{'-quick' if quick else ''}"
    config = override(config, BASE + (QUICK if quick else ()))
    seeds = 1 if quick else seeds
    short = omni("steps=60") if quick else ()
    mixtures = {"first": (), "fitted": (FITTED,), "foretold": (FORETOLD,)}
    tasks = {
        name: [
            Task(
                f"{SCRATCH.name}, {name} mixture",
                Arm(name, (*SCRATCH.settings, *short, *asked), scratch=True).configured(config, s),
                folder if quick else results, runs, whole=True,
            )
            for s in range(seeds)
        ]
        for name, asked in mixtures.items()
    }  # fmt: skip
    run_all([*tasks["first"], *tasks["fitted"]], jobs)

    last = tasks["first"][0].config.training.stages[-1].steps - 1
    steps = np.exp(np.linspace(np.log(FROM), np.log(last), 160))
    told = foretold(tasks, folder / "forecast.json", steps)
    run_all(tasks["foretold"], jobs)

    totals = [skills_of(task.log, told["shares"]["foretold"])[1] for task in tasks["foretold"]]
    seen = [stretched(total, steps, 1.0) for total in totals]
    breaks = [breaks_of(steps, one) for one in seen]
    error = {
        name: [distance(np.array(curve), one) for one in seen]
        for name, curve in (
            ("forecast", told["curves"]["total"]), ("shares", told["shares_alone"]),
            ("the_same", told["the_same"]),
        )
    }  # fmt: skip
    metrics = {
        **{
            f"break_error.{which}": [abs(own[at] / told["breaks"][at] - 1) for own in breaks]
            for at, which in enumerate(("first", "second"))
        },
        **{f"error.{name}": values for name, values in error.items()},
        **{
            f"error.better_than_{name}": [
                other - own for own, other in zip(error["forecast"], error[name], strict=True)
            ]
            for name in ("shares", "the_same")
        },
    }
    details = {
        "forecast": told,
        "seen": [[float(f"{value:.5g}") for value in one] for one in seen],
        "breaks": breaks,
        "mixtures": {name: list(asked) for name, asked in mixtures.items()},
    }
    return conclude(folder, CLAIM, seeds, metrics, CRITERIA, details, draw_forecast)
