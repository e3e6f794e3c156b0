"""What every command of `omni-lab` is made of: help with an example, settings, `--json`, and how it answers."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from typing import Any

from omni_lab.errors import UsageError

_STEERING = re.compile(
    "[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)  # a terminal; JSON escapes the others


def command(
    group: Any, name: str, message: str, example: str, run: Callable | None = None
) -> argparse.ArgumentParser:
    """Add a command: `says` in one line, and an example of a call."""
    parser = group.add_parser(
        name,
        help=message,
        description=f"{message[0].upper()}{message[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=run, parser=parser)
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--set KEY=VALUE`."""
    message = (
        "change settings, such as training.stages.omni.steps=50 (`omni-lab config` lists them)"
    )
    many = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--set", dest="settings", metavar="KEY=VALUE", help=message, **many)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def configured(preset: str, settings: list[str]) -> Any:
    """Give a preset's settings with changes put in.

    Raises
    ------
    UsageError
        there is no such preset, no such setting, or its value cannot be
    """
    from omni_lab.config import PRESETS, override

    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: there are {', '.join(PRESETS)}")
    return override(PRESETS[preset](), settings)


def answer(arguments: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    """Print what a command found: as text, or as JSON where that was asked for."""
    if arguments.json:
        text = _STEERING.sub(
            lambda c: f"\\u{ord(c.group()):04x}", json.dumps(data, indent=2, ensure_ascii=False)
        )
    print(text)


def whole(text: str) -> int:
    """An argument that is a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def count(text: str) -> int:
    """An argument that is a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)
