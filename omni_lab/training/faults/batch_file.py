"""Batch file: all that one process's step is computed from, but the weights, in one safetensors file.

Tensors of the batch and of the objective's arguments, and in the file's header a JSON record: place,
seed, settings, what the step gave. It holds no code and needs nothing beside it but weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from omni_lab.config import Config, StageConfig, config_hash, from_dict, to_dict
from omni_lab.data.batch import TrainingBatch
from omni_lab.errors import ConfigError, InputError, reason
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.targets import Targets

KEY = "omni_lab_batch"  # of the record in the file's header
ROWS = ("streams", "captions")  # parts of a training batch that are batches of rows


@dataclass(frozen=True)
class StepInputs:
    """All that one process's step is computed from, but the weights.

    Parameters
    ----------
    seed : of what is drawn at random in it
    batch : in full, also where ranks share its rows
    given : the objective's other arguments by name: numbers, tuples of them, tensors, None
    """

    stage: StageConfig
    step: int
    seed: int
    batch: TrainingBatch
    given: dict[str, Any]


def write_step(
    path: Path, inputs: StepInputs, config: Config, record: Mapping[str, Any] | None = None
) -> None:
    """Write a batch file.

    Parameters
    ----------
    record : what the step gave and where, as JSON
    """
    tensors, plain = _parted(inputs.batch, inputs.given)
    header = {
        "stage": inputs.stage.name, "step": inputs.step, "seed": inputs.seed, "plain": plain,
        "threads": torch.get_num_threads(), "config_hash": config_hash(config),
        "config": to_dict(config), "record": as_json(record or {}),
    }  # fmt: skip
    save_file(tensors, path, {KEY: json.dumps(header)})


def read_step(path: Path) -> tuple[StepInputs, Config, dict[str, Any]]:
    """Inputs of a step, the settings of its run, and the header of its batch file.

    Raises
    ------
    InputError
        there is no such file, it is no batch file, or it was cut short
    """
    if path.is_dir():
        inside = ", ".join(sorted(file.name for file in path.glob("rank-*.safetensors")))
        right = f"name a file in it ({inside})" if inside else "a batch file is expected"
        raise InputError(f"{path}: a folder; {right}")
    if not path.exists():
        raise InputError(f"{path}: no such file; training keeps batches at fault in RUN/faults")
    header, tensors = _opened(path)
    try:
        config = from_dict(header["config"])
        stage = config.every_stage()[header["stage"]]
        batch, given = _joined(tensors, header["plain"])
        inputs = StepInputs(stage, header["step"], header["seed"], batch, given)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"its record is not as this version writes it ({reason(error)})"
        raise InputError(f"{path}: {message}; run the step again with this version") from error
    return inputs, config, header


def _opened(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        message = f"no batch file, or cut short ({reason(error)})"
        raise InputError(f"{path}: {message}; files end in .safetensors, in RUN/faults") from None
    if told is None:
        right = "those that training keeps are RUN/faults/STAGE-STEP/rank-R.safetensors"
        raise InputError(f"{path}: no batch of a training step; {right}")
    return json.loads(told), tensors


def _parted(
    batch: TrainingBatch, given: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by dotted name, and everything else."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for name, value in [*_leaves(batch, "batch"), *((f"given.{k}", v) for k, v in given.items())]:
        if isinstance(value, Tensor):
            tensors[name] = value.detach().cpu().clone().contiguous()
        else:
            plain[name] = value
    return tensors, plain


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        inner = getattr(value, field.name)
        if isinstance(inner, Mapping):
            yield f"{prefix}.{field.name}", {}  # also where nothing is in it
            yield from ((f"{prefix}.{field.name}.{key}", one) for key, one in inner.items())
        elif is_dataclass(inner):
            yield from _leaves(inner, f"{prefix}.{field.name}")
        else:
            yield f"{prefix}.{field.name}", inner


def _joined(
    tensors: Mapping[str, Tensor], plain: Mapping[str, Any]
) -> tuple[TrainingBatch, dict[str, Any]]:
    """The batch and the objective's arguments, put together again."""
    nested: dict[str, Any] = {"batch": {}, "given": {}}
    for name, value in {**plain, **tensors}.items():
        *path, last = name.split(".")
        at = nested
        for part in path:
            at = at.setdefault(part, {})
        at[last] = tuple(value) if isinstance(value, list) else value
    parts = nested["batch"]
    for name in ROWS:
        if isinstance(rows := parts.get(name), dict):
            parts[name] = Batch(**{**rows, "targets": Targets(**rows["targets"])})
    return TrainingBatch(**parts), nested["given"]


def as_json(value: Any) -> Any:
    """A record as strict JSON: numbers that are not finite as words, `nan`, `inf`, `-inf`."""
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
