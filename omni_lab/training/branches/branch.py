"""Decay branch: a run that goes on from a checkpoint of another's, while its rate falls to zero.

The trunk trains at a constant rate, so that its scores do not yet show what its weights have
learned. A branch begins in the trunk's exact state (weights, optimizer, controls, place in the
data) and takes a few more steps with a decaying rate (C9; Hu et al. 2024 on warmup, stable, decay).
It lies in a run folder of its own, which begins with a copy of the trunk's checkpoint: the trunk is
only read, and a branch that was killed goes on as any run does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from omni_lab.config import Config, StageConfig, to_dict
from omni_lab.data.batch import StageData
from omni_lab.errors import InputError, UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.storage import replace_folder, write_json
from omni_lab.training import checkpoint
from omni_lab.training.faults.disk import full_disk_told
from omni_lab.training.faults.manifest import write_manifest
from omni_lab.training.run import Place, RunFolder, read_config
from omni_lab.training.trainer import Trainer, interactions

Data = Callable[[StageConfig], StageData]  # the same batches for a stage of any number of steps


def branch_config(trunk: Config, step: int, steps: int, shape: str = "linear") -> Config:
    """Settings of a decay branch: those of its trunk, whose last stage goes on from `step`.

    Parameters
    ----------
    step : of the trunk's last stage, where the branch leaves it
    steps : of the branch
    shape : of the decay: linear, cosine or exponential

    Raises
    ------
    UsageError
        the trunk's rate is not constant, or something else of its stage depends on its length
    """
    *before, stage = trunk.training.stages
    check_trunk(stage)
    if not 0 < step <= stage.steps or steps < 1:
        wrong = f"no branch of {steps} steps from step {step} of {stage.steps}"
        raise UsageError(f"stage {stage.name}: {wrong}; leave it within, for 1 or more")
    own = replace(
        stage, steps=step + steps, steps_multiple=0.0, schedule="wsd", decay_steps=steps,
        decay_shape=shape, decay_floor=0.0, milestones=(),
    )  # fmt: skip
    return replace(trunk, training=replace(trunk.training, stages=(*before, own)))


def check_trunk(stage: StageConfig) -> None:
    """Refuse a stage whose batches or losses depend on how many steps it has.

    Raises
    ------
    UsageError
        the message names the setting
    """
    name = f"stage {stage.name}"
    if stage.schedule != "constant":
        right = "a trunk has schedule=constant, its branches decay"
        raise UsageError(f"{name}: schedule={stage.schedule}; {right}")
    moving = [one for one in interactions(stage) if one.first != one.last]
    fractions = {
        "align_fraction": stage.align_fraction, "curriculum_fraction": stage.curriculum_fraction,
        "phases": stage.phases, "interaction": moving,
    }  # fmt: skip
    if found := [setting for setting, value in fractions.items() if value]:
        wrong = f"{found[0]} is measured in fractions of its steps, and a branch has other steps"
        raise UsageError(f"{name}: {wrong}; leave it out of a trunk")


def branch(
    trunk: Path,
    step: int,
    steps: int,
    folder: Path,
    data: Data,
    shape: str = "linear",
    progress: bool = True,
) -> OmniModel:
    """Train a decay branch in a folder of its own, or go on where it stands; the trained model.

    Parameters
    ----------
    trunk : run folder, which is only read
    step : of its last stage, whose checkpoint it has (a milestone, or the last)
    steps : of the branch
    data : of a stage

    Raises
    ------
    UsageError
        the trunk's rate is not constant, or its data end before the branch does
    InputError
        the trunk has no sound checkpoint of that step, the folder holds another run, or the data
        are others than the trunk began with
    """
    config = branch_config(read_config(trunk), step, steps, shape)
    stage = config.training.stages[-1]
    source = trunk_checkpoint(trunk, step)
    prepared = data(stage)
    run = RunFolder(folder, config)

    trainer = Trainer(config.training, OmniModel.load(source), run, progress)
    if trainer.processes.main:
        begin_from(trunk, source, run)
    trainer.accelerator.wait_for_everyone()
    return trainer.fit([prepared])


def trunk_checkpoint(trunk: Path, step: int) -> Path:
    """Sound checkpoint of a step of a run's last stage.

    Raises
    ------
    InputError
        there is none, or it is damaged
    """
    stage = read_config(trunk).training.stages[-1].name
    place = Place(stage, step)
    path = checkpoint.path_of(trunk / "checkpoints", place)
    if not path.exists():
        right = f"train the trunk with training.stages.{stage}.milestones={step}"
        raise InputError(f"{trunk}: no checkpoint of step {step} of stage {stage}; {right}")
    if wrong := checkpoint.fault_of(path, place):
        raise InputError(f"{path}: damaged, {wrong}; train the trunk again from before it")
    return path


def begin_from(trunk: Path, source: Path, run: RunFolder) -> None:
    """Put a copy of a trunk's checkpoint where `run` begins, with the settings of `run`.

    Nothing is done to a run that has begun. The copy appears whole or not at all.

    Raises
    ------
    DiskError
        the disk is full; the same call begins again
    """
    stage = run.config.training.stages[-1].name
    with full_disk_told(run.checkpoints):
        if checkpoint.of_stage(run.checkpoints, stage):
            return
        run.begin_stage_as(trunk, stage)
        half = run.checkpoints / f"{source.name}.tmp"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        try:
            for file in source.iterdir():
                shutil.copyfile(file, half / file.name)
            write_json(half / checkpoint.SETTINGS, to_dict(run.config))
            write_manifest(half)
            replace_folder(half, run.checkpoints / source.name)
        except OSError:
            shutil.rmtree(half, ignore_errors=True)  # on a full disk its room is needed
            raise
