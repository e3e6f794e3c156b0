"""`omni-lab svlm table`: reference losses of a stage's documents, computed once for many runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count
from omni_lab.cli.train import chosen
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.training.selection.table import Written

EXAMPLE = """omni-lab svlm table --data runs/triplets --stage omni --reference runs/clean --out runs/losses
  omni-lab train --data runs/triplets --stages omni --out runs/mine --set \\
    training.stages.omni.selection.rule=excess training.stages.omni.selection.table=runs/losses"""


def add_table(group: Any) -> None:
    """Add `omni-lab svlm table`."""
    message = "side table of reference losses, of every supervised token of a stage's documents"
    parser = command(group, "table", message, EXAMPLE, svlm_table)
    parser.add_argument(
        "--preset", default="tiny", help="tiny, small or full_7b (default: %(default)s)"
    )
    message = "folder of shards (`omni-lab triplets build`) that the stage learns from"
    parser.add_argument("--data", type=Path, metavar="DIR", help=message)
    message = "stage whose documents are scored, in the format in which it reads them"
    parser.add_argument("--stage", required=True, metavar="NAME", help=message)
    message = "run folder of the reference, or LoRA adapter on one (sets selection.reference)"
    parser.add_argument("--reference", metavar="RUN", help=message)
    message = "folder of the table, for selection.table; a stopped call resumes from it"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=message)
    message = "documents in one forward pass (default: %(default)s)"
    parser.add_argument("--batch", type=count, default=8, help=message)
    parser.add_argument("--device", help="such as cpu or cuda (default: a GPU where there is one)")
    message = "replace a table in --out that was made of other models, settings or data"
    parser.add_argument("--fresh", action="store_true", help=message)
    add_settings(parser)
    add_json(parser)


def svlm_table(arguments: argparse.Namespace) -> None:
    """`omni-lab svlm table`: write the table, or finish it.

    Raises
    ------
    UsageError
        there is no such stage, or no such device
    """
    named = configured(arguments.preset, []).every_stage()
    if arguments.stage not in named:
        raise UsageError(f"--stage {arguments.stage}: there are {', '.join(named)}")
    arguments.stages = [arguments.stage]
    if arguments.reference:
        name = f"training.stages.{arguments.stage}.selection.reference"
        arguments.settings = [*arguments.settings, f"{name}={arguments.reference}"]
    config = chosen(arguments)
    import torch

    from omni_lab.model.loading import check_device
    from omni_lab.training.selection.table import write_table

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    (stage,) = config.training.stages
    found = write_table(
        config, stage, arguments.out, device, arguments.batch, arguments.fresh, not arguments.json
    )
    answer(arguments, vars(found), _text(found))


def _text(found: Written) -> str:
    """Summary of a call, for people."""
    resumed = f", {found.resumed:,} of them earlier" if found.resumed else ""
    lines = [
        f"documents  {found.documents:,}{resumed}",
        f"labels     {found.labels:,} supervised tokens",
    ]
    for name, path in found.models.items():
        lines.append(f"{name:<10} {path}: {found.mean[name]:.3f} nats per token")
    return "\n".join([*lines, f"table: {found.path}"])
