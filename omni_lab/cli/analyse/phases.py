"""`omni-lab analyse phases`: phases of anyone's training log, and whether its loss is normal."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, answer, command
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.analysis.logs import Log
    from omni_lab.analysis.normal import Comparison

EXAMPLES = """omni-lab analyse phases runs/demo --out runs/demo/phases
  omni-lab analyse phases trainer_state.json --against runs/seed0 runs/seed1 runs/seed2
  omni-lab analyse phases log.csv --step tokens --loss train/nll --json"""
_EVENTS = 20  # that are printed per log; all are in --json


def add_phases(group: Any) -> None:
    """Add `omni-lab analyse phases`."""
    message = "phases of the training loss: breaks and slopes, in any common format of log"
    parser = command(group, "phases", message, EXAMPLES, analyse_phases)
    message = (
        "run folder, trainer_state.json, CSV, JSON, JSONL, event file of TensorBoard, or console "
        "log; several are seeds of one recipe; FILE#PART is one of several runs in a file"
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help=message)
    message = "column of steps, or of tokens or epochs (default: found by its name)"
    parser.add_argument("--step", metavar="NAME", help=message)
    message = "column of the training loss (default: found by its name)"
    parser.add_argument("--loss", metavar="NAME", help=message)
    message = "only the rows of this stage"
    parser.add_argument("--stage", metavar="NAME", help=message)
    message = (
        "is the loss normal? recorded runs of the same recipe, or folders of them; three or more "
        "make a prediction band"
    )
    parser.add_argument("--against", nargs="+", metavar="LOG", default=[], help=message)
    message = "folder for a picture and a page of what was found"
    parser.add_argument("--out", type=Path, help=message)
    add_json(parser)


def analyse_phases(arguments: argparse.Namespace) -> None:
    """`omni-lab analyse phases`: phases, and with `--against` the comparison with recorded runs."""
    from omni_lab.analysis.logs import read_logs
    from omni_lab.analysis.phases import find_phases

    asked = {name: getattr(arguments, name) for name in ("step", "loss", "stage")}
    logs = read_logs(arguments.logs, **asked)
    compared = _compared(logs, arguments.against, asked)
    record: dict[str, Any] = {
        "logs": [_described(log) for log in logs],
        "phases": find_phases(logs),
        "against": [one.to_dict() for one in compared],
    }
    lines = [
        line for log, told in zip(logs, record["logs"], strict=True) for line in _log(log, told)
    ]
    lines += _phases(record["phases"])
    lines += [line for one in compared for line in ["", *one.in_words()]]
    if arguments.out:
        written = _written(arguments.out, record)
        record["picture"], record["page"] = map(str, written)
        lines += ["", f"picture: {written[0]}", f"page: {written[1]}"]
    answer(arguments, record, "\n".join(lines))


def _compared(
    logs: list[Log], against: list[str], asked: dict[str, str | None]
) -> list[Comparison]:
    """Every log against the recorded runs; a log that is among them is not compared with itself."""
    if not against:
        return []
    from omni_lab.analysis.logs import read_logs
    from omni_lab.analysis.normal import compare

    references = read_logs(against, **asked)
    pairs = [(log, [other for other in references if not _same(log, other)]) for log in logs]
    for log, others in pairs:
        if not others:
            raise UsageError(f"--against: {log.name} is the only run there; name recorded ones")
    return [compare(*pair) for pair in pairs]


def _same(one: Log, other: Log) -> bool:
    """Whether two logs are the same run."""
    import numpy as np

    mine, others = one.curves[one.main], other.curves[other.main]
    return np.array_equal(mine.steps, others.steps) and np.array_equal(mine.values, others.values)


def _described(log: Log) -> dict[str, Any]:
    """Plain record of what was read."""
    curve = log.curves[log.main]
    return {
        "name": log.name, "main": log.main, "rows": len(curve.steps),
        "first": float(curve.steps[0]), "last": float(curve.steps[-1]),
        "curves": list(log.curves), "held_out": list(log.held_out),
        "rate": log.rates.name if log.rates else None,
        "events": [asdict(event) for event in log.events], "notes": list(log.notes),
    }  # fmt: skip


def _log(log: Log, told: dict[str, Any]) -> list[str]:
    """What was read, in lines for people."""
    head = f"{log.name}: {told['rows']:,} rows of {log.main!r}, steps {told['first']:g} to {told['last']:g}"
    others = [*log.curves][1:] + [f"{name} (held out)" for name in log.held_out]
    lines = [head, *([f"  beside it: {', '.join(others[:12])}"] if others else [])]
    lines += [f"  note: {note}" for note in log.notes]
    for event in log.events[:_EVENTS]:
        until = "" if event.end is None else f" to {event.end:g}"
        lines.append(f"  {event.kind} at step {event.step:g}{until}: {event.what}")
    if len(log.events) > _EVENTS:
        lines.append(f"  … and {len(log.events) - _EVENTS} more events (--json has all)")
    return lines


def _phases(found: dict[str, Any]) -> list[str]:
    """What the phase finder found, in lines for people."""
    lines = [""]
    for run in found["runs"]:
        lines.append(f"{run['name']}: {run['verdict']} ({run['reason']})")
        for row in run["stretches"]:
            if len(run["stretches"]) > 1:
                lines.append(f"  {row['stage']}: {row['verdict']} ({row['reason']})")
            for at in row["breaks"]:
                counts = "" if at["counts"] else f"; does not count: {at['cause']}"
                lines.append(
                    f"    break at step {at['step']:,.0f} ({at['low']:,.0f} to {at['high']:,.0f}){counts}"
                )
    return lines


def _written(folder: Path, record: dict[str, Any]) -> tuple[Path, Path]:
    """Picture and page in a folder."""
    from omni_lab.plots.style import save
    from omni_lab.plots.training.against import draw_against
    from omni_lab.plots.training.phases import draw_phases
    from omni_lab.report.phases_page import write_phases_page

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"phases": draw_phases(record["phases"])}
    for place, one in enumerate(record["against"], 1):
        pictures[f"against {place}"] = draw_against(one)
    picture = folder / "phases.png"
    save(pictures["phases"], picture)
    if record["against"]:
        save(pictures["against 1"], folder / "against.png")
    return picture, write_phases_page(folder, record, pictures)
