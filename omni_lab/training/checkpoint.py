"""Checkpoints in safetensors: weights, optimizer state, settings, and where training stands.

A checkpoint appears whole or not at all, and the one before it stays until the next but one: a
power cut, a full disk or a damaged file costs at most the steps since then.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from omni_lab.config import (
    Config,
    ModelConfig,
    SequenceConfig,
    from_dict,
    section_from_dict,
    to_dict,
)
from omni_lab.config.differences import Difference, differences, one_line
from omni_lab.errors import ConfigError, InputError, reason
from omni_lab.model.omni import OmniModel
from omni_lab.progress import library_bars_off
from omni_lab.storage import replace_folder, write_json
from omni_lab.training.faults.manifest import damage, safetensors_as_os_errors, write_manifest
from omni_lab.training.run import Place

SETTINGS = "settings.json"  # of the run that wrote it; `config.json` is the model's own
_FINISHED = re.compile(r"(.+)-(\d{6,})")  # name of a checkpoint folder


def save(
    folder: Path,
    place: Place,
    model: OmniModel,
    optimizers: list[torch.optim.Optimizer],
    controls: dict[str, Any] | None = None,
    config: Config | None = None,
) -> Path:
    """Write a checkpoint beside its place, flush and rename it, verify it, and prune older ones.

    Of its stage the one before it stays too; of every other stage the last one does. The
    milestones of all stages stay.

    Parameters
    ----------
    controls : what the rules of the stage remember, as JSON
    config : of the run, kept beside the weights

    Raises
    ------
    OSError
        it cannot be written; those before are as they were
    InputError
        it is not on disk as it was written
    """
    final = path_of(folder, place)
    half = final.with_name(f"{final.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    try:
        with safetensors_as_os_errors(half):
            write_files(half, place, model, optimizers, controls, config)
        replace_folder(half, final)
    except OSError:
        shutil.rmtree(half, ignore_errors=True)  # on a full disk its room is needed
        raise
    if wrong := damage(final):
        raise InputError(f"{final}: not on disk as it was written: {wrong}; the one before stays")
    _prune(folder, place, config)
    return final


def path_of(folder: Path, place: Place) -> Path:
    """Where the checkpoint of a place lies."""
    return folder / f"{place.stage}-{place.step:06d}"


def write_files(
    folder: Path,
    place: Place,
    model: OmniModel,
    optimizers: list[torch.optim.Optimizer],
    controls: dict[str, Any] | None,
    config: Config | None,
) -> None:
    """Write all files of a checkpoint into a folder, its manifest last."""
    with library_bars_off():
        model.save_pretrained(folder)
    if optimizers:
        save_file(_tensors(optimizers), folder / "optimizer.safetensors")
    if config is not None:
        write_json(folder / SETTINGS, to_dict(config))
    write_json(folder / "controls.json", controls or {})
    write_json(folder / "place.json", asdict(place))
    write_manifest(folder)


def _tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """Optimizer state under flat names: `optimizer/parameter/quantity`."""
    return {
        f"{number}/{index}/{name}": torch.as_tensor(value).contiguous()
        for number, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def _prune(folder: Path, newest: Place, config: Config | None) -> None:
    """Remove what nothing needs any more, and what power cuts have left half written."""
    steps: dict[str, list[int]] = {}
    for path, stage, step in _named(folder):
        if stage == newest.stage and step > newest.step:
            shutil.rmtree(path)  # damaged: training went on from before it
        else:
            steps.setdefault(stage, []).append(step)
    keep = {(stage, max(done)) for stage, done in steps.items()}
    keep |= {(newest.stage, step) for step in sorted(steps[newest.stage])[-2:]}
    stages = config.every_stage() if config else {}
    keep |= {(name, step) for name, stage in stages.items() for step in stage.milestones}

    for path, stage, step in _named(folder):
        if (stage, step) not in keep:
            shutil.rmtree(path)
    for path in [*folder.glob("*.tmp"), *folder.glob("*.old")]:
        shutil.rmtree(path, ignore_errors=True)


def _named(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """Checkpoint folders with the stage and step that their names tell."""
    for path in sorted(folder.glob("*-*")):
        if path.is_dir() and (name := _FINISHED.fullmatch(path.name)):
            yield path, name[1], int(name[2])


def of_stage(folder: Path, stage: str) -> Path | None:
    """Furthest checkpoint of a stage."""
    found = [(step, path) for path, name, step in _named(folder) if name == stage]
    return max(found)[1] if found else None


def newest(folder: Path) -> Path | None:
    """Checkpoint that was written last."""
    found = [
        (file.stat().st_mtime_ns, path)
        for path, _, _ in _named(folder)
        if (file := path / "place.json").exists()
    ]
    return max(found)[1] if found else None


def latest(folder: Path, stages: tuple[str, ...]) -> tuple[Path, Place] | None:
    """Furthest checkpoint whose files are all as they were written, if there is one.

    Damaged ones are named in a warning, and passed over where there is a sound one before them.

    Raises
    ------
    InputError
        none is sound, or one is of a stage that the run does not have
    """
    found = []
    for path, stage, step in _named(folder):
        if stage not in stages:
            there = ", ".join(stages)
            raise InputError(f"{path}: of stage {stage}; this run has {there}")
        found.append((stages.index(stage), step, path, stage))

    passed: list[str] = []
    for _, step, path, stage in sorted(found, reverse=True):
        place = Place(stage, step)
        if (wrong := fault_of(path, place)) is None:
            _tell_passed(passed, path)
            return path, place
        passed.append(f"{path}: damaged, {wrong}")
    if passed:
        raise InputError(f"{passed[0]}; no other is sound: remove it to begin anew")
    return None


def fault_of(path: Path, place: Place) -> str | None:
    """What is wrong with a checkpoint of that place, in words; None where it is sound."""
    file = path / "place.json"
    if not file.exists():
        return "place.json is missing"
    try:
        own = Place(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        return f"place.json cannot be read ({reason(error)})"
    if own != place:
        return f"it holds step {own.step} of stage {own.stage}"
    return damage(path)


def _tell_passed(passed: list[str], sound: Path) -> None:
    """Warn of damaged checkpoints, on the first of all processes."""
    if os.environ.get("RANK", "0") == "0":
        for line in passed:
            message = f"{line}; going on from {sound.name}"
            warnings.warn(message, stacklevel=4)


def controls(folder: Path) -> dict[str, Any]:
    """What the rules of a stage remembered; nothing in a checkpoint of before there were any."""
    file = folder / "controls.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def restore(
    folder: Path,
    model: OmniModel,
    optimizers: list[torch.optim.Optimizer],
    config: Config | None = None,
) -> None:
    """Put a checkpoint's weights and optimizer state back in place.

    Parameters
    ----------
    optimizers : none where the checkpoint's stage is done
    config : of the run that goes on; within a stage its settings must be those of the checkpoint

    Raises
    ------
    InputError
        its files cannot be read, or it is of other settings; the message has the differences
    """
    if config is not None and optimizers and (other := other_settings(folder, config)):
        right = "go on with the same settings, or choose another --out"
        raise InputError(f"{folder}: saved with other settings: {one_line(other)}; {right}")
    try:
        weights = load_file(folder / "model.safetensors")
        states = load_file(folder / "optimizer.safetensors") if optimizers else {}
    except Exception as fault:
        raise InputError(
            f"{folder}: cannot be read ({reason(fault)}); remove it to go on from the one before"
        ) from fault
    _check_sizes(folder, weights, model)
    model.load_state_dict(weights)
    for number, optimizer in enumerate(optimizers):
        whole = optimizer.state_dict()
        whole["state"] = {}
        for name, value in states.items():
            owner, index, quantity = name.split("/")
            if int(owner) == number:
                whole["state"].setdefault(int(index), {})[quantity] = value
        optimizer.load_state_dict(whole)


def other_settings(folder: Path, config: Config) -> list[Difference]:
    """Differences between the settings of a checkpoint's run and `config`."""
    file = folder / SETTINGS
    if not file.exists():  # of an earlier version
        return []
    try:
        return differences(from_dict(json.loads(file.read_text(encoding="utf-8"))), config)
    except (ConfigError, ValueError) as error:
        raise InputError(f"{file}: no settings of this version ({reason(error)})") from None


def _check_sizes(folder: Path, weights: dict[str, torch.Tensor], model: OmniModel) -> None:
    """Refuse weights of another model, with the settings that make it another."""
    own = model.state_dict()
    names = sorted({*own, *weights})
    wrong = next((n for n in names if _shape(weights, n) != _shape(own, n)), None)
    if wrong is None:
        return
    found = [*_model_differences(folder, model)]
    sizes = f"{wrong}: {_shape(weights, wrong)} there, {_shape(own, wrong)} here"
    raise InputError(f"{folder}: weights of another model: {one_line(found) or sizes}")


def _shape(tensors: dict[str, torch.Tensor], name: str) -> str:
    return " × ".join(map(str, tensors[name].shape)) if name in tensors else "none"


def _model_differences(folder: Path, model: OmniModel) -> Iterator[Difference]:
    """Differences between the model of a checkpoint and one in memory, by dotted key."""
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for section, cls in (("model", ModelConfig), ("sequence", SequenceConfig)):
        there, here = (
            section_from_dict(cls, settings.get(section, {}))
            for settings in (saved.get("settings", {}), model.config.settings)
        )
        for found in differences(there, here):
            yield found._replace(key=f"{section}.{found.key}")
