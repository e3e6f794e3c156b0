"""Checkpoint merging: the mean of a trunk's last weights, in place of a decay (WSM).

WSM (Tian et al. 2025, arXiv 2507.17634) trains at a constant rate and averages the last checkpoints:
of the updates between them, a later one is in fewer of the averaged weights, which is what a
decaying rate does to it. It takes no further step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from omni_lab.config import Config
from omni_lab.errors import InputError, UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.storage import write_json
from omni_lab.training import checkpoint
from omni_lab.training.branches.branch import trunk_checkpoint
from omni_lab.training.run import Place, RunFolder, read_config

WEIGHTS = "model.safetensors"


def merged_steps(step: int, number: int, apart: int) -> tuple[int, ...]:
    """Steps of the last `number` checkpoints up to `step`, `apart` steps from one to the next.

    >>> merged_steps(40, 3, 5)
    (30, 35, 40)

    Raises
    ------
    UsageError
        the first of them would be before the first step
    """
    steps = tuple(step - apart * back for back in reversed(range(number)))
    if not steps or steps[0] < 1 or apart < 1:
        wrong = f"no {number} checkpoints, {apart} steps apart, end at step {step}"
        raise UsageError(f"merge: {wrong}; take fewer, or nearer to each other")
    return steps


def merge(trunk: Path, steps: Sequence[int], folder: Path) -> OmniModel:
    """Merge checkpoints of a trunk by the mean of their weights, into a run folder of its own.

    The folder's one checkpoint has no optimizer state; `merged.json` says what it is the mean of.

    Parameters
    ----------
    trunk : run folder, which is only read
    steps : of its last stage, whose checkpoints it has; the merge stands where the last does

    Raises
    ------
    UsageError
        no steps
    InputError
        a checkpoint is missing or damaged, or the folder holds another run
    """
    if not steps:
        raise UsageError("merge: no steps; name one or more")
    config, place = _config(read_config(trunk), max(steps))
    sources = [trunk_checkpoint(trunk, step) for step in sorted(steps)]
    run = RunFolder(folder, config)

    model = OmniModel.load(sources[-1])
    model.load_state_dict(mean_weights([source / WEIGHTS for source in sources]))
    write_json(folder / "merged.json", {"stage": place.stage, "steps": sorted(steps)})
    checkpoint.save(run.checkpoints, place, model, [], None, config)
    return model


def mean_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """Mean of the weights of several safetensors files, tensor by tensor, in double precision.

    What is no floating-point number (a counter, a table of places) is that of the last file.

    Raises
    ------
    InputError
        the files have other tensors, or of other shapes
    """
    opened = [safe_open(file, framework="pt") for file in files]
    found = {}
    for name in sorted(opened[-1].keys()):
        values = [_tensor(weights, name, file) for weights, file in zip(opened, files, strict=True)]
        if any(value.shape != values[-1].shape for value in values):
            raise InputError(f"{files[0]}: {name} has another shape than in {files[-1]}")
        if values[-1].is_floating_point():
            mean = sum(value.double() for value in values) / len(values)
            found[name] = mean.to(values[-1].dtype)
        else:
            found[name] = values[-1]
    return found


def _tensor(weights: safe_open, name: str, file: Path) -> Tensor:
    if name not in weights.keys():  # noqa: SIM118 - it is no mapping
        raise InputError(f"{file}: no tensor {name}; merge checkpoints of one model")
    return weights.get_tensor(name)


def _config(trunk: Config, step: int) -> tuple[Config, Place]:
    """Settings of a merge, whose last stage ends where it stands, and its place."""
    *before, stage = trunk.training.stages
    own = replace(stage, steps=step, steps_multiple=0.0, milestones=())
    stages = (*before, own)
    return replace(trunk, training=replace(trunk.training, stages=stages)), Place(own.name, step)
