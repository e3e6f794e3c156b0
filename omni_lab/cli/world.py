"""Commands below `omni-lab world`: films with known ground truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count, whole

READABLE = "world.questions_per_second=1"  # slow enough to watch; --set may ask for more


def add_world(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab world`."""
    example = "omni-lab world film --seed 7 --out films"
    world = command(commands, "world", "synthetic films with known ground truth", example)
    inner = world.add_subparsers(title="commands", metavar="COMMAND")

    message = "synthetic gallery film: mp4 with subtitles (srt, vtt) and truth.json beside it"
    example = "omni-lab world film --seed 7 --seconds 10 --out films"
    parser = command(inner, "film", message, example, world_film)
    parser.set_defaults(after_stop="a film that was being written is incomplete")

    message = "random seed of the film's script (default: %(default)s)"
    parser.add_argument("--seed", type=whole, default=0, help=message)
    message = "length in seconds (default: %(default)s)"
    parser.add_argument("--seconds", type=count, default=10, help=message)
    message = "picture side in pixels (default: %(default)s)"
    parser.add_argument("--size", type=count, default=480, help=message)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    add_settings(parser)
    add_json(parser)


def world_film(arguments: argparse.Namespace) -> None:
    """`omni-lab world film`: one film with its subtitles and ground truth."""
    config = configured("tiny", [READABLE, *arguments.settings])
    from omni_lab.world.drawing import write_script
    from omni_lab.world.film import write_film

    script = write_script(arguments.seed, arguments.seconds, config.world)
    arguments.out.mkdir(parents=True, exist_ok=True)
    film = write_film(script, arguments.out / f"gallery_{arguments.seed}.mp4", size=arguments.size)
    written = sorted(str(path) for path in film.parent.glob(f"{film.stem}.*"))
    answer(arguments, {"film": str(film), "files": written}, "\n".join(written))
