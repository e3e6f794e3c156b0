"""Curve of a mixture: scores of the trunk, of decay branches and of merges at the end of every part.

OmChat reads off such a curve how much of a mixture to train on (C9): the part whose decay branch
scores best wins. Everything lies below one folder: `trunk`, `branches/STEP`, `merges/STEP`, and
`curve.json`. What has been trained is not trained again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omni_lab.config import Config
from omni_lab.errors import UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.storage import write_json
from omni_lab.training.branches.branch import (
    Data,
    branch,
    branch_config,
    check_trunk,
    trunk_checkpoint,
)
from omni_lab.training.branches.merging import merge, merged_steps
from omni_lab.training.models import new_model, trained
from omni_lab.training.run import RunFolder
from omni_lab.training.session import begun_from
from omni_lab.training.trainer import Trainer

Score = Callable[[OmniModel], Mapping[str, float]]  # higher is better
KINDS = ("trunk", "branch", "merge")


@dataclass(frozen=True)
class Branching:
    """Where a trunk is left, and how.

    Parameters
    ----------
    ends : steps of the trunk at the end of every part
    extra : steps of a branch, as a fraction of those of the trunk before it
    shape : of the branches' decay: linear, cosine or exponential
    merged : checkpoints of the trunk that are merged at the end of every part; 0 merges none
    apart : steps from one of them to the next
    window : fraction of the steps before, over which they lie instead; 0 takes `apart`
    """

    ends: tuple[int, ...]
    extra: float = 0.1
    shape: str = "linear"
    merged: int = 0
    apart: int = 1
    window: float = 0.0

    def branch_steps(self, end: int) -> int:
        """Steps of the branch from `end`, 1 at least."""
        return max(1, round(self.extra * end))

    def merge_steps(self, end: int) -> tuple[int, ...]:
        """Steps of the checkpoints that are merged at `end`; none where nothing is merged."""
        if not self.merged:
            return ()
        apart = self.apart
        if self.window:
            apart = max(1, round(self.window * end / max(1, self.merged - 1)))
        return merged_steps(end, self.merged, apart)

    def trunk_config(self, config: Config) -> Config:
        """Settings of the trunk: its stage with a constant rate, and checkpoints that stay.

        Raises
        ------
        UsageError
            the parts do not end one after the other, there are other stages, or something of the
            stage depends on its length
        """
        if not self.ends or list(self.ends) != sorted({*self.ends}) or self.ends[0] < 1:
            raise UsageError(f"branches: parts end at steps {self.ends}; name rising ones, from 1")
        if len(config.training.stages) != 1:
            names = ", ".join(stage.name for stage in config.training.stages)
            right = "train those before in a run of their own, and begin with it"
            raise UsageError(f"branches: a trunk is one stage, not {names}; {right}")
        kept = {step for end in self.ends for step in (*self.merge_steps(end), end)}
        stage = replace(
            config.training.stages[0], steps=self.ends[-1], steps_multiple=0.0,
            schedule="constant", milestones=tuple(sorted(kept)),
        )  # fmt: skip
        check_trunk(stage)
        return replace(config, training=replace(config.training, stages=(stage,)))


def explore(
    config: Config,
    data: Data,
    branching: Branching,
    folder: Path,
    score: Score,
    by: str,
    init: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a trunk, a decay branch and a merge for every part, and score them all; plain JSON.

    Parameters
    ----------
    config : whose one stage is the trunk's
    data : of a stage of any number of steps, the same batches for each
    score : of a model, figures by name, of which higher is better
    by : name of the figure that decides which part wins; the earlier of equals
    init : run folder whose weights the trunk begins with; None begins with new ones

    Returns
    -------
    curve : `points`, each with part, step, steps of the branch, and figures of `trunk`, `branch` and
        `merge`; `winners` of each kind, and `winner` of them all

    Raises
    ------
    UsageError
        settings do not fit together, the data end before the last branch does, or a score lacks the
        figure that decides
    InputError
        a folder holds another run, or a checkpoint is damaged
    """
    own = branching.trunk_config(config)
    (stage,), last = own.training.stages, branching.ends[-1]
    longest = branch_config(own, last, branching.branch_steps(last), branching.shape)
    data(longest.training.stages[0])  # what could fail after hours fails now

    trunk = folder / "trunk"
    model = new_model(own) if init is None else begun_from(init, own)
    trainer = Trainer(own.training, model, RunFolder(trunk, own), progress)
    trainer.fit([data(stage)])
    points = []
    for part, end in enumerate(branching.ends, 1):
        steps = branching.branch_steps(end)
        point: dict[str, Any] = {"part": part, "step": end, "branch_steps": steps}
        point["trunk"] = _scored(score, OmniModel.load(trunk_checkpoint(trunk, end)), by)
        place = folder / "branches" / str(end)
        point["branch"] = _scored(
            score, branch(trunk, end, steps, place, data, branching.shape, progress), by
        )
        if merged := branching.merge_steps(end):
            place = folder / "merges" / str(end)
            if trainer.processes.main:
                merge(trunk, merged, place)
            trainer.accelerator.wait_for_everyone()
            point |= {"merged": list(merged), "merge": _scored(score, trained(place), by)}
        points.append(point)

    curve = {"by": by, "shape": branching.shape, "points": points, **winners(points, by)}
    if trainer.processes.main:
        write_json(folder / "curve.json", curve)
    return curve


def winners(points: list[dict[str, Any]], by: str) -> dict[str, Any]:
    """The best point of each kind, and the best of all; the earlier of equals.

    >>> points = [{"part": 1, "step": 5, "trunk": {"f1": 0.2}, "branch": {"f1": 0.4}}]
    >>> winners(points, "f1")["winner"]
    {'kind': 'branch', 'part': 1, 'step': 5, 'score': 0.4}
    """
    found = {}
    for kind in KINDS:
        if there := [point for point in points if kind in point]:
            best = max(there, key=lambda point: point[kind][by])
            place = {"part": best["part"], "step": best["step"]}
            found[kind] = {"kind": kind, **place, "score": best[kind][by]}
    return {"winners": found, "winner": max(found.values(), key=lambda own: own["score"])}


def _scored(score: Score, model: OmniModel, by: str) -> dict[str, float]:
    """Figures of a model, finite numbers with the one that decides."""
    found = {name: float(value) for name, value in score(model).items()}
    if by not in found:
        raise UsageError(f"branches: by={by!r} is no figure of the score: {', '.join(found)}")
    if wrong := [name for name, value in found.items() if not math.isfinite(value)]:
        raise UsageError(f"branches: score {wrong[0]} is {found[wrong[0]]}; give finite numbers")
    return found
