"""`omni-lab demo`: the whole pipeline in one run, films to report."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from omni_lab.cli.commands import add_json, add_settings, command, configured, whole
from omni_lab.errors import UsageError


def add_demo(commands: Any) -> None:
    """Argument parser of `omni-lab demo`."""
    example = "omni-lab demo --out runs/demo --set training.stages.omni.steps=100"
    message = "whole pipeline: films, triplets, streams, training stages, evaluation, report"
    parser = command(commands, "demo", message, example, demo)

    message = "run folder; a run in it is resumed (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help=message)
    message = "folder of films with ground truth beside them (default: data_samples)"
    parser.add_argument("--films", type=Path, help=message)
    message = "random seed of the world, the weights and the order of the data (default: 0)"
    parser.add_argument("--seed", type=whole, help=message)
    message = "smoke run: a few steps of everything, too few to learn from"
    parser.add_argument("--quick", action="store_true", help=message)
    message = "start anew: delete an earlier run in --out"
    parser.add_argument("--fresh", action="store_true", help=message)
    add_settings(parser)
    add_json(parser)


def demo(arguments: argparse.Namespace) -> None:
    """`omni-lab demo`: training, evaluation and report into a run folder."""
    seed = [] if arguments.seed is None else [f"seed={arguments.seed}"]
    config = configured("tiny", [*seed, *arguments.settings])
    if arguments.fresh:
        _discard_run(arguments.out)
    from omni_lab.demo import run_demo

    # with --json, stdout holds one JSON object and nothing else
    with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
        report = run_demo(config, arguments.out, arguments.films, arguments.quick)
    if arguments.json:
        print((arguments.out / "summary.json").read_text(encoding="utf-8").strip())
    else:
        print(f"the report: {report}")


def _discard_run(folder: Path) -> None:
    """Deletion of a run folder; any other folder is refused."""
    import shutil

    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / "config.json").is_file()):
        raise UsageError(f"--fresh deletes run folders only, and {folder} has no config.json")
    shutil.rmtree(folder)
