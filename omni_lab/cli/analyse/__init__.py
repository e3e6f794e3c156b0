"""Commands below `omni-lab analyse`: anyone's training log, anyone's answers."""

from __future__ import annotations

from typing import Any

from omni_lab.cli.analyse.confusion import add_confusion
from omni_lab.cli.analyse.phases import add_phases
from omni_lab.cli.commands import command


def add_analyse(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab analyse`."""
    message = "analysis of a training log (phases of its losses) or of answers (modality confusion)"
    example = "omni-lab analyse phases runs/demo --out runs/demo/phases"
    inner = command(commands, "analyse", message, example).add_subparsers(
        title="commands", metavar="COMMAND"
    )
    add_phases(inner)
    add_confusion(inner)
