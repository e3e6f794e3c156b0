"""Building blocks of command-line parsers: help with an example, `--set`, `--json`, output.

Every command of `omni-lab` is one file per noun, with an `add_…` and a handler.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from typing import Any

from omni_lab.errors import UsageError

# control characters that steer a terminal and that JSON does not escape
_STEERING = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def command(
    group: Any, name: str, message: str, example: str, run: Callable | None = None
) -> argparse.ArgumentParser:
    """Argument parser of a command, added to a group of commands.

    Parameters
    ----------
    message : one line for the list of commands, also the description
    example : call that `--help` shows
    run : handler; None for a command that only groups others
    """
    parser = group.add_parser(
        name,
        help=message,
        description=f"{message[0].upper()}{message[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_debug(parser)
    parser.set_defaults(handler=run, parser=parser)
    return parser


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Option `--debug`, before or behind the name of a command."""
    message = "traceback of an error, and what the libraries say"
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=message)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Option `--set KEY=VALUE`, several at a time and repeatable."""
    message = (
        "changes of settings, such as training.stages.omni.steps=50 "
        "(`omni-lab config` lists all settings)"
    )
    many = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--set", dest="settings", metavar="KEY=VALUE", help=message, **many)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Option `--json`, for programs that read the output."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def configured(preset: str, settings: list[str]) -> Any:
    """Configuration of a preset, with `KEY=VALUE` overrides.

    Raises
    ------
    UsageError
        the preset or a setting does not exist, or a value is out of its range
    """
    from omni_lab.config import PRESETS, override

    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: there are {', '.join(PRESETS)}")
    return override(PRESETS[preset](), settings)


def answer(arguments: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    """Output of a command on stdout: `text`, or `data` as one JSON object with `--json`."""
    if arguments.json:
        text = json.dumps(data, indent=2, ensure_ascii=False)
        text = _STEERING.sub(lambda c: f"\\u{ord(c.group()):04x}", text)
    print(text)


def whole(text: str) -> int:
    """Argument type: integer, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def count(text: str) -> int:
    """Argument type: integer, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)
