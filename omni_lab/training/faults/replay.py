"""Replay of a kept batch: its forward and backward pass again, with the weights of that step.

The file and the folder of weights beside it are all it takes; one process suffices, also for a rank
of many.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from omni_lab.config import Config
from omni_lab.config.differences import differences, one_line
from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.training import checkpoint
from omni_lab.training.faults.batch_file import as_json, read_step
from omni_lab.training.faults.examine import examine
from omni_lab.training.faults.watch import WEIGHTS, in_words
from omni_lab.training.losses.objective import stage_objective
from omni_lab.training.run import Place, read_config


def replay(file: Path) -> dict[str, Any]:
    """Result of a replay, as strict JSON.

    Returns
    -------
    found : `stage`, `step`, `rank`, `ranks`, `context_parallel`; `losses` now and `recorded` then, nats per token, and
        whether they are the `same` to the last bit; `rows`, `cause`, `at_fault`, `module`, `weight`
        and `norms` as `examine` gives them

    Raises
    ------
    InputError
        the file is no batch file, was cut short, or is of another run's settings; or the weights
        beside it are missing, damaged, or of another step
    """
    inputs, config, header = read_step(file)
    _check_run(file, config)
    model = _weights(file, Place(inputs.stage.name, inputs.step), config)
    objective = stage_objective(model, config.training, inputs.stage)
    model.train()

    threads = torch.get_num_threads()
    torch.set_num_threads(header["threads"])  # sums are rounded by how they are divided
    try:
        found = examine(objective, inputs, _autocast(config))
    finally:
        torch.set_num_threads(threads)

    record = header["record"]
    told = as_json(vars(found))
    return {
        "file": str(file), "stage": inputs.stage.name, "step": inputs.step,
        "rank": record.get("rank", 0), "ranks": record.get("ranks", 1),
        "context_parallel": config.training.context_parallel,
        "config_hash": header["config_hash"], "recorded": record.get("losses", {}),
        "same": told["losses"] == record.get("losses"), "in_words": in_words(found), **told,
    }  # fmt: skip


def _check_run(file: Path, config: Config) -> None:
    """Refuse a batch that lies in the folder of a run with other settings."""
    run = file.absolute().parents[2]
    if not (run / "config.json").exists():
        return  # taken elsewhere, with the weights beside it
    if found := differences(config, read_config(run)):
        right = "there is the batch, here the run whose folder it lies in"
        raise InputError(f"{file}: of a run with other settings: {one_line(found)} ({right})")


def _weights(file: Path, place: Place, config: Config) -> OmniModel:
    """Model with the weights that the step began with."""
    folder = file.parent / WEIGHTS
    if not folder.is_dir():
        raise InputError(f"{folder}: missing; a batch is run again with the weights beside it")
    if wrong := checkpoint.fault_of(folder, place):
        raise InputError(f"{folder}: {wrong}; step {place.step} of {place.stage} is expected")
    if found := checkpoint.other_settings(folder, config):
        raise InputError(f"{folder}: weights of other settings: {one_line(found)}")
    return OmniModel.load(folder)


def _autocast(config: Config) -> AbstractContextManager:
    """Mixed precision of a run, on the processor."""
    if config.training.precision == "no":
        return nullcontext()
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[config.training.precision]
    return torch.autocast("cpu", half)
