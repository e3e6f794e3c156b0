"""Runs of instruction mixtures: beginnings, curves over parts, and single mixtures at one budget.

Eyes and ears come from the demo's stages `vision` and `audio`, and stay as they are; the decoder
begins with new weights and learns from text alone before it is instructed, so that it has something
to forget. What eyes and ears give of every dataset is computed once a seed.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from omni_lab.config import Config, StageConfig, config_hash, from_dict, to_dict
from omni_lab.data.instruct.mixture import Mixture, mix
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import Writing, writing_of
from omni_lab.evaluation.gallery.instruct import task_scores
from omni_lab.model.omni import OmniModel
from omni_lab.reproduce.arms import begin, pooled
from omni_lab.reproduce.record import kept_row
from omni_lab.reproduce.runs.beginnings import demo_stages, one_stage, with_parts
from omni_lab.storage import replace_folder
from omni_lab.training import checkpoint
from omni_lab.training.branches.curve import Branching, explore
from omni_lab.training.branches.held_out import AVERAGE
from omni_lab.training.models import new_model, trained
from omni_lab.training.run import Place, RunFolder
from omni_lab.training.trainer import Trainer
from omni_lab.world.instruct.datasets import SIZES, InstructSet, instruct_sets
from omni_lab.world.instruct.examples import TASKS
from omni_lab.world.instruct.lessons import InstructLessons, WordLessons

STAGE, WORDS = "instruct", "words"
ROWS = 60  # samples a step
SENSES = ("image", "audio", "connector")  # parts that stay as the demo's stages leave them


@dataclass(frozen=True)
class Sizes:
    """How much of everything: steps, samples of datasets, samples of exams.

    Parameters
    ----------
    words : steps on text alone
    part : steps of the first part
    parts : ends of the parts, in first parts
    extra : steps of a branch, as a fraction of those before it
    merged, window : checkpoints of a merge, and the fraction of the steps that they lie in
    budget : steps of a single mixture, in first parts, before its decay
    tested : unseen samples of every task
    fewer : datasets have so many times fewer samples
    rate : of instruction, as a multiple of both learning rates
    """

    words: int = 400
    part: int = 50
    parts: tuple[int, ...] = (1, 2, 4, 8)
    extra: float = 0.1
    merged: int = 5
    window: float = 0.2
    budget: int = 3
    tested: int = 200
    fewer: int = 1
    rate: float = 0.5

    @property
    def ends(self) -> tuple[int, ...]:
        """Steps of the trunk at the end of every part."""
        return tuple(self.part * part for part in self.parts)

    @property
    def datasets(self) -> dict[str, int]:
        """Samples of every task in training."""
        return {task: max(8, size // self.fewer) for task, size in SIZES.items()}


@dataclass(frozen=True)
class Trial:
    """One run: a seed's beginning, percentages, and the order of the samples.

    Parameters
    ----------
    seed : of the beginning
    percentages : of the samples, by task: `captions=30`
    order : of the mixture's samples
    curve : through all parts, with branches and merges; else one budget, with a decay
    """

    seed: int
    percentages: tuple[str, ...]
    order: int
    curve: bool = False


def sensing(config: Config, seed: int) -> Config:
    """Settings of the demo's stages that eyes and ears come from."""
    return demo_stages(config, seed, ("vision", "audio"))


def reading(config: Config, seed: int, sizes: Sizes) -> Config:
    """Settings of the decoder's stage on text alone."""
    stage = StageConfig(
        WORDS, train=("decoder",), steps=sizes.words, batch_size=64, decay_fraction=0.4
    )
    return one_stage(config, seed, stage)


def instructed(config: Config, seed: int, sizes: Sizes) -> Config:
    """Settings of one budget of a mixture: a constant rate, then a decay as long as a branch."""
    before = sizes.budget * sizes.part
    after = max(1, round(sizes.extra * before))
    stage = StageConfig(
        STAGE, train=("decoder",), steps=before + after, batch_size=ROWS, decay_steps=after,
        decay_floor=0.0, lr_scale=sizes.rate,
    )  # fmt: skip
    return one_stage(config, seed, stage)


@functools.lru_cache(maxsize=4)
def datasets(config: Config, split: str, count: tuple[int, ...]) -> dict[str, InstructSet]:
    """Datasets of a split, which all seeds have in common."""
    sizes = dict(zip(TASKS, count, strict=True))
    return instruct_sets(written(config), split, sizes)


def written(config: Config) -> Writing:
    """Format of instruction samples."""
    return writing_of(config, StageConfig(STAGE, train=("decoder",)), build_vocabulary(config))


@dataclass(frozen=True, eq=False)
class Beginning:
    """What the runs of a seed have in common: a run folder, datasets, and their encoded units."""

    folder: Path
    train: dict[str, InstructSet]
    test: dict[str, InstructSet]
    units: dict[str, dict[str, Tensor]]  # split → dataset → encoded units


def beginning(config: Config, seed: int, sizes: Sizes, runs: Path) -> Beginning:
    """Beginning of a seed, made where it is not there yet."""
    plain = replace(config, seed=0)
    train = datasets(plain, "train", tuple(sizes.datasets.values()))
    test = datasets(plain, "test", (sizes.tested,) * len(TASKS))
    own = reading(config, seed, sizes)
    folder = runs / "words" / config_hash([to_dict(own), to_dict(sensing(config, seed))])
    found = checkpoint.latest(folder / "checkpoints", (WORDS,))
    if not found or found[1] != Place(WORDS, sizes.words):
        model = with_senses(new_model(own), trained(begin(sensing(config, seed), runs)))
        Trainer(own.training, model, RunFolder(folder, own), False).fit(
            [WordLessons(own, own.training.stages[0])]
        )
    units = {
        split: encoded(folder, sets) for split, sets in (("train", train), ("test", test))
    }  # fmt: skip
    return Beginning(folder, train, test, units)


def with_senses(model: OmniModel, senses: OmniModel) -> OmniModel:
    """A model with encoders and connectors of another one."""
    return with_parts(model, senses, SENSES)


def encoded(folder: Path, sets: Mapping[str, InstructSet]) -> dict[str, Tensor]:
    """Encoded units of datasets by the model of a run folder, kept beside its checkpoints."""
    kept = folder / "units" / config_hash([own.fingerprint for own in sets.values()])
    file = kept / "units.safetensors"
    if not file.is_file():
        model = trained(folder)
        found = {name: own.encode(model) for name, own in sets.items()}
        half = kept.with_suffix(".tmp")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        save_file({n: u.contiguous() for n, u in found.items() if u is not None}, half / file.name)
        replace_folder(half, kept)
    return load_file(file)


def mixture_of(begun: Beginning, trial: Trial, sizes: Sizes, steps: int) -> Mixture:
    """Mixture of a trial: the parts of the curve and one more for the last branch, or one part.

    Parameters
    ----------
    steps : of a single budget
    """
    parts, ends = [steps], sizes.ends
    if trial.curve:
        after = max(1, round(sizes.extra * ends[-1]))
        parts = [ends[0], *np.diff(ends).tolist(), after]
    present = {spec.partition("=")[0] for spec in trial.percentages}
    own = {name: dataset for name, dataset in begun.train.items() if name in present}
    return mix(own, trial.percentages, [ROWS * n for n in parts], trial.order)


def scores(begun: Beginning, model: OmniModel) -> dict[str, float]:
    """Accuracy on unseen samples of every task, and their average."""
    return task_scores(model, begun.test, begun.units["test"])


def measure(trial: Trial, config: Config, sizes: Sizes, runs: Path) -> dict[str, Any]:
    """Train and examine one trial; plain JSON."""
    begun = beginning(config, trial.seed, sizes, runs)
    own = instructed(config, trial.seed, sizes)
    mixture = mixture_of(begun, trial, sizes, own.training.stages[0].steps)
    folder = runs / "mixture" / config_hash([asdict(trial), asdict(sizes), to_dict(own)])

    def data(stage: StageConfig) -> InstructLessons:
        return InstructLessons(stage, written(own), begun.train, mixture, begun.units["train"])

    measured = _curve if trial.curve else _single
    found = measured(own, data, folder, begun, sizes)
    shutil.rmtree(folder)
    return {**asdict(trial), **found}


def _curve(own: Config, data: Any, folder: Path, begun: Beginning, sizes: Sizes) -> dict[str, Any]:
    branching = Branching(
        sizes.ends, sizes.extra, merged=sizes.merged, window=sizes.window
    )  # fmt: skip
    before = scores(begun, trained(begun.folder))
    curve = explore(
        own, data, branching, folder, lambda model: scores(begun, model), AVERAGE, begun.folder,
        False,
    )  # fmt: skip
    return {"before": before, "points": curve["points"], "winners": curve["winners"]}


def _single(own: Config, data: Any, folder: Path, begun: Beginning, sizes: Sizes) -> dict[str, Any]:
    run, stage = RunFolder(folder, own), own.training.stages[0]
    model = Trainer(own.training, trained(begun.folder), run, False).fit([data(stage)])
    seconds = sum(line["seconds"] for line in run.metrics())
    return {"scores": scores(begun, model), "seconds": round(seconds, 1)}


def run_trials(
    trials: Sequence[Trial], config: Config, sizes: Sizes, results: Path, runs: Path, jobs: int = 1
) -> list[dict[str, Any]]:
    """Results of all trials in their order, `jobs` at a time; beginnings come first, each once."""
    plain, places = to_dict(config), (str(results), str(runs))
    missing = [t for t in trials if not _row(t, config, sizes, results).is_file()]
    seeds = {trial.seed: 0 for trial in missing}
    pooled(
        [
            [(_begin, seed, plain, sizes, str(runs)) for seed in seeds],
            [(_perform, trial, plain, sizes, *places) for trial in missing],
        ],
        jobs, "mixtures",
    )  # fmt: skip
    return [_perform(trial, plain, sizes, *places) for trial in trials]


def _row(trial: Trial, config: Config, sizes: Sizes, results: Path) -> Path:
    """File that keeps a trial's results."""
    settings = to_dict(instructed(config, trial.seed, sizes))
    return results / f"{config_hash([asdict(trial), asdict(sizes), settings])}.json"


def _begin(seed: int, config: dict[str, Any], sizes: Sizes, runs: str) -> None:
    beginning(from_dict(config), seed, sizes, Path(runs))


def _perform(
    trial: Trial, config: dict[str, Any], sizes: Sizes, results: str, runs: str
) -> dict[str, Any]:
    """Results of one trial, from what is kept or by running it."""
    own = from_dict(config)
    settings = instructed(own, trial.seed, sizes)
    file = _row(trial, own, sizes, Path(results))
    return kept_row(file, settings, lambda: measure(trial, own, sizes, Path(runs)))
