"""`omni-lab`: every step of the way as a command.

Exit codes: 0, done; 1, the input is at fault (one line says how); 2, the call is at fault; 130, stopped with Ctrl-C.
What a command needs is imported when the command runs, so that `omni-lab --help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omni_lab import __version__
from omni_lab.errors import CallFault, InputFault, OmniLabError

AGAIN = "the same command again goes on from what is done"
READABLE = "world.questions_per_second=1"  # of a film that people watch; --set may ask for more


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.handler is None:
        arguments.parser.print_help()
        return 2
    try:
        code = arguments.handler(arguments) or 0
        sys.stdout.flush()
        return code
    except OmniLabError as error:
        print(f"omni-lab: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "omni_lab":
            raise
        print(f"omni-lab: {error.name} is not installed; `omni-lab doctor` says how to get it", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who read the output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"\nomni-lab: stopped; {arguments.after_stop}", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="omni-lab",
        description="Learn, and reproduce, how an omni-modal model is pretrained.",
        epilog="example:\n  omni-lab demo --quick\n\n`omni-lab COMMAND --help` shows an example of every command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"omni-lab {__version__}")
    parser.set_defaults(handler=None, parser=parser, after_stop=AGAIN)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_world(commands)
    _add_triplets(commands)
    _add_reproduce(commands)
    _add_config(commands)
    _add_doctor(commands)
    return parser


def _command(group: Any, name: str, says: str, example: str, run: Callable | None = None) -> argparse.ArgumentParser:
    parser = group.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=run, parser=parser)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    says = "change settings, such as training.omni.steps=50 (`omni-lab config` lists them)"
    many = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--set", dest="settings", metavar="KEY=VALUE", help=says, **many)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _add_demo(commands: Any) -> None:
    example = "omni-lab demo --out runs/demo --set training.omni.steps=100"
    says = "go the whole way once: films, triplets, streams, three stages of training, evaluation, report"
    parser = _command(commands, "demo", says, example, demo)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="the run's folder (default: %(default)s)")
    parser.add_argument("--films", type=Path, help="folder of films with truth beside them (default: data_samples)")
    parser.add_argument("--seed", type=_whole, help="of the world, the weights and the order of the data (default: 0)")
    quick = "a few steps of everything: whether it runs, not what it learns"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--fresh", action="store_true", help="throw away what an earlier run left in --out")
    _add_settings(parser)
    _add_json(parser)


def _add_world(commands: Any) -> None:
    world = _command(commands, "world", "films whose truth is known", "omni-lab world film --seed 7 --out films")
    inner = world.add_subparsers(title="commands", metavar="COMMAND")
    says = "write a gallery film: mp4 with subtitles (srt, vtt) and truth.json beside it"
    parser = _command(inner, "film", says, "omni-lab world film --seed 7 --seconds 10 --out films", world_film)
    parser.set_defaults(after_stop="a film that was being written is incomplete")
    parser.add_argument("--seed", type=_whole, default=0, help="names the film's script (default: %(default)s)")
    parser.add_argument("--seconds", type=_count, default=10, help="length (default: %(default)s)")
    parser.add_argument("--size", type=_count, default=480, help="pixels per side (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    _add_settings(parser)
    _add_json(parser)


def _add_triplets(commands: Any) -> None:
    example = "omni-lab triplets build films/ --out runs/triplets"
    triplets = _command(commands, "triplets", "clips of frames, audio and text from any film", example)
    inner = triplets.add_subparsers(title="commands", metavar="COMMAND")

    says = "cut films into clips of 5 to 15 s, written as shards with an index"
    example = "omni-lab triplets build talk.mp4 films/ --out runs/triplets"
    parser = _command(inner, "build", says, example, triplets_build)
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="films, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    _add_settings(parser)
    _add_json(parser)

    says = "print one clip as a table and draw it"
    example = "omni-lab triplets show runs/triplets --clip 3 --png clip.png"
    parser = _command(inner, "show", says, example, triplets_show)
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    parser.add_argument("--clip", default="0", help="which: a number from 0, or a clip_id (default: %(default)s)")
    parser.add_argument("--png", type=Path, help="picture to write (default: CLIP_ID.png in DIR)")
    _add_json(parser)


def _add_reproduce(commands: Any) -> None:
    says = "run an experiment over several seeds and record what came out under results/"
    parser = _command(commands, "reproduce", says, "omni-lab reproduce demo --seeds 3", reproduce)
    parser.add_argument("experiment", nargs="?", help="its id; --list shows all")
    parser.add_argument("--seeds", type=_count, default=3, help="how many (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything: whether it runs")
    parser.add_argument("--list", action="store_true", help="list the experiments")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of records (default: %(default)s)")
    _add_settings(parser)
    _add_json(parser)


def _add_config(commands: Any) -> None:
    says = "list every setting with its value and its meaning"
    parser = _command(commands, "config", says, "omni-lab config --preset small --set seed=3", show_config)
    parser.add_argument("--preset", default="tiny", help="tiny, small or full_7b (default: %(default)s)")
    _add_settings(parser)
    _add_json(parser)


def _add_doctor(commands: Any) -> None:
    says = "print what a bug report needs, and what is missing with the command that gets it"
    parser = _command(commands, "doctor", says, "omni-lab doctor --json", doctor)
    _add_json(parser)


def demo(arguments: argparse.Namespace) -> None:
    """`omni-lab demo`: train, evaluate and report into a run folder."""
    seed = [] if arguments.seed is None else [f"seed={arguments.seed}"]
    config = _config("tiny", [*seed, *arguments.settings])
    if arguments.fresh:
        _discard_run(arguments.out)
    from omni_lab.demo import run_demo

    with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
        report = run_demo(config, arguments.out, arguments.films, arguments.quick)
    if arguments.json:
        print((arguments.out / "summary.json").read_text(encoding="utf-8").strip())
    else:
        print(f"the report: {report}")


def world_film(arguments: argparse.Namespace) -> None:
    """`omni-lab world film`: write one film with its subtitles and truth."""
    config = _config("tiny", [READABLE, *arguments.settings])
    from omni_lab.world.film import write_film
    from omni_lab.world.script import write_script

    script = write_script(arguments.seed, arguments.seconds, config.world)
    arguments.out.mkdir(parents=True, exist_ok=True)
    film = write_film(script, arguments.out / f"gallery_{arguments.seed}.mp4", size=arguments.size)
    written = sorted(str(path) for path in film.parent.glob(f"{film.stem}.*"))
    _print(arguments, {"film": str(film), "files": written}, "\n".join(written))


def triplets_build(arguments: argparse.Namespace) -> int:
    """`omni-lab triplets build`: any films to shards; files that fail are named and the others go on."""
    config = _config("tiny", arguments.settings)
    from dataclasses import asdict

    from omni_lab.triplets.build import build

    report = build(arguments.paths, arguments.out, config.triplets, progress=not arguments.json)
    lines = [f"{uri}: skipped, {why}" for uri, why in report.skipped]
    lines += [f"{uri}: clips made, but {'; '.join(errors)}" for uri, errors in report.damaged]
    _print(
        arguments, asdict(report), "\n".join([*lines, f"{report.clips} clips of {report.films} films in {report.out}"])
    )
    for failure in report.failures:
        print(f"omni-lab: {failure.uri}: {failure.reason}", file=sys.stderr)
    return report.exit_code


def triplets_show(arguments: argparse.Namespace) -> None:
    """`omni-lab triplets show`: one clip as a table and as a picture."""
    if not arguments.shards.is_dir():
        raise InputFault(f"{arguments.shards}: there is no such folder of shards")
    from omni_lab.plots.timeline import draw_triplet
    from omni_lab.triplets.shards import read_shards
    from omni_lab.triplets.table import facts_of, table

    seen = 0
    for seen, triplet in enumerate(read_shards(arguments.shards), start=1):
        if arguments.clip in (str(seen - 1), triplet.clip_id):
            break
    else:
        raise CallFault(f"--clip {arguments.clip}: {arguments.shards} has {seen} clips, counted from 0")
    picture = arguments.png or arguments.shards / f"{triplet.clip_id}.png"
    figure = draw_triplet(triplet)
    figure.savefig(picture)
    _print(arguments, {**facts_of(triplet), "picture": str(picture)}, f"{table(triplet)}\n\npicture: {picture}")


def reproduce(arguments: argparse.Namespace) -> int:
    """`omni-lab reproduce`: exit code 1 where a criterion does not hold."""
    from omni_lab.reproduce.claims import EXPERIMENTS, experiment

    if arguments.list or not arguments.experiment:
        listed = "\n".join(f"{name:<12}{asks}  [{claims}]" for name, (asks, claims) in EXPERIMENTS.items())
        _print(arguments, {name: {"asks": a, "claims": c.split()} for name, (a, c) in EXPERIMENTS.items()}, listed)
        return 0
    run = experiment(arguments.experiment)
    record = run(_config("tiny", arguments.settings), arguments.seeds, arguments.out, Path("runs"), arguments.quick)
    lines = [
        f"{'holds' if row['holds'] else 'FAILS'}  {row['metric']:<28}{row['must_be']:>10}   worst {row['worst']:.3f}"
        for row in record["criteria"]
    ]
    _print(arguments, record, "\n".join([*lines, f"\n{record['id']}: {record['verdict']}"]))
    return 0 if record["verdict"] == "reproduced" else 1


def show_config(arguments: argparse.Namespace) -> None:
    """`omni-lab config`: the settings of a preset with changes put in."""
    from omni_lab.config import describe, to_dict

    config = _config(arguments.preset, arguments.settings)
    _print(arguments, to_dict(config), describe(config))


def doctor(arguments: argparse.Namespace) -> int:
    """`omni-lab doctor`: exit code 0 where the core is whole."""
    from omni_lab.doctor import examine, written

    report = examine()
    _print(arguments, report.to_dict(), written(report))
    return 0 if report.whole else 1


def _config(preset: str, settings: list[str]) -> Any:
    from omni_lab.config import PRESETS, override

    if preset not in PRESETS:
        raise CallFault(f"--preset {preset}: there are {', '.join(PRESETS)}")
    return override(PRESETS[preset](), settings)


def _discard_run(folder: Path) -> None:
    """Delete a run folder, and nothing that is not one."""
    import shutil

    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / "config.json").is_file()):
        raise CallFault(f"--fresh deletes run folders only, and {folder} has no config.json")
    shutil.rmtree(folder)


def _print(arguments: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False) if arguments.json else text)


def _whole(text: str) -> int:
    """An argument that is a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _count(text: str) -> int:
    """An argument that is a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
