"""`omni-lab config`: every setting with its value and its meaning."""

from __future__ import annotations

import argparse
from typing import Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured


def add_config(commands: Any) -> None:
    """Argument parser of `omni-lab config`."""
    example = "omni-lab config --preset small --set seed=3"
    message = "settings of a preset, each with its value and its meaning"
    parser = command(commands, "config", message, example, show_config)

    message = "tiny, small or full_7b (default: %(default)s)"
    parser.add_argument("--preset", default="tiny", help=message)
    add_settings(parser)
    add_json(parser)


def show_config(arguments: argparse.Namespace) -> None:
    """`omni-lab config`: settings of a preset, with the changes of `--set`."""
    from omni_lab.config import describe, to_dict

    config = configured(arguments.preset, arguments.settings)
    answer(arguments, to_dict(config), describe(config))
