"""The run folder: settings, environment, a line of metrics per step: all that cheap work needs of the costly."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from omni_lab.config import Config, config_hash, from_dict, to_dict
from omni_lab.config.differences import differences, one_line
from omni_lab.errors import ConfigError, InputError
from omni_lab.storage import append_line, atomic_write, flush, write_json


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
    InputError
        the folder holds a run with other settings; the message has the differences
    """

    def __init__(self, path: Path | str, config: Config) -> None:
        self.path, self.config = Path(path), config
        settings = self.path / "config.json"
        if settings.exists():
            there = read_config(self.path)
            if config_hash(there) != config_hash(config):
                found = one_line(differences(there, config))
                right = "choose another --out, or remove it (`omni-lab demo --fresh` does)"
                raise InputError(f"{self.path}: holds a run with other settings: {found}; {right}")
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            write_json(self.path / "environment.json", environment())
            write_json(settings, to_dict(config))

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    def begin_stage(self, stage: str, fingerprint: str, parts: Mapping[str, str]) -> None:
        """Note which data a stage begins with.

        Parameters
        ----------
        parts : what the fingerprint is of, by name, so that a difference can be named
        """
        noted = {"fingerprint": fingerprint, **parts}
        write_json(self.path / "data.json", self._data() | {stage: noted})

    def begin_stage_as(self, other: Path, stage: str) -> None:
        """Note that a stage goes on with the data that it began with in another run's folder."""
        file = other / "data.json"
        noted = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if stage in noted:
            write_json(self.path / "data.json", self._data() | {stage: noted[stage]})

    def _data(self) -> dict[str, Any]:
        file = self.path / "data.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def check_data(self, stage: str, fingerprint: str, parts: Mapping[str, str]) -> None:
        """Refuse to go on within a stage with other data than it began with.

        Raises
        ------
        InputError
            the data differ, so that documents would be read twice or left out
        """
        here = {"fingerprint": fingerprint, **parts}
        there = self._data().get(stage, here)
        if isinstance(there, str):  # of an earlier version
            there = {"fingerprint": there}
        if there["fingerprint"] == fingerprint:
            return
        found = [
            f"{name}: {there.get(name, 'none')} there, {here.get(name, 'none')} here"
            for name in {**there, **here}
            if there.get(name) != here.get(name)
        ]
        named = [one for one in found if not one.startswith("fingerprint")] or found
        message = f"stage {stage} began with other data than it would go on with"
        right = "put them back as they were, or choose another run folder"
        raise InputError(f"{self.path}: {message}: {'; '.join(named)}; {right}")

    def log(self, record: dict) -> None:
        """Append one line to `metrics.jsonl`: all of it or, on a full disk, nothing."""
        append_line(self.path / "metrics.jsonl", json.dumps(record))

    def flush(self) -> None:
        """Flush metrics to disk, as is due before a checkpoint says that their steps are done."""
        if (self.path / "metrics.jsonl").exists():
            flush(self.path / "metrics.jsonl")

    def metrics(self) -> list[dict]:
        """Every line of `metrics.jsonl`.

        Raises
        ------
        InputError
            a line is no JSON object; the last may be half, where a process was killed
        """
        file = self.path / "metrics.jsonl"
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        lines = text.splitlines(keepends=True)
        return [self._record(n, line) for n, line in enumerate(lines, 1) if line.endswith("\n")]

    def _record(self, number: int, line: str) -> dict:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            return record
        right = "remove the line, or the file to do without the metrics so far"
        raise InputError(f"{self.path / 'metrics.jsonl'}: line {number} is no JSON object; {right}")

    def truncate_metrics(self, stages: tuple[str, ...], place: Place | None) -> None:
        """Drop the metrics of steps that a resumed run takes again: all from `place` on.

        Raises
        ------
        InputError
            a line is of a stage that the run does not have
        """
        kept = []
        if place is not None:
            reached = (stages.index(place.stage), place.step)
            kept = [r for r in self.metrics() if self._at(r, stages) < reached]
        atomic_write(self.path / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in kept))

    def _at(self, record: dict, stages: tuple[str, ...]) -> tuple[int, int]:
        """Where in the run a line of metrics stands."""
        stage, step = record.get("stage"), record.get("step")
        if stage not in stages or not isinstance(step, int):
            there = ", ".join(stages)
            message = f"a line is of step {step} of stage {stage}; this run has {there}"
            raise InputError(f"{self.path / 'metrics.jsonl'}: {message}")
        return stages.index(stage), step


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
