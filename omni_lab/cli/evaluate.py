"""`omni-lab evaluate`: what a model can do, ours or any of Hugging Face."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, answer, command, count
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.evaluation.needles.interface import NeedleModel
    from omni_lab.evaluation.needles.measure import Cell

EXAMPLES = """omni-lab evaluate needles runs/context --lengths 512 2048 4096 --out runs/needles
  omni-lab evaluate needles EleutherAI/pythia-160m --lengths 1024 2048 4096 --rope-factor 2 """.rstrip()
LENGTHS = (256, 512, 1024)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
PICTURE = "needles.png"
_DTYPES = ("auto", "float32", "bfloat16", "float16")


def add_evaluate(commands: Any) -> None:
    """Add the commands below `omni-lab evaluate`."""
    example = "omni-lab evaluate needles runs/context --out runs/needles"
    evaluate = command(
        commands, "evaluate", "what a model can do, ours or any of Hugging Face", example
    )
    inner = evaluate.add_subparsers(title="commands", metavar="COMMAND")

    message = "measure how deep in how long a text or film a model finds one thing, and draw it"
    parser = command(inner, "needles", message, EXAMPLES, evaluate_needles)
    message = "a run folder of ours; or folder or hub name of a causal language model or of an adapter (extra `real`)"
    parser.add_argument("model", metavar="MODEL", help=message)
    message = "needles to look for (default: all that the model can be asked about)"
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help=message)
    message = "tokens of whole sequences, also beyond what the model was trained on (default: 256 512 1024)"
    parser.add_argument(
        "--lengths", type=count, nargs="+", default=LENGTHS, metavar="TOKENS", help=message
    )
    message = "of the needle: 0 is the very beginning, 1 right before the question (default: 0 .25 .5 .75 1)"
    parser.add_argument(
        "--depths", type=float, nargs="+", default=DEPTHS, metavar="DEPTH", help=message
    )
    parser.add_argument("--trials", type=count, default=20, help="per cell (default: %(default)s)")
    message = (
        "folder for the cells that are done, so that a stopped call goes on, and for the picture"
    )
    parser.add_argument("--out", type=Path, help=message)
    parser.add_argument(
        "--device", help="such as cpu, cuda, or auto: all (default: a GPU where there is one)"
    )
    parser.add_argument(
        "--dtype", choices=_DTYPES, help="of weights and arithmetic (default: as they are stored)"
    )
    parser.add_argument(
        "--rope-theta",
        type=float,
        metavar="THETA",
        help="base of rotary positions instead of its own",
    )
    parser.add_argument(
        "--rope-factor",
        type=float,
        metavar="BY",
        help="divide every position (position interpolation)",
    )
    add_json(parser)


def evaluate_needles(arguments: argparse.Namespace) -> None:
    """`omni-lab evaluate needles`: accuracy by depth and length, beside its control and chance."""
    from omni_lab.evaluation.needles.measure import measure

    reader = _reader(arguments)
    kinds = arguments.kinds or reader.kinds
    cells = measure(
        reader,
        kinds,
        arguments.lengths,
        arguments.depths,
        arguments.trials,
        arguments.out,
        not arguments.json,
    )
    record = {
        "model": reader.name,
        "trained": reader.trained,
        "cells": [cell.to_dict() for cell in cells],
    }
    text = "\n\n".join(
        _table(reader, [cell for cell in cells if cell.kind == kind])
        for kind in dict.fromkeys(kinds)
    )
    if arguments.out:
        from omni_lab.plots.evaluation.needles import draw_needles
        from omni_lab.plots.style import save

        save(draw_needles([record]), arguments.out / PICTURE)
        record["picture"] = str(arguments.out / PICTURE)
        text += f"\n\npicture: {record['picture']}"
    answer(arguments, record, text)


def _reader(arguments: argparse.Namespace) -> NeedleModel:
    """The model that the call names."""
    changes = {
        "device": arguments.device,
        "dtype": arguments.dtype,
        "rope_theta": arguments.rope_theta,
        "rope_factor": arguments.rope_factor,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    if (Path(arguments.model) / "checkpoints").is_dir():
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UsageError(
                f"{options}: for models of Hugging Face; {arguments.model} is a run folder of ours"
            )
        from omni_lab.evaluation.gallery.needles import OmniNeedleModel

        return OmniNeedleModel.load(arguments.model)
    from omni_lab.evaluation.needles.causal import CausalNeedleModel

    reader = CausalNeedleModel.load(arguments.model, **given)
    reader.check(max(arguments.lengths))
    return reader


def _table(reader: NeedleModel, cells: list[Cell]) -> str:
    """Accuracy of one kind of needle as text: depth down, length to the right, control and chance below."""
    kind, total = cells[0].kind, cells[0].total
    trained = "" if reader.trained is None else f"; trained to {reader.trained:,} tokens"
    lengths = list(dict.fromkeys(cell.length for cell in cells))
    rows = [["depth", *(f"{length:,}{_beyond(reader, length)}" for length in lengths)]]
    for depth in [*sorted({cell.depth for cell in cells if cell.present}), None]:
        mine = {cell.length: cell for cell in cells if cell.depth == depth}
        name = "no needle" if depth is None else f"{depth:.2f}"
        rows.append([name, *(_share(mine[length]) for length in lengths)])
    rows.append(["chance", *[f"{reader.chance(kind):.2g}"] * len(lengths)])
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(word.rjust(width) for word, width in zip(row, wide, strict=True)) for row in rows
    ]
    mark = (
        "   (*: longer than trained)" if any(_beyond(reader, length) for length in lengths) else ""
    )
    return "\n".join(
        [f"{kind}: accuracy and 95 % interval of {total} trials a cell{trained}{mark}", *lines]
    )


def _beyond(reader: NeedleModel, length: int) -> str:
    return "*" if reader.trained is not None and length > reader.trained else ""


def _share(cell: Cell) -> str:
    low, high = cell.interval
    return f"{cell.accuracy:.2f} ({low:.2f} to {high:.2f})"
