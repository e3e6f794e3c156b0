"""Checkpoints in safetensors: weights, optimizer state, and where training stands."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.storage import replace_folder
from omni_lab.training.run import Place


def _tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """Optimizer state under flat names: `optimizer/parameter/quantity`."""
    return {
        f"{number}/{index}/{name}": torch.as_tensor(value).contiguous()
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def save(
    folder: Path, place: Place, model: OmniModel, optimizers: list[torch.optim.Optimizer]
) -> Path:
    """Write a checkpoint under a temporary name, rename it, and remove the older ones of its stage."""
    final = folder / f"{place.stage}-{place.step:06d}"
    half = final.with_suffix(".tmp")
    shutil.rmtree(half, ignore_errors=True)
    model.save_pretrained(half)
    save_file(_tensors(optimizers), half / "optimizer.safetensors")
    (half / "place.json").write_text(json.dumps(asdict(place)))
    replace_folder(half, final)
    for old in folder.glob(f"{place.stage}-??????"):
        if old != final:
            shutil.rmtree(old)
    return final


def latest(folder: Path, stages: tuple[str, ...]) -> tuple[Path, Place] | None:
    """Checkpoint that is furthest along, if there is one.

    Raises
    ------
    InputError
        a checkpoint is of a stage that the run does not have
    """
    found = []
    for file in folder.glob("*-??????/place.json"):
        place = Place(**json.loads(file.read_text()))
        if place.stage not in stages:
            there = ", ".join(stages)
            raise InputError(f"{file.parent}: of stage {place.stage}; this run has {there}")
        found.append((stages.index(place.stage), place.step, file.parent, place))
    return max(found)[2:] if found else None


def restore(folder: Path, model: OmniModel, optimizers: list[torch.optim.Optimizer]) -> None:
    """Put a checkpoint's weights and optimizer state back in place."""
    try:
        weights = load_file(folder / "model.safetensors")
        states = load_file(folder / "optimizer.safetensors")
    except Exception as fault:
        raise InputError(
            f"{folder}: cannot be read ({fault}); remove it to go on from the checkpoint before"
        ) from fault
    model.load_state_dict(weights)
    for number, optimizer in enumerate(optimizers):
        whole = optimizer.state_dict()
        whole["state"] = {}
        for name, value in states.items():
            owner, index, quantity = name.split("/")
            if int(owner) == number:
                whole["state"].setdefault(int(index), {})[quantity] = value
        optimizer.load_state_dict(whole)
