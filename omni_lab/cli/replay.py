"""`omni-lab train --replay-batch`: one kept batch run again, as text or JSON."""

from __future__ import annotations

import argparse
from typing import Any

from omni_lab.cli.commands import answer
from omni_lab.errors import UsageError

MOST = 32  # rows that the text shows; --json has all


def replay_batch(arguments: argparse.Namespace) -> None:
    """`omni-lab train --replay-batch FILE`.

    Raises
    ------
    UsageError
        the call also has settings: those of the file hold
    """
    alone = {"--out": arguments.out, "--set": arguments.settings, "--init": arguments.init}
    alone |= {"--data": arguments.data, "--stages": arguments.stages}
    if given := [name for name, value in alone.items() if value]:
        message = "the batch has its own settings and weights beside it"
        raise UsageError(f"--replay-batch: {message}; leave out {', '.join(given)}")
    from omni_lab.training.faults.replay import replay

    found = replay(arguments.replay_batch)
    answer(arguments, found, written(found))


def written(found: dict[str, Any]) -> str:
    """Result of a replay as text: losses, rows, first module without finite output, norms."""
    place = f"stage {found['stage']}, step {found['step']}"
    lines = [f"{place}, rank {found['rank']} of {found['ranks']}: {found['in_words']}", ""]
    lines.append(f"{'loss':<10}{'now':>14}{'in the step':>14}")
    for name, value in found["losses"].items():
        lines.append(f"{name:<10}{_number(value):>14}{_number(found['recorded'].get(name)):>14}")
    lines += [_compared(found), "", *_rows(found)]
    lines += ["", f"first module without finite output: {found['module'] or 'none'}"]
    if found["weight"]:
        lines.append(f"first weight that is not finite: {found['weight']}")
    norms = ", ".join(f"{part} {_number(norm)}" for part, norm in found["norms"].items())
    return "\n".join([*lines, f"gradient norms: {norms}"])


def _compared(found: dict[str, Any]) -> str:
    if found["same"]:
        return "the same to the last bit"
    why = ""
    if found["context_parallel"] > 1:
        why = f"; in the step {found['context_parallel']} ranks shared these rows"
    elif found["ranks"] > 1 and "align" in found["losses"]:
        why = f"; align is over this rank's moments, not those of {found['ranks']}"
    return f"not the same to the last bit{why}"


def _rows(found: dict[str, Any]) -> list[str]:
    """Table of losses by row, nats per token."""
    names = list(found["rows"])
    lines = [f"{'row':<10}" + "".join(f"{name:>14}" for name in names)]
    count = max(map(len, found["rows"].values()), default=0)
    for number in range(min(count, MOST)):
        cells = []
        for name in names:
            rows = found["rows"][name]
            bad = number in found["at_fault"].get(name, ())
            shown = _number(rows[number]) if number < len(rows) else ""
            cells.append(f"{shown + (' ←' if bad else ''):>14}")
        lines.append(f"{number:<10}" + "".join(cells))
    if count > MOST:
        lines.append(f"… and {count - MOST} more (--json has all)")
    return lines


def _number(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.6g}"
