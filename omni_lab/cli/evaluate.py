"""Commands below `omni-lab evaluate`: needle-in-a-haystack accuracy of omni and other models."""

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
  omni-lab evaluate needles EleutherAI/pythia-160m --lengths 1024 4096 --rope-factor 2"""
LENGTHS = (256, 512, 1024)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
PICTURE = "needles.png"
DTYPES = ("auto", "float32", "bfloat16", "float16")


def add_evaluate(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab evaluate`."""
    example = "omni-lab evaluate needles runs/context --out runs/needles"
    message = "evaluation of a trained run, or of any causal language model of Hugging Face"
    evaluate = command(commands, "evaluate", message, example)
    inner = evaluate.add_subparsers(title="commands", metavar="COMMAND")

    message = "needle in a haystack: accuracy over depth and length, in a text or a film"
    parser = command(inner, "needles", message, EXAMPLES, evaluate_needles)
    _add_grid(parser)
    _add_model(parser)
    add_json(parser)


def _add_grid(parser: argparse.ArgumentParser) -> None:
    """Options of what is measured: kinds, lengths and depths of needles, trials."""
    message = "kinds of needle (default: all that the model supports)"
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help=message)
    message = "sequence lengths in tokens, also beyond the training length (default: 256 512 1024)"
    lengths = {"type": count, "nargs": "+", "default": LENGTHS, "metavar": "TOKENS"}
    parser.add_argument("--lengths", **lengths, help=message)
    message = (
        "needle depths, 0 at the very beginning, 1 right before the question "
        "(default: 0 .25 .5 .75 1)"
    )
    depths = {"type": float, "nargs": "+", "default": DEPTHS, "metavar": "DEPTH"}
    parser.add_argument("--depths", **depths, help=message)
    message = "trials per cell (default: %(default)s)"
    parser.add_argument("--trials", type=count, default=20, help=message)
    message = "folder for the picture and the finished cells, from which a stopped call resumes"
    parser.add_argument("--out", type=Path, help=message)


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Options of the model: its name, device, precision and RoPE changes."""
    message = (
        "run folder of omni-lab; or folder or hub name of a causal language model or of a PEFT "
        "adapter (extra `real`)"
    )
    parser.add_argument("model", metavar="MODEL", help=message)
    message = "device, such as cpu, cuda, or auto: all (default: a GPU where there is one)"
    parser.add_argument("--device", help=message)
    message = "precision of weights and arithmetic (default: that of the stored weights)"
    parser.add_argument("--dtype", choices=DTYPES, help=message)
    message = "RoPE base in place of the model's"
    parser.add_argument("--rope-theta", type=float, metavar="THETA", help=message)
    message = "position interpolation: divisor of every position"
    parser.add_argument("--rope-factor", type=float, metavar="BY", help=message)


def evaluate_needles(arguments: argparse.Namespace) -> None:
    """`omni-lab evaluate needles`: accuracy by depth and length, beside its control and chance."""
    from omni_lab.evaluation.needles.measure import measure

    reader, asked = _reader(arguments), arguments
    kinds = asked.kinds or reader.kinds
    grid = (kinds, asked.lengths, asked.depths, asked.trials)
    cells = measure(reader, *grid, asked.out, progress=not asked.json)
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
    """Needle reader of a call: a run folder, or a model of Hugging Face."""
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
            wrong = f"{arguments.model} is a run folder; leave them out"
            raise UsageError(f"{options}: for models of Hugging Face; {wrong}")
        from omni_lab.evaluation.gallery.needles import OmniNeedleModel

        return OmniNeedleModel.load(arguments.model)

    from omni_lab.evaluation.needles.causal import CausalNeedleModel

    return CausalNeedleModel.load(arguments.model, **given)


def _table(reader: NeedleModel, cells: list[Cell]) -> str:
    """Accuracy table of a kind of needle: depths down, lengths across, control and chance last."""
    kind, total = cells[0].kind, cells[0].total
    trained = "" if reader.trained is None else f"; trained to {reader.trained:,} tokens"
    lengths = list(dict.fromkeys(cell.length for cell in cells))

    rows = [["depth", *(f"{length:,}{_beyond(reader, length)}" for length in lengths)]]
    for depth in [*sorted({cell.depth for cell in cells if cell.present}), None]:
        at_depth = {cell.length: cell for cell in cells if cell.depth == depth}
        name = "no needle" if depth is None else f"{depth:.2f}"
        rows.append([name, *(_accuracy(at_depth[length]) for length in lengths)])
    rows.append(["chance", *[f"{reader.chance(kind):.2g}"] * len(lengths)])

    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(word.rjust(width) for word, width in zip(row, wide, strict=True)) for row in rows
    ]
    beyond = any(_beyond(reader, length) for length in lengths)
    mark = "   (*: longer than trained)" if beyond else ""
    title = f"{kind}: accuracy and 95 % interval of {total} trials a cell{trained}{mark}"
    return "\n".join([title, *lines])


def _beyond(reader: NeedleModel, length: int) -> str:
    """Mark of a length beyond the training length."""
    return "*" if reader.trained is not None and length > reader.trained else ""


def _accuracy(cell: Cell) -> str:
    """Accuracy of a cell with its 95 % interval."""
    low, high = cell.interval
    return f"{cell.accuracy:.2f} ({low:.2f} to {high:.2f})"
