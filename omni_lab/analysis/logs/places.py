"""Where logs lie: a file, a run folder, a folder of runs, and one of several runs inside a file (`FILE#PART`).

A run folder holds `metrics.jsonl` (ours), `trainer_state.json` (Hugging Face, of several checkpoints the furthest),
`metrics.csv` (Lightning), event files (TensorBoard), or one file that reads as a log.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from omni_lab.analysis.logs.console import read_console
from omni_lab.analysis.logs.delimited import read_delimited
from omni_lab.analysis.logs.event_files import read_event_files
from omni_lab.analysis.logs.formats import format_of
from omni_lab.analysis.logs.objects import read_document, read_lines
from omni_lab.analysis.logs.source import is_event_file, open_text
from omni_lab.analysis.logs.table import Table
from omni_lab.errors import InputError, reason

PART = "#"  # between a file and one of the runs in it
_STATE = "trainer_state.json"
_FIXED = ("metrics.jsonl", _STATE, "metrics.csv")
_ENDINGS = (".jsonl", ".csv", ".tsv", ".json", ".log", ".txt")
_NO_LOGS = {
    "config.json", "environment.json", "data.json", "summary.json", "place.json", "needles.json",
    "tokenizer.json", "tokenizer_config.json", "generation_config.json", "training_args.json",
    "special_tokens_map.json", "package.json", "all_results.json", "requirements.txt",
}  # fmt: skip


def parted(path: Path | str) -> tuple[Path, str | None]:
    """File and part of a path such as `record.json#direct/0`; a file that has the sign in its name is one.

    >>> parted("results/context/record.json#direct")
    (PosixPath('results/context/record.json'), 'direct')
    """
    text = str(path)
    if PART not in text or os.path.exists(text):
        return Path(text), None
    before, _, part = text.rpartition(PART)
    return (Path(before), part) if before and part else (Path(text), None)


def log_files(path: Path) -> list[Path]:
    """The files of a run: the file itself, or those of a run folder; none where the folder is no run.

    Raises
    ------
    InputError
        nothing is there, or it may not be listed
    """
    if not _exists(path):
        raise InputError(f"{path}: no such file or folder; a log is a file or a run folder")
    if not path.is_dir():
        return [path]
    for name in _FIXED:
        if (path / name).is_file():
            return [path / name]
    checkpoints = [file for file in path.glob(f"checkpoint-*/{_STATE}") if file.is_file()]
    if checkpoints:
        return [max(checkpoints, key=lambda file: (_reached(file), file.parent.name))]
    inside = _listed(path)
    if events := [file for file in inside if is_event_file(file)]:
        return events
    logs = [f for f in inside if f.suffix.lower() in _ENDINGS and f.name not in _NO_LOGS]
    return logs if len(logs) == 1 else []


def inner_logs(path: Path) -> list[Path]:
    """Logs one folder down, or files side by side, where a folder is no run itself but holds several.

    Raises
    ------
    InputError
        there is none
    """
    folders = [each for each in _listed(path, folders=True) if log_files(each)]
    files = [f for f in _listed(path) if f.suffix.lower() in _ENDINGS and f.name not in _NO_LOGS]
    if not folders and not files and (path / "runs").is_dir():
        return inner_logs(path / "runs")
    if not folders and not files:
        right = "metrics.jsonl, trainer_state.json, metrics.csv, event files, or one CSV or JSONL"
        raise InputError(f"{path}: no log in this folder; a run folder holds {right}")
    return [*folders, *files]


def _exists(path: Path) -> bool:
    """Whether something is there; a name that no file can have is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _listed(path: Path, folders: bool = False) -> list[Path]:
    """Files (or folders) in a folder that are not hidden, in the order of their numbers."""
    try:
        found = [each for each in path.iterdir() if not each.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror or reason(error)})") from None
    kept = [each for each in found if (each.is_dir() if folders else each.is_file())]
    return sorted(
        kept, key=lambda p: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", p.name)]
    )


def _reached(file: Path) -> float:
    """Step that a trainer's state has come to; −1 where it cannot be read."""
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return -1.0


def tables_of(files: list[Path], wanted: Callable[[str], bool]) -> dict[str, Table]:
    """Tables in the files of one run, by the part of the file where there are several.

    Raises
    ------
    InputError
        a file is empty, binary or no log
    """
    if is_event_file(files[0]):
        return {"": read_event_files(files, wanted)}
    source = open_text(files[0])
    kind = format_of(source)
    if kind == "json":
        return read_document(source, wanted)
    read = {"jsonl": read_lines, "delimited": read_delimited, "console": read_console}[kind]
    return {"": read(source, wanted)}


def short_name(file: Path) -> str:
    """Short name of a run: its folder's where the file has the same name in every run."""
    same = file.name in (*_FIXED, "record.json") or is_event_file(file)
    folder = file.resolve().parent
    if same and file.name == _STATE and re.fullmatch(r"checkpoint-\d+", folder.name):
        folder = folder.parent
    return folder.name if same and folder.name else file.stem
