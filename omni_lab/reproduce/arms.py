"""Arms of an experiment: runs that differ in a few settings, with their beginnings in common.

Arms that differ in the last stage alone start from one checkpoint of the stages before, and an arm
that several experiments have is run once: results are kept by the hash of all settings.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omni_lab.config import Config, config_hash, from_dict, override, to_dict
from omni_lab.reproduce.record import kept_row
from omni_lab.storage import atomic_write

if TYPE_CHECKING:
    from omni_lab.model.omni import OmniModel

PLAIN = "plain"
POINTS = 60  # of a kept loss curve
WATCHED, EVERY = 32, 25  # clips, and steps from one look at a model to the next
LAST = 0.1  # of the steps, whose mean loss is the final one


@dataclass(frozen=True)
class Arm:
    """One arm: what it changes, beside the settings that all arms have.

    Parameters
    ----------
    settings : changes, as `--set` takes them
    scratch : trains the last stage alone, from new weights
    """

    name: str
    settings: tuple[str, ...] = ()
    scratch: bool = False

    def configured(self, config: Config, seed: int) -> Config:
        """Settings of one run of the arm."""
        own = override(config, [f"seed={seed}", *self.settings])
        if self.scratch:
            stages = own.training.stages[-1:]
            own = replace(own, training=replace(own.training, stages=stages))
        return own


@dataclass(frozen=True)
class Task:
    """One run of one arm: its settings, and where its results and its files lie.

    Parameters
    ----------
    whole : keep the log of every step beside the row, as CSV, and watch the model on the way
    """

    arm: str
    config: Config
    results: Path
    runs: Path
    whole: bool = False

    @property
    def row(self) -> Path:
        """File that keeps the run's results."""
        return self.results / "arms" / f"{config_hash(self.config)}.json"

    @property
    def log(self) -> Path:
        """CSV file of the losses of every step, of a task whose whole log is kept."""
        return self.row.with_suffix(".csv")

    @property
    def beginning(self) -> Config | None:
        """Settings of the stages before the last; None where there are none."""
        return beginning_of(self.config)


def beginning_of(config: Config) -> Config | None:
    """The same training without its last stage, whose settings are no part of it."""
    before = config.training.stages[:-1]
    if not before:
        return None
    return replace(config, training=replace(config.training, stages=before))


def begin(config: Config, runs: Path) -> Path:
    """Run folder of a beginning, trained where it is not there yet."""
    from omni_lab.training import checkpoint
    from omni_lab.training.run import Place, RunFolder
    from omni_lab.training.session import Session

    folder, stages = runs / "beginnings" / config_hash(config), config.training.stages
    names = tuple(stage.name for stage in stages)
    found = checkpoint.latest(folder / "checkpoints", names)
    if not found or found[1] != Place(names[-1], stages[-1].steps):
        Session(config).fit(RunFolder(folder, config), progress=False)
    return folder


def measure(task: Task) -> dict[str, Any]:
    """Train one arm and examine it on unseen scenes; what is kept of it, plain JSON."""
    from omni_lab.evaluation.gallery.exam import fact_scores
    from omni_lab.training.run import RunFolder
    from omni_lab.training.session import Session

    config, before = task.config, task.beginning
    init = begin(before, task.runs) if before else None
    last = replace(config.training.stages[-1], steps_multiple=0.0)  # its steps are known
    alone = replace(config, training=replace(config.training, stages=(last,)))

    folder = task.runs / "arms" / config_hash(config)
    run = RunFolder(folder, alone)
    watched: list[dict[str, float]] = []
    session = Session(alone, init)
    watch = _watch(session.model, config, watched) if task.whole else None
    model = session.fit(run, progress=False, watch=watch)
    metrics = run.metrics()
    if task.whole:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(task.log, as_csv(metrics))
    scores = fact_scores(model, config, "test", with_losses=True)

    shutil.rmtree(folder)  # what is kept of a run is small, its weights are not
    return {
        "arm": task.arm,
        "seed": config.seed,
        "facts": {
            fact: {name: round(float(score[name]), 5) for name in ("accuracy", "loss", "n")}
            | {"carriers": score["carriers"]}
            for fact, score in scores.items()
        },
        "final_loss": _final(metrics),
        "curves": thinned(metrics),
        **({"watched": watched} if task.whole else {}),
        "seconds": round(sum(line["seconds"] for line in metrics), 1),
        "tokens": sum(line["tokens"] for line in metrics),
    }


def perform(task: dict[str, Any]) -> dict[str, Any]:
    """Results of a task given as plain JSON, from what is kept or by running it (for a pool)."""
    places = Path(task["results"]), Path(task["runs"])
    own = Task(task["arm"], from_dict(task["config"]), *places, task["whole"])
    return kept_row(own.row, own.config, lambda: measure(own))


def run_all(tasks: Sequence[Task], jobs: int = 1) -> list[dict[str, Any]]:
    """Results of all tasks in their order, `jobs` at a time, each on one thread.

    Beginnings come first, each once: two processes never train into one folder.
    """
    plain = {
        task.row: {
            "arm": task.arm, "config": to_dict(task.config),
            "results": str(task.results), "runs": str(task.runs), "whole": task.whole,
        }
        for task in tasks
    }  # fmt: skip
    missing = {row: task for row, task in plain.items() if not row.is_file()}
    begun = {
        config_hash(task.beginning): task
        for task in tasks
        if task.row in missing and task.beginning
    }
    beginnings = [(_begin, to_dict(t.beginning), str(t.runs)) for t in begun.values()]
    pooled([beginnings, [(perform, task) for task in missing.values()]], jobs, "arms")
    return [perform(plain[task.row]) for task in tasks]


def pooled(rounds: Sequence[Sequence[tuple]], jobs: int, what: str) -> None:
    """Rounds of calls, `(function, *arguments)`, `jobs` at a time; each waits for the one before.

    Parameters
    ----------
    what : is run, for the progress bar
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from omni_lab.progress import Progress

    with Progress(sum(map(len, rounds)), what, "run") as bar:
        if jobs == 1:
            for function, *arguments in (call for calls in rounds for call in calls):
                function(*arguments)
                bar.update()
            return
        spawn, parent = get_context("spawn"), os.getpid()
        with ProcessPoolExecutor(jobs, spawn, _end_with, (parent,)) as pool:
            for calls in rounds:
                for done in as_completed([pool.submit(*call) for call in calls]):
                    done.result()
                    bar.update()


def _end_with(parent: int) -> None:
    """End this process when its parent has: a run that was killed would leave workers at work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _begin(config: dict[str, Any], runs: str) -> None:
    """Train a beginning that is given as plain JSON (for a pool)."""
    begin(from_dict(config), Path(runs))


def _watch(model: OmniModel, config: Config, found: list[dict]) -> Callable[[str, int], None]:
    """Hook of a trainer that measures a model on the same unseen clips, now and then."""
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.evaluation.answers import make_eval_set
    from omni_lab.evaluation.gallery.exam import world_clips
    from omni_lab.evaluation.gallery.plateau import plateau_figures

    clips = world_clips(config, "test", WATCHED)
    exam = make_eval_set(clips, config, build_vocabulary(config))

    def watch(stage: str, done: int) -> None:
        if done % EVERY == 0:
            figures = plateau_figures(model, exam)
            found.append({"step": done} | {name: round(x, 5) for name, x in figures.items()})

    return watch


def as_csv(metrics: list[dict]) -> str:
    """Losses of every step as CSV, a column for each, empty where a step has none."""
    flat = [{"step": line["step"], "lr": line["lr"], **_flat(line)} for line in metrics]
    names = list(dict.fromkeys(name for line in flat for name in line))
    rows = (
        ",".join(f"{line[name]:.5g}" if name in line else "" for name in names) for line in flat
    )
    return "\n".join([",".join(names), *rows]) + "\n"


def _final(metrics: list[dict]) -> float:
    """Mean training loss over the last tenth of the steps, nats per token."""
    last = metrics[-max(1, round(LAST * len(metrics))) :]
    return round(float(np.mean([line["loss"] for line in last])), 5)


def thinned(metrics: list[dict]) -> dict[str, list]:
    """Loss curves of a run at up to `POINTS` points: means over stretches of equal length.

    Returns
    -------
    curves : `step` (middle of each stretch), and `loss`, `stream`, `caption`, `align`,
        `facts.<fact>`, `senses.<sense>`; None where a stretch has no such loss
    """
    edges = np.unique(np.linspace(0, len(metrics), min(POINTS, len(metrics)) + 1).round()).astype(
        int
    )
    flat = [_flat(line) for line in metrics]
    names = sorted({name for line in flat for name in line})
    curves: dict[str, list] = {"step": ((edges[1:] + edges[:-1] - 1) / 2).tolist()}
    for name in names:
        stretches = ([line[name] for line in flat[a:b] if name in line] for a, b in pairwise(edges))
        curves[name] = [round(float(np.mean(s)), 4) if s else None for s in stretches]
    return curves


def _flat(line: dict) -> dict[str, float]:
    """Losses of a step by dotted name."""
    out = {name: line[name] for name in ("loss", "stream", "caption", "align") if name in line}
    for kind in ("facts", "senses"):
        out |= {f"{kind}.{name}": value for name, value in line.get(kind, {}).items()}
    return {name: value for name, value in out.items() if math.isfinite(value)}
