"""`omni-lab train`: any list of stages, on the gallery or on anyone's films, on one process or many."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured
from omni_lab.cli.replay import replay_batch
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.config import Config

EXAMPLES = """omni-lab train --preset tiny --data runs/triplets --out runs/mine
  omni-lab train --data runs/triplets --stages omni --init runs/demo --out runs/omni
  omni-lab train --replay-batch runs/omni/faults/omni-000012/rank-0.safetensors
  torchrun --nproc-per-node 8 -m omni_lab.cli.main train --preset small --data shards --out runs/small"""


def add_train(commands: Any) -> None:
    """Add `omni-lab train`."""
    summary = "training of a list of stages on data sources: films built into shards, pairs, text"
    parser = command(commands, "train", summary, EXAMPLES, train)
    parser.add_argument(
        "--preset", default="tiny", help="tiny, small or full_7b (default: %(default)s)"
    )
    summary = "folder of shards (`omni-lab triplets build`) that every stage learns from"
    parser.add_argument("--data", type=Path, metavar="DIR", help=summary)
    parser.add_argument("--out", type=Path, help="run folder; a run in it is resumed")
    summary = "stages to train, in order, of training, albums or context (default: training)"
    parser.add_argument("--stages", nargs="+", metavar="NAME", help=summary)
    summary = "run folder whose furthest weights training begins with"
    parser.add_argument("--init", type=Path, metavar="RUN", help=summary)
    summary = "print the plan (steps, tokens, epochs, what trains, memory) and stop"
    parser.add_argument("--dry-run", action="store_true", help=summary)
    summary = "run one batch again, kept where a loss or gradient was NaN or infinite, and stop"
    parser.add_argument("--replay-batch", type=Path, metavar="FILE", help=summary)
    add_settings(parser)
    add_json(parser)


def train(arguments: argparse.Namespace) -> None:
    """`omni-lab train`: plan, then train into a run folder.

    Raises
    ------
    UsageError
        no run folder is named
    """
    if arguments.replay_batch:
        replay_batch(arguments)
        return
    if arguments.out is None:
        raise UsageError("--out: name a run folder, such as --out runs/mine")
    config = chosen(arguments)
    from omni_lab.training.checkpoint import latest
    from omni_lab.training.plan import plan_stages, written
    from omni_lab.training.run import RunFolder
    from omni_lab.training.session import Session

    session = Session(config, arguments.init)
    plan = plan_stages(config, session.stages, session.model)
    if session.main:
        table = written(plan, left_out=arguments.dry_run)
        print(table, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    if not arguments.dry_run:
        run = RunFolder(arguments.out, config)
        session.fit(run)
        found = latest(run.checkpoints, tuple(stage.name for stage in config.training.stages))
        plan["checkpoint"] = str(found[0]) if found else None
    if session.main and arguments.json:
        answer(arguments, plan, "")
    elif session.main and not arguments.dry_run:
        print(f"trained: {plan['checkpoint']}")


def chosen(arguments: argparse.Namespace) -> Config:
    """Settings of a call: preset, chosen stages, data folder, then `--set`.

    Raises
    ------
    UsageError
        there is no such stage, or the data folder is a file
    """
    config = configured(arguments.preset, [])
    from omni_lab.config import override

    stages = config.training.stages
    if arguments.stages:
        named = config.every_stage()
        if unknown := [name for name in arguments.stages if name not in named]:
            raise UsageError(f"--stages {unknown[0]}: there are {', '.join(named)}")
        stages = tuple(named[name] for name in arguments.stages)
    settings = list(arguments.settings)
    if arguments.data and arguments.data.is_file():
        pairs = f"--set data.image_text={arguments.data} (or data.audio_text, data.chat, data.text)"
        message = (
            f"a file, where a folder of shards is expected; pairs and text are named by {pairs}"
        )
        raise UsageError(f"--data {arguments.data}: {message}")
    if arguments.data:
        stages = tuple(replace(stage, sources=("shards",)) for stage in stages)
        settings.insert(0, f"data.shards={arguments.data}")
    config = replace(config, training=replace(config.training, stages=stages))
    return override(config, settings)
