"""`omni-lab reproduce`: experiments over several seeds, with a record and a verdict."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count
from omni_lab.errors import UsageError


def add_reproduce(commands: Any) -> None:
    """Argument parser of `omni-lab reproduce`."""
    example = "omni-lab reproduce demo --seeds 3"
    message = "experiment over several seeds, with a record of its metrics under results/"
    parser = command(commands, "reproduce", message, example, reproduce)

    parser.add_argument("experiment", nargs="?", help="id of the experiment; --list shows all")
    message = "number of seeds (default: %(default)s)"
    parser.add_argument("--seeds", type=count, default=3, help=message)
    message = "runs at a time, of an experiment that compares arms (default: %(default)s)"
    parser.add_argument("--jobs", type=count, default=1, help=message)
    message = "smoke run: a few steps of everything"
    parser.add_argument("--quick", action="store_true", help=message)
    message = "list of the experiments, with the claims they bear on"
    parser.add_argument("--list", action="store_true", help=message)
    message = (
        "write the page on the claims of the source articles, with what the records say of each"
    )
    parser.add_argument("--claims", type=Path, metavar="PATH", help=message)
    message = "folder of records (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=Path("results"), help=message)
    add_settings(parser)
    add_json(parser)


def reproduce(arguments: argparse.Namespace) -> int:
    """`omni-lab reproduce`: exit code 1 where a criterion does not hold."""
    from omni_lab.reproduce.registry import PARALLEL, experiment

    if arguments.claims:
        _write_claims(arguments)
        return 0
    if arguments.list or not arguments.experiment:
        _list(arguments)
        return 0

    run = experiment(arguments.experiment)
    if arguments.jobs > 1:
        if arguments.experiment not in PARALLEL:
            message = f"{arguments.experiment} runs one after the other"
            raise UsageError(
                f"--jobs {arguments.jobs}: {message}; of arms are {', '.join(PARALLEL)}"
            )
        run = partial(run, jobs=arguments.jobs)
    config = configured("tiny", arguments.settings)
    record = run(config, arguments.seeds, arguments.out, Path("runs"), arguments.quick)
    lines = [
        f"{'holds' if row['holds'] else 'FAILS'}  {row['metric']:<28}{row['must_be']:>10}   "
        f"worst {row['worst']:.3f}"
        for row in record["criteria"]
    ]
    answer(arguments, record, "\n".join([*lines, f"\n{record['id']}: {record['verdict']}"]))
    return 0 if record["verdict"] == "reproduced" else 1


def _write_claims(arguments: argparse.Namespace) -> None:
    """Page on the claims, written where `--claims` says."""
    from omni_lab.reproduce.claims.page import claims_page
    from omni_lab.storage import atomic_write

    arguments.claims.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(arguments.claims, claims_page())
    answer(arguments, {"written": str(arguments.claims)}, f"wrote {arguments.claims}")


def _list(arguments: argparse.Namespace) -> None:
    """List of the experiments: id, question, claims."""
    from omni_lab.reproduce.registry import EXPERIMENTS

    lines = [f"{name:<12}{asks}  [{claims}]" for name, (asks, claims) in EXPERIMENTS.items()]
    record = {name: {"asks": a, "claims": c.split()} for name, (a, c) in EXPERIMENTS.items()}
    answer(arguments, record, "\n".join(lines))
