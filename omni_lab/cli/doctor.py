"""`omni-lab doctor`: environment check for bug reports, with a remedy for what is missing."""

from __future__ import annotations

import argparse
from typing import Any

from omni_lab.cli.commands import add_json, answer, command


def add_doctor(commands: Any) -> None:
    """Argument parser of `omni-lab doctor`."""
    message = "environment check for bug reports, with the command that gets what is missing"
    parser = command(commands, "doctor", message, "omni-lab doctor --json", doctor)
    add_json(parser)


def doctor(arguments: argparse.Namespace) -> int:
    """`omni-lab doctor`: exit code 0 where the core is complete."""
    from omni_lab.doctor import examine, written

    report = examine()
    answer(arguments, report.to_dict(), written(report))
    return 0 if report.whole else 1
