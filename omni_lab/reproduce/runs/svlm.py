"""Runs of selective training on captions with wrong words: beginnings, references, trainees.

The pictures' encoder and connector come from a vision stage of the demo and stay as they are; the
decoder begins with new weights. A reference is such a decoder that learned from clean captions of
other pictures. Rows are kept by the hash of all settings.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omni_lab.config import Config, StageConfig, config_hash, from_dict, override, to_dict
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.reproduce.arms import begin, pooled
from omni_lab.reproduce.record import kept_row
from omni_lab.reproduce.runs.beginnings import demo_stages, one_stage, with_parts
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.models import new_model, trained
from omni_lab.training.run import RunFolder
from omni_lab.training.selection.scores import NEEDS, separability
from omni_lab.training.trainer import Trainer
from omni_lab.world.captions.lessons import CaptionLessons, CaptionSet
from omni_lab.world.captions.pictures import FOLLOWS, SHOWN, WRONG

STAGE = "captions"
STEPS, ROWS = 200, 60
EYES = ("image", "connector")  # parts that stay as the vision stage leaves them
CLEAN_FIRST = 1_000_000  # number of the first picture that references learn from
TESTED, LOOKED_AT, LOOKS = 400, 200, 20  # unseen pictures; training captions, looks at them
POINTS = 20  # of a kept curve of what was selected


@dataclass(frozen=True)
class Trainee:
    """One trainee: its captions, its selection, and the reference that it needs.

    Parameters
    ----------
    pictures, wrong : of the captions that it learns from
    steps : of training
    selection : settings of the stage's selection
    clean : pictures that the reference learns from, and its steps; None needs no reference
    first : number of the first picture
    """

    arm: str
    seed: int
    pictures: int = 600
    wrong: float = 0.4
    steps: int = STEPS
    selection: tuple[str, ...] = ()
    clean: tuple[int, int] | None = None
    first: int = 0

    def configured(self, config: Config, runs: Path) -> Config:
        """Settings of its run."""
        chosen = list(self.selection)
        for name, reference in self.references(config).items():
            folder = runs / "references" / config_hash(reference)
            chosen.append(f"{name}={folder.as_posix()}")
        own = captioned(config, self.seed, self.pictures, self.first, self.wrong, self.steps)
        return override(own, [f"training.stages.{STAGE}.selection.{one}" for one in chosen])

    def references(self, config: Config) -> dict[str, Config]:
        """Settings of the runs that its scores need: `reference` always, others by the rule.

        `base` is what the trainee itself would be after a fifth of its steps on all tokens; `prior`
        has learned from the reference's captions, and never saw a picture.
        """
        if not self.clean:
            return {}
        pictures, steps = self.clean
        clean = captioned(config, self.seed, pictures, CLEAN_FIRST, 0.0, steps)
        found, rule = {"reference": clean}, dict(s.split("=") for s in self.selection)["rule"]
        if "base" in NEEDS[rule]:
            early = max(1, self.steps // 5)
            own = (self.seed, self.pictures, self.first, self.wrong)
            found["base"] = captioned(config, *own, early)
        if "prior" in NEEDS[rule]:
            found["prior"] = override(clean, ["world.captions.grey=true"])
        return found


def captioned(
    config: Config, seed: int, pictures: int, first: int, wrong: float, steps: int
) -> Config:
    """Settings of a decoder's training on a set of captions."""
    stage = StageConfig(STAGE, train=("decoder",), steps=steps, batch_size=ROWS, decay_fraction=0.4)
    captions = replace(config.world.captions, count=pictures, first=first, wrong=wrong)
    world = replace(config.world, captions=captions)
    return one_stage(replace(config, world=world), seed, stage)


def sighted(config: Config, seed: int) -> Config:
    """Settings of the vision stage that encoder and connector come from."""
    return demo_stages(config, seed, ("vision",))


def begun(config: Config, own: Config, runs: Path) -> OmniModel:
    """Model with a new decoder, whose encoder and connector are those of a vision stage."""
    eyes = trained(begin(sighted(config, own.seed), runs))
    return with_parts(new_model(own), eyes, EYES)


def taught(
    own: Config, model: OmniModel, run: RunFolder, watch: Callable[[str, int], None] | None = None
) -> OmniModel:
    """Model trained on a set of captions, or what its run folder has of it already."""
    stages = [CaptionLessons(own, own.training.stages[0])]
    return Trainer(own.training, model, run, False, watch).fit(stages)


@torch.no_grad()
def losses_and_answers(
    model: OmniModel, captions: CaptionSet, numbers: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss, rightness of the likeliest word, and type of every word of some captions."""
    was, _ = model.training, model.eval()
    batch = captions.batch(list(numbers))
    output = forward_batch(model, batch, captions.see(model))
    model.train(was)
    types = batch.targets.known["type"][batch.labels != IGNORED]
    word = types.isfinite()
    right = (model.logits(output.states).argmax(-1) == output.targets)[word]
    return output.losses[word].numpy(), right.numpy(), types[word].numpy()


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half."""
    from scipy.stats import rankdata

    ranks, count = rankdata(scores), int(positive.sum())
    if count in (0, len(positive)):
        return float("nan")
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def measure(trainee: Trainee, config: Config, runs: Path) -> dict[str, Any]:
    """Train one trainee and examine it on clean captions of unseen pictures; plain JSON."""
    own = trainee.configured(config, runs)
    run = RunFolder(runs / "captions" / config_hash(own), own)
    looked: list[dict[str, float]] = []
    model = begun(config, own, runs)
    watch = _watch(trainee, config, own, runs, model, looked) if trainee.clean else None
    model = taught(own, model, run, watch)
    metrics = run.metrics()
    shutil.rmtree(run.path)

    losses, right, types = losses_and_answers(
        model, CaptionSet(own, "test", 0, TESTED, 0.0), range(TESTED)
    )
    kept = [line["kept"] for line in metrics if "kept" in line]
    return {
        "arm": trainee.arm, "seed": trainee.seed,
        "accuracy": round(float(right[types == SHOWN].mean()), 5),
        "loss": round(float(losses[types == SHOWN].mean()), 5),
        "final_loss": round(float(np.mean([line["loss"] for line in metrics[-20:]])), 5),
        "kept": {
            name: [round(float(np.mean(part)), 4) for part in np.array_split(
                [line.get(name, np.nan) for line in kept], min(POINTS, len(kept)))]
            for name in (kept[0] if kept else ())
        },
        "looked": looked,
        "seconds": round(sum(line["seconds"] for line in metrics), 1),
    }  # fmt: skip


def _watch(
    trainee: Trainee, config: Config, own: Config, runs: Path, model: OmniModel, looked: list
) -> Callable[[str, int], None]:
    """Hook of a trainer that asks, now and then, how well scores tell wrong words from right ones."""
    captions = CaptionSet(own, "train", 0, min(LOOKED_AT, trainee.pictures), trainee.wrong)
    numbers = range(len(captions.rows))
    reference = trained(_reference(trainee.references(config)["reference"], config, runs))
    all_theirs, _, types = losses_and_answers(reference, captions, numbers)
    grounded = types != FOLLOWS
    wrong = types[grounded] == WRONG
    every = max(1, trainee.steps // LOOKS)

    def look(stage: str, done: int) -> None:
        if done % every and done != 1:
            return
        all_ours = losses_and_answers(model, captions, numbers)[0]
        ours, theirs = all_ours[grounded], all_theirs[grounded]
        found = {
            "step": done, "excess": auc(theirs - ours, wrong), "reference": auc(theirs, wrong),
            "loss": auc(ours, wrong), "separability": separability(torch.from_numpy(all_ours)),
            "reference_separability": separability(torch.from_numpy(all_theirs)),
        }  # fmt: skip
        looked.append({name: round(value, 4) for name, value in found.items()})

    return look


def _reference(own: Config, config: Config, runs: Path) -> Path:
    """Run folder of a reference, trained where it is not there yet."""
    folder = runs / "references" / config_hash(own)
    taught(own, begun(config, own, runs), RunFolder(folder, own))
    return folder


def run_trainees(
    trainees: Sequence[Trainee], config: Config, results: Path, runs: Path, jobs: int = 1
) -> list[dict[str, Any]]:
    """Results of all trainees in their order, `jobs` at a time; references come first, each once."""
    plain, places = to_dict(config), (str(results), str(runs))
    missing = [t for t in trainees if not row_of(t, config, results, runs).is_file()]
    needed = [own for t in missing for own in t.references(config).values()]
    references = {config_hash(own): to_dict(own) for own in needed}.values()
    pooled(
        [
            [(_begin, seed, plain, str(runs)) for seed in {t.seed: 0 for t in missing}],
            [(_teach, own, plain, str(runs)) for own in references],
            [(_perform, t, plain, *places) for t in missing],
        ],
        jobs, "trainees",
    )  # fmt: skip
    return [_perform(trainee, plain, *places) for trainee in trainees]


def run_seeds(
    trainees: Sequence[Trainee],
    seeds: int,
    config: Config,
    results: Path,
    runs: Path,
    jobs: int = 1,
) -> list[list[dict[str, Any]]]:
    """Results of all trainees, a list for each seed; as many for one seed as for another."""
    found = run_trainees(trainees, config, results, runs, jobs)
    # a row that two arms share has the name of the first
    rows = [row | {"arm": one.arm} for row, one in zip(found, trainees, strict=True)]
    each = len(rows) // seeds
    return [rows[first : first + each] for first in range(0, len(rows), each)]


def row_of(trainee: Trainee, config: Config, results: Path, runs: Path) -> Path:
    """File that keeps a trainee's results, named by all settings of its run."""
    return results / f"{config_hash(trainee.configured(config, runs))}.json"


def _begin(seed: int, config: dict, runs: str) -> None:
    begin(sighted(from_dict(config), seed), Path(runs))


def _teach(own: dict, config: dict, runs: str) -> None:
    _reference(from_dict(own), from_dict(config), Path(runs))


def _perform(trainee: Trainee, config: dict, results: str, runs: str) -> dict[str, Any]:
    """Results of one trainee, from what is kept or by running it."""
    own, places = from_dict(config), (Path(results), Path(runs))
    settings = trainee.configured(own, places[1])
    return kept_row(
        row_of(trainee, own, *places), settings, lambda: measure(trainee, own, places[1])
    )
