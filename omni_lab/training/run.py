"""The run folder: settings, environment, a line of metrics per step: all that cheap work needs of the costly."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from omni_lab.config import Config, config_hash, from_dict, to_dict
from omni_lab.errors import ConfigError, InputError
from omni_lab.storage import atomic_write, write_json


@dataclass(frozen=True)
class Place:
    """How far training has come: `step` steps of `stage` are done."""

    stage: str
    step: int


_PACKAGES = ("torch", "transformers", "accelerate", "numpy", "av")


def environment() -> dict:
    """What a reader needs to reproduce a run: versions, processor, commit where there is one."""
    root = Path(__file__).parents[2]
    asked = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "commit": asked.stdout.strip() or None,
    }


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB (10⁶ bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


class RunFolder:
    """A run on disk: `config.json`, `environment.json`, `metrics.jsonl`, `checkpoints/`.

    Raises
    ------
    InputError : the folder holds a run with other settings.
    """

    def __init__(self, path: Path | str, config: Config) -> None:
        self.path, self.config = Path(path), config
        settings = self.path / "config.json"
        if settings.exists():
            there = config_hash(read_config(self.path))
            if there != config_hash(config):
                raise InputError(
                    f"{self.path}: holds a run with other settings ({there}, asked for {config_hash(config)}); "
                    "choose another --out, or remove it (`omni-lab demo --fresh` does)"
                )
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            write_json(self.path / "environment.json", environment())
            write_json(settings, to_dict(config))

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    def begin_stage(self, stage: str, fingerprint: str) -> None:
        """Note which data a stage begins with."""
        write_json(self.path / "data.json", self._data() | {stage: fingerprint})

    def _data(self) -> dict[str, str]:
        file = self.path / "data.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def check_data(self, stage: str, fingerprint: str) -> None:
        """Refuse to go on within a stage with other data than it began with.

        Raises
        ------
        InputError
            the data differ, so that documents would be read twice or left out
        """
        if self._data().get(stage, fingerprint) != fingerprint:
            message = f"stage {stage} began with other data than it would go on with"
            right = "put them back as they were, or choose another run folder"
            raise InputError(f"{self.path}: {message}; {right}")

    def log(self, record: dict) -> None:
        """Append one line to `metrics.jsonl`."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict]:
        """Every line of `metrics.jsonl`."""
        file = self.path / "metrics.jsonl"
        text = file.read_text() if file.exists() else ""
        # a process that was killed may have left half a line
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def truncate_metrics(self, stages: tuple[str, ...], place: Place | None) -> None:
        """Drop the metrics of steps that a resumed run takes again: all from `place` on."""
        kept = []
        if place is not None:
            reached = (stages.index(place.stage), place.step)
            kept = [r for r in self.metrics() if (stages.index(r["stage"]), r["step"]) < reached]
        atomic_write(self.path / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in kept))


def read_config(folder: Path | str) -> Config:
    """The settings of a run folder.

    Raises
    ------
    InputError
        there is none, or it is no JSON object
    ConfigError
        a setting in it does not exist, or its value cannot be
    """
    file = Path(folder) / "config.json"
    if not file.exists():
        raise InputError(
            f"{folder}: not a run folder (no config.json); make one with `omni-lab demo`"
        )
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise InputError(f"{file}: not readable as JSON ({error})") from None
    if not isinstance(settings, dict):
        raise InputError(f"{file}: settings are one JSON object, not {type(settings).__name__}")
    try:
        return from_dict(settings)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
