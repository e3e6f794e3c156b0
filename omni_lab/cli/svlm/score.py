"""`omni-lab svlm score`: caption words that a vision-language model finds unlikely."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, answer, command, count, whole
from omni_lab.cli.evaluate import DTYPES
from omni_lab.errors import InputError

if TYPE_CHECKING:
    from omni_lab.analysis.svlm.captions import Captions
    from omni_lab.analysis.svlm.score import Scores

EXAMPLES = """omni-lab svlm score pairs/ --reference Qwen/Qwen2-VL-2B-Instruct --out runs/svlm
  omni-lab svlm score chats.jsonl --reference runs/lora-clean --trainee Qwen/Qwen2-VL-2B-Instruct"""
STRIKING = 5  # words that are named in the text
NAMED = 3  # skipped captions, likewise


def add_score(group: Any) -> None:
    """Add `omni-lab svlm score`."""
    message = "loss and excess loss of every word of image captions, as JSON lines and a page"
    parser = command(group, "score", message, EXAMPLES, svlm_score)
    _add_data(parser)
    _add_models(parser)
    add_json(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    """Options of what is scored, and where the files go."""
    message = (
        "folder of shards (`triplets build`), webdataset tars of images and texts, a `datasets` "
        "folder, or chat messages (.jsonl)"
    )
    parser.add_argument("data", type=Path, metavar="DATA", help=message)
    message = "folder for svlm.jsonl and svlm.html, from which a stopped call resumes"
    parser.add_argument(
        "--out", type=Path, default=Path("runs/svlm"), help=f"{message} (default: %(default)s)"
    )
    message = "fraction of all words that is kept (default: %(default)s); the page has a slider"
    parser.add_argument("--keep", type=float, default=0.6, metavar="RATIO", help=message)
    message = "frames of a clip that the models see, at most (default: %(default)s)"
    parser.add_argument("--frames", type=count, default=4, help=message)
    message = "captions in one forward pass (default: %(default)s)"
    parser.add_argument("--batch", type=count, default=8, help=message)
    message = "pictures on the page, at most (default: %(default)s)"
    parser.add_argument("--pictures", type=whole, default=1000, help=message)


def _add_models(parser: argparse.ArgumentParser) -> None:
    """Options of the models: names, device, precision."""
    message = (
        "model trained on clean data: folder or hub name of an image-text-to-text model or of a "
        "PEFT adapter on one (extra `real`); or a run folder of omni-lab"
    )
    parser.add_argument("--reference", required=True, metavar="MODEL", help=message)
    message = "model in training, likewise; it may be the reference with or without an adapter"
    parser.add_argument("--trainee", metavar="MODEL", help=message)
    message = "device, such as cpu, cuda, or auto: all (default: a GPU where there is one)"
    parser.add_argument("--device", help=message)
    message = "precision of weights and arithmetic (default: that of the stored weights)"
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help=message)


def svlm_score(arguments: argparse.Namespace) -> None:
    """`omni-lab svlm score`: word losses of captions under a reference and a trainee."""
    from omni_lab.analysis.svlm.captions import Captions
    from omni_lab.analysis.svlm.score import ROWS, check_ratio, score
    from omni_lab.report.svlm_page import write_svlm_page

    # what is wrong with the call or the data is said before models are loaded
    check_ratio(arguments.keep)
    captions = Captions(arguments.data, arguments.frames)
    from omni_lab.adapters.opening import open_pair

    names = (arguments.reference, arguments.trainee)
    reference, trainee = open_pair(*names, arguments.device, arguments.dtype)
    found = score(
        captions, reference, trainee, arguments.out, arguments.batch, progress=not arguments.json
    )
    models = {"reference": reference.name, "trainee": trainee.name if trainee else None}
    same = trainee and trainee.contents()["tokenizer"] == reference.contents()["tokenizer"]

    pictures = _pictures(captions, found, arguments.pictures)
    page = write_svlm_page(
        arguments.out, found.rows, models, pictures, arguments.keep, found.counts()
    )
    record = _record(found, arguments.keep) | models
    record |= {"tokenizers": ("same" if same else "different") if trainee else None}
    record |= {"rows": str(arguments.out / ROWS), "page": str(page)}
    answer(arguments, record, _text(record))


def _pictures(captions: Captions, found: Scores, most: int) -> dict[str, bytes]:
    """JPEG by row's id, of the rows that get one on the page; one that went since has none."""
    from omni_lab.analysis.svlm.captions import Caption
    from omni_lab.report.svlm_page import thumbnail, to_picture

    wanted, out = to_picture(found.rows, most), {}
    for one in (one for entry in captions for one in entry):
        if one.id in wanted and isinstance(one, Caption):
            with suppress(InputError):
                out[one.id] = thumbnail(one.pictures())
    return out


def _record(found: Scores, keep: float) -> dict[str, Any]:
    """Summary of a call, for programs."""
    import numpy as np

    from omni_lab.analysis.svlm.score import keep_top, merit

    kept = keep_top([merit(row) for row in found.rows], keep)
    columns = [name for name in ("reference", "trainee", "excess") if name in found.rows[0]]
    values = {
        name: [value for row in found.rows for value in row[name] if value is not None]
        for name in columns
    }
    words = sum(len(row["words"]) for row in found.rows)
    return {
        "captions": len(found.rows),
        "resumed": found.again,
        "words": words,
        "mean": {name: float(np.mean(own)) if own else None for name, own in values.items()},
        "keep": {
            "ratio": keep,
            "dropped": words - sum(int(own.sum()) for own in kept.words),
            "threshold": None if kept.threshold is None else round(kept.threshold, 4),
        },
        "striking": _striking(found.rows, columns[-1]),
        "skipped": found.counts(),
        "skipped_first": [one.why for one in found.skipped[:20]],
    }


def _striking(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    """Words with the highest values of a column, with their captions."""
    every = (
        {"word": row["text"][span[0] : span[1]], column: value, "caption": row["id"]}
        for row in rows
        for span, value in zip(row["words"], row[column], strict=True)
        if value is not None
    )
    return sorted(every, key=lambda word: -word[column])[:STRIKING]


def _text(record: dict[str, Any]) -> str:
    """Summary of a call, for people."""
    from omni_lab.triplets.table import harmless

    keep, means = record["keep"], record["mean"]
    resumed = f", {record['resumed']} of them earlier" if record["resumed"] else ""
    listed = ", ".join(f"{name} {value:.3f}" for name, value in means.items() if value is not None)
    lines = [
        f"captions   {record['captions']:,} scored{resumed}",
        f"words      {record['words']:,}; mean loss in nats: {listed}",
        f"keep       {keep['ratio']:g} of all words drops {keep['dropped']:,}",
    ]
    if record["tokenizers"] == "different":
        lines.append("tokenizers different: words are compared, not tokens")
    for word in record["striking"]:
        text, value, name = word.values()
        lines.append(f"  {value:8.3f}  {harmless(text)}   in {harmless(name)}")
    if record["skipped"]:
        kinds = ", ".join(f"{number} {kind}" for kind, number in record["skipped"].items())
        lines.append(f"skipped    {kinds}")
        lines += [f"  {harmless(why)}" for why in record["skipped_first"][:NAMED]]
    return "\n".join([*lines, f"rows: {record['rows']}", f"page: {record['page']}"])
