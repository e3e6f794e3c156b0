"""Checkpoints in safetensors: weights, optimizer state, and where training stands."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.progress import library_bars_off
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
    folder: Path,
    place: Place,
    model: OmniModel,
    optimizers: list[torch.optim.Optimizer],
    controls: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint under a temporary name, rename it, and remove the older ones of its stage."""
    final = folder / f"{place.stage}-{place.step:06d}"
    half = final.with_suffix(".tmp")
    shutil.rmtree(half, ignore_errors=True)
    with library_bars_off():
        model.save_pretrained(half)
    save_file(_tensors(optimizers), half / "optimizer.safetensors")
    (half / "controls.json").write_text(json.dumps(controls or {}))
    (half / "place.json").write_text(json.dumps(asdict(place)))
    replace_folder(half, final)
    for file in _places(folder):
        if file.parent != final and _read(file).stage == place.stage:
            shutil.rmtree(file.parent)
    return final


def _places(folder: Path) -> list[Path]:
    """`place.json` of every checkpoint that was written to its end."""
    return [file for file in folder.glob("*/place.json") if file.parent.suffix != ".tmp"]


def _read(file: Path) -> Place:
    try:
        return Place(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as fault:
        right = "remove the checkpoint to go on from the one before"
        raise InputError(f"{file}: cannot be read ({fault}); {right}") from None


def latest(folder: Path, stages: tuple[str, ...]) -> tuple[Path, Place] | None:
    """Checkpoint that is furthest along, if there is one.

    Raises
    ------
    InputError
        a checkpoint cannot be read, or is of a stage that the run does not have
    """
    found = []
    for file in _places(folder):
        place = _read(file)
        if place.stage not in stages:
            there = ", ".join(stages)
            raise InputError(f"{file.parent}: of stage {place.stage}; this run has {there}")
        found.append((stages.index(place.stage), place.step, file.parent, place))
    return max(found)[2:] if found else None


def controls(folder: Path) -> dict[str, Any]:
    """What the rules of a stage remembered; nothing in a checkpoint of before there were any."""
    file = folder / "controls.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


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
