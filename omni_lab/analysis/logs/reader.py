"""Reading of training logs of any origin: from a path to curves, events and notes.

Steps and losses are found by name or refused with the candidates; what had to be mended is said in the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from omni_lab.analysis.logs.assemble import Asked, assembled, charted_runs
from omni_lab.analysis.logs.curve import Log
from omni_lab.analysis.logs.names import is_loss, matters, words
from omni_lab.analysis.logs.places import (
    PART,
    inner_logs,
    log_files,
    parted,
    short_name,
    tables_of,
)
from omni_lab.analysis.logs.table import Table
from omni_lab.errors import InputError, typed


def read_log(
    path: Path | str,
    *,
    step: str | None = None,
    loss: str | None = None,
    stage: str | None = None,
) -> Log:
    """Training log of one run: a file or a run folder of any common format.

    Parameters
    ----------
    path : file, run folder, or `FILE#PART` for one of several runs in a file
    step, loss : names of columns, where they cannot be told, or to take another (tokens or epochs as steps)
    stage : value of the stage column; only its rows are read, their steps as written

    Raises
    ------
    InputError
        the file is empty, binary, no log, or holds several runs; or its step or loss cannot be told by name
    UsageError
        a name that was asked for is not there
    """
    found = _runs(path, Asked(step, loss, stage))
    if len(found) == 1:
        return found[0]()
    parts = [part for part, _ in _parts(path, Asked(step, loss, stage))]
    shown = ", ".join(parts[:8]) + (f" and {len(parts) - 8} more" if len(parts) > 8 else "")
    raise InputError(f"{path}: {len(parts)} runs in it: {shown}; {path}{PART}{parts[0]} is one")


def read_logs(
    paths: Sequence[Path | str],
    *,
    step: str | None = None,
    loss: str | None = None,
    stage: str | None = None,
) -> list[Log]:
    """Training logs of several runs: files, run folders, folders of runs, files with several runs.

    Raises
    ------
    InputError, UsageError
        as `read_log`; of a folder, files that are no logs are passed over where another is one
    """
    asked, logs = Asked(step, loss, stage), []
    for path in paths:
        file, part = parted(path)
        if part is None and file.is_dir() and not log_files(file):
            logs += _readable(inner_logs(file), asked)
        else:
            logs += [read() for read in _runs(path, asked)]
    return logs


def _readable(paths: list[Path], asked: Asked) -> list[Log]:
    """Logs of those paths that hold one.

    Raises
    ------
    InputError
        none does; the message is about the first
    """
    logs, first = [], None
    for path in paths:
        try:
            logs += [read() for read in _runs(path, asked)]
        except InputError as error:
            first = first or error
    if not logs and first is not None:
        raise first
    return logs


def _runs(path: Path | str, asked: Asked) -> list[Callable[[], Log]]:
    """The runs in a file or run folder, each as a function that makes its log."""
    with typed(f"{path}: not readable as a log"):
        made = _parts(path, asked)
    return [make for _, make in made]


def _parts(path: Path | str, asked: Asked) -> list[tuple[str, Callable[[], Log]]]:
    """Runs with the names of their parts; of those asked for by `FILE#PART` only these."""
    file, part = parted(path)
    files = log_files(file)
    if not files:
        names = [str(each) for each in inner_logs(file)]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        raise InputError(f"{path}: several logs in it: {', '.join(names[:4])}{more}; name one")

    tables = tables_of(files, _wanted(asked))
    found = [run for place, table in tables.items() for run in _expanded(place, table)]
    if len(found) > 1:
        found = [run for run in found if _has_loss(run[1], asked)] or found
    if part is not None:
        named = [run for run in found if f"/{part}/" in f"/{run[0]}/"]
        if not named:
            there = ", ".join(name for name, *_ in found[:8])
            raise InputError(f"{file}: no run {part!r} in it; there are {there or 'none'}")
        found = named
    several = len(found) > 1 or part is not None
    return [
        (name, _making(table, files[0], name if several else "", asked, renamed))
        for name, table, renamed in found
    ]


def _making(
    table: Table, file: Path, part: str, asked: Asked, renamed: dict[str, str]
) -> Callable[[], Log]:
    short = short_name(file)
    # of a place inside a document, the arm and the seed say which run it is
    name = f"{short} {'/'.join(part.split('/')[-2:])}" if part else short
    where = f"{file}{PART}{part}" if part else str(file)

    def make() -> Log:
        with typed(f"{where}: not readable as a log"):
            return assembled(table, name, where, asked, renamed)

    return make


def _expanded(place: str, table: Table) -> list[tuple[str, Table, dict[str, str]]]:
    """Runs of one table: one, or those of a chart that was exported with several runs in it."""
    runs = charted_runs(table)
    if not runs:
        return [(place, table, {})]
    return [(run, table, renamed) for run, renamed in runs.items()]


def _has_loss(table: Table, asked: Asked) -> bool:
    """Whether a table of a document can be a log: others in it hold settings or results."""
    names = table.numeric()
    if asked.loss is not None:
        return any(words(name) == words(asked.loss) for name in names)
    return any(is_loss(name) for name in names)


def _wanted(asked: Asked) -> Callable[[str], bool]:
    """Which columns are kept: those that analyses ask for, and those that the caller names."""
    named = {words(name) for name in (asked.step, asked.loss) if name}
    return lambda name: matters(name) or words(name) in named
