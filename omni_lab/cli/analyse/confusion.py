"""`omni-lab analyse confusion`: modality confusion matrix of anyone's answers, reliance and Shapley shares."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni_lab.cli.commands import add_json, answer, command
from omni_lab.errors import UsageError

EXAMPLES = """omni-lab analyse confusion answers.csv --out runs/confusion
  omni-lab analyse confusion answers.jsonl --column asked=task answer=reply --by checkpoint --json

a table of answers, one row per question:
  asked,response,image,audio,text,item,condition,label
  audio,a dog,cat,dog,bird,17,original,dog

columns, found by these or similar names, or mapped with --column ROLE=NAME:
  asked                 modality that the question asks for: image, audio or text
  answer                answer of the model (also: prediction, response)
  image, audio, text    what each modality says, two or more of them (also: video, sound, caption)
  followed              modality that the answer follows, or none; then the four above are not needed
  item                  id of the item or pair (optional); its questions are resampled together
  condition             original, swap_image, drop_audio, only_text, blind … (optional, needs item)
  correct, or label     whether the answer is right, or the right answer (optional, with condition)
  model, checkpoint, step   a matrix for each (optional; --by NAME says other columns)"""
_SHOWN = 12  # models or steps whose numbers are printed; all are in --json
_GAMES = {"swap": "swapped", "drop": "dropped"}


def add_confusion(group: Any) -> None:
    """Add `omni-lab analyse confusion`."""
    message = "modality confusion matrix of a table of answers: which sense each one follows"
    parser = command(group, "confusion", message, EXAMPLES, analyse_confusion)
    message = "CSV, TSV or JSON lines (.jsonl) of answers, of any model and benchmark"
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help=message)
    many = {"nargs": "+", "action": "extend", "default": []}
    message = "column of a role where its name does not tell it; ROLE= leaves an optional one out"
    parser.add_argument("--column", metavar="ROLE=NAME", help=message, **many)
    message = "columns that make the groups (default: model, checkpoint and step)"
    parser.add_argument("--by", metavar="NAME", help=message, **many)
    message = "folder for the pictures (PNG and SVG) and the record, confusion.json"
    parser.add_argument("--out", type=Path, metavar="DIR", help=message)
    add_json(parser)


def analyse_confusion(arguments: argparse.Namespace) -> None:
    """`omni-lab analyse confusion`: matrices, and where there are conditions, reliance and shares."""
    from omni_lab.analysis.confusion import confusion_record, read_answers

    table = read_answers(arguments.answers, _mapped(arguments.column), arguments.by)
    record = confusion_record(table)
    if arguments.out:
        record["pictures"] = [str(path) for path in _written(arguments.out, record)]
    answer(arguments, record, "\n".join(_text(record)))


def _mapped(options: list[str]) -> dict[str, str]:
    """Roles and names of columns.

    Raises
    ------
    UsageError
        an option has no `=`, or a role comes twice
    """
    found: dict[str, str] = {}
    for option in options:
        role, sign, name = option.partition("=")
        if not sign:
            raise UsageError(f"--column {option}: write ROLE=NAME, such as answer=prediction")
        if role in found:
            raise UsageError(f"--column {option}: {role} is {found[role]!r} already")
        found[role] = name
    return found


def _written(folder: Path, record: dict[str, Any]) -> list[Path]:
    """Pictures and the record in a folder; the paths of the pictures."""
    from omni_lab.plots import draw_confusion, draw_shares, save
    from omni_lab.storage import write_json

    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"confusion": draw_confusion(record["matrices"])} if record["matrices"] else {}
    if any(one["permutation"] or one["shapley"] for one in record["shares"]):
        drawn["shares"] = draw_shares(record["shares"])
    paths = [folder / f"{name}{ending}" for name in drawn for ending in (".png", ".svg")]
    for path in paths:
        save(drawn[path.stem], path)
    write_json(folder / "confusion.json", record)
    return paths


def _text(record: dict[str, Any]) -> Iterator[str]:
    """What was read and what was found, in lines for people."""
    from omni_lab.triplets.table import harmless

    columns = ", ".join(f"{role} = {name!r}" for role, name in record["columns"].items())
    yield f"{harmless(record['file'])}: {record['questions']:,} questions; {columns}"
    for why, number in record["left_out"].items():
        yield f"  left out of the matrix: {number:,}, {why}"
    yield from (f"  note: {harmless(note)}" for note in record["notes"])
    for matrix in record["matrices"][:_SHOWN]:
        yield from ("", *_matrix(matrix, harmless(matrix["name"])))
    for one in record["shares"][:_SHOWN]:
        yield from _shares(one, harmless(one["name"]))
    if (more := len(record["matrices"]) - _SHOWN) > 0:
        yield f"… and {more} more (--json has all)"
    yield from (f"picture: {path}" for path in record.get("pictures", []))


def _matrix(matrix: Mapping[str, Any], name: str) -> Iterator[str]:
    """A matrix: a row for every sense asked, with the 95 % interval of every rate."""
    if name:
        yield name
    yield "  asked   " + "".join(f"{column:>20}" for column in matrix["columns"]) + f"{'n':>9}"
    for row, rates, low, high, n in zip(
        *(matrix[part] for part in ("rows", "rates", "low", "high", "n")), strict=True
    ):
        cells = zip(rates, low, high, strict=True)
        yield f"  {row:<8}" + "".join(f"{_rate(*cell):>20}" for cell in cells) + f"{n:>9,}"


def _rate(rate: float | None, low: float | None, high: float | None) -> str:
    return "–" if rate is None else f"{rate:.3f} ({low:.3f}–{high:.3f})"


def _shares(one: Mapping[str, Any], name: str) -> Iterator[str]:
    """Accuracy lost under every condition, and Shapley shares, with 95 % intervals."""
    head = f"{name}: " if name else ""
    if one["permutation"]:
        yield from ("", f"{head}accuracy lost when a modality is changed")
    for row in one["permutation"]:
        values = f"{row['original']:.3f} → {row['changed']:.3f}, n = {row['n']:,}"
        yield f"  {row['condition']:<22} {_signed(row, 'drop'):<26}{values}"
    for game in one["shapley"]:
        ends = f"{game['all']:.3f} with all, {game['nothing']:.3f} with all {_GAMES[game['kind']]}"
        yield from ("", f"{head}Shapley shares of the accuracy, {ends}, n = {game['n']:,}")
        parts = zip(game["senses"], game["shares"], game["low"], game["high"], strict=True)
        for sense, share, low, high in parts:
            found = {"share": share, "low": low, "high": high}
            yield f"  {sense:<22} {_signed(found, 'share')}"


def _signed(found: Mapping[str, Any], part: str) -> str:
    return f"{found[part]:z.3f} ({found['low']:z.3f} to {found['high']:z.3f})"
