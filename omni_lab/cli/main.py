"""`omni-lab`: every step of the way as a command.

Exit codes: 0, done; 1, the input is at fault (one line says how); 2, the call is at fault; 130, stopped with Ctrl-C.
What a command needs is imported when the command runs, so that `omni-lab --help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omni_lab import __version__
from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count, whole
from omni_lab.cli.evaluate import add_evaluate
from omni_lab.cli.plan import add_plan
from omni_lab.cli.sequences import add_sequences
from omni_lab.cli.train import add_train
from omni_lab.cli.triplets import add_triplets
from omni_lab.errors import OmniLabError, UsageError

AGAIN = "the same command again goes on from what is done"
READABLE = "world.questions_per_second=1"  # of a film that people watch; --set may ask for more


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that has no ✓ or 猫 shows a sign for it
        sys.stdout.reconfigure(errors="replace")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the commands have their own
    warnings.formatwarning = lambda message, *_, **__: f"omni-lab: {message}\n"
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
        print(
            f"omni-lab: {error.name} is not installed; `omni-lab doctor` says how to get it",
            file=sys.stderr,
        )
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
    add_triplets(commands)
    add_sequences(commands)
    add_train(commands)
    add_evaluate(commands)
    add_plan(commands)
    _add_reproduce(commands)
    _add_config(commands)
    _add_doctor(commands)
    return parser


def _add_demo(commands: Any) -> None:
    example = "omni-lab demo --out runs/demo --set training.stages.omni.steps=100"
    message = "go the whole way once: films, triplets, streams, three stages of training, evaluation, report"
    parser = command(commands, "demo", message, example, demo)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        help="the run's folder (default: %(default)s)",
    )
    parser.add_argument(
        "--films", type=Path, help="folder of films with truth beside them (default: data_samples)"
    )
    parser.add_argument(
        "--seed",
        type=whole,
        help="of the world, the weights and the order of the data (default: 0)",
    )
    quick = "a few steps of everything: whether it runs, not what it learns"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--fresh", action="store_true", help="throw away what an earlier run left in --out"
    )
    add_settings(parser)
    add_json(parser)


def _add_world(commands: Any) -> None:
    world = command(
        commands, "world", "films whose truth is known", "omni-lab world film --seed 7 --out films"
    )
    inner = world.add_subparsers(title="commands", metavar="COMMAND")
    message = "write a gallery film: mp4 with subtitles (srt, vtt) and truth.json beside it"
    parser = command(
        inner, "film", message, "omni-lab world film --seed 7 --seconds 10 --out films", world_film
    )
    parser.set_defaults(after_stop="a film that was being written is incomplete")
    parser.add_argument(
        "--seed", type=whole, default=0, help="names the film's script (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=count, default=10, help="length (default: %(default)s)")
    parser.add_argument(
        "--size", type=count, default=480, help="pixels per side (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    add_settings(parser)
    add_json(parser)


def _add_reproduce(commands: Any) -> None:
    message = "run an experiment over several seeds and record what came out under results/"
    parser = command(commands, "reproduce", message, "omni-lab reproduce demo --seeds 3", reproduce)
    parser.add_argument("experiment", nargs="?", help="its id; --list shows all")
    parser.add_argument("--seeds", type=count, default=3, help="how many (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="a few steps of everything: whether it runs"
    )
    parser.add_argument("--list", action="store_true", help="list the experiments")
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder of records (default: %(default)s)"
    )
    add_settings(parser)
    add_json(parser)


def _add_config(commands: Any) -> None:
    message = "list every setting with its value and its meaning"
    parser = command(
        commands, "config", message, "omni-lab config --preset small --set seed=3", show_config
    )
    parser.add_argument(
        "--preset", default="tiny", help="tiny, small or full_7b (default: %(default)s)"
    )
    add_settings(parser)
    add_json(parser)


def _add_doctor(commands: Any) -> None:
    message = "print what a bug report needs, and what is missing with the command that gets it"
    parser = command(commands, "doctor", message, "omni-lab doctor --json", doctor)
    add_json(parser)


def demo(arguments: argparse.Namespace) -> None:
    """`omni-lab demo`: train, evaluate and report into a run folder."""
    seed = [] if arguments.seed is None else [f"seed={arguments.seed}"]
    config = configured("tiny", [*seed, *arguments.settings])
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
    config = configured("tiny", [READABLE, *arguments.settings])
    from omni_lab.world.drawing import write_script
    from omni_lab.world.film import write_film

    script = write_script(arguments.seed, arguments.seconds, config.world)
    arguments.out.mkdir(parents=True, exist_ok=True)
    film = write_film(script, arguments.out / f"gallery_{arguments.seed}.mp4", size=arguments.size)
    written = sorted(str(path) for path in film.parent.glob(f"{film.stem}.*"))
    answer(arguments, {"film": str(film), "files": written}, "\n".join(written))


def reproduce(arguments: argparse.Namespace) -> int:
    """`omni-lab reproduce`: exit code 1 where a criterion does not hold."""
    from omni_lab.reproduce.registry import EXPERIMENTS, experiment

    if arguments.list or not arguments.experiment:
        listed = "\n".join(
            f"{name:<12}{asks}  [{claims}]" for name, (asks, claims) in EXPERIMENTS.items()
        )
        answer(
            arguments,
            {name: {"asks": a, "claims": c.split()} for name, (a, c) in EXPERIMENTS.items()},
            listed,
        )
        return 0
    run = experiment(arguments.experiment)
    record = run(
        configured("tiny", arguments.settings),
        arguments.seeds,
        arguments.out,
        Path("runs"),
        arguments.quick,
    )
    lines = [
        f"{'holds' if row['holds'] else 'FAILS'}  {row['metric']:<28}{row['must_be']:>10}   worst {row['worst']:.3f}"
        for row in record["criteria"]
    ]
    answer(arguments, record, "\n".join([*lines, f"\n{record['id']}: {record['verdict']}"]))
    return 0 if record["verdict"] == "reproduced" else 1


def show_config(arguments: argparse.Namespace) -> None:
    """`omni-lab config`: the settings of a preset with changes put in."""
    from omni_lab.config import describe, to_dict

    config = configured(arguments.preset, arguments.settings)
    answer(arguments, to_dict(config), describe(config))


def doctor(arguments: argparse.Namespace) -> int:
    """`omni-lab doctor`: exit code 0 where the core is whole."""
    from omni_lab.doctor import examine, written

    report = examine()
    answer(arguments, report.to_dict(), written(report))
    return 0 if report.whole else 1


def _discard_run(folder: Path) -> None:
    """Delete a run folder, and nothing that is not one."""
    import shutil

    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / "config.json").is_file()):
        raise UsageError(f"--fresh deletes run folders only, and {folder} has no config.json")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
