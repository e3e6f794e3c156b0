"""Commands below `omni-lab triplets`: build, export, verify and show shards of clips."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.triplets.record import Triplet

NAMED = 20  # dropped clips that a build lists one by one


def add_triplets(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab triplets`."""
    example = "omni-lab triplets build films/ --out runs/triplets"
    triplets = command(
        commands, "triplets", "clips of frames, audio and text from any film", example
    )
    inner = triplets.add_subparsers(title="commands", metavar="COMMAND")

    _add_build(inner)
    _add_export(inner)
    _add_verify(inner)
    _add_show(inner)


def _add_build(commands: Any) -> None:
    """Argument parser of `omni-lab triplets build`."""
    message = "clip segmentation of films, 5 to 15 s a clip, written as shards with an index"
    example = "omni-lab triplets build talk.mp4 films/ --out runs/triplets --workers 4"
    parser = command(commands, "build", message, example, triplets_build)
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="films, or folders of them"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    message = "number of worker processes, one film each (default: one per core)"
    parser.add_argument("--workers", type=count, default=os.cpu_count() or 1, help=message)

    message = (
        "execution engine, local: processes of this machine, ray: a cluster; "
        "the shards are the same (default: %(default)s)"
    )
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help=message)
    add_settings(parser)
    add_json(parser)


def _add_export(commands: Any) -> None:
    """Argument parser of `omni-lab triplets export`."""
    message = "role-play dialogues of clips for chat templates, LLaMA-Factory, ms-swift, or as OBELICS rows"
    example = "omni-lab triplets export runs/triplets --format chat --role guide --out runs/chat"
    parser = command(commands, "export", message, example, triplets_export)
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")

    message = (
        "layout: chat messages as JSON lines (chat templates, TRL, ms-swift), llamafactory strings "
        "with placeholders, always strict, or obelics rows as Parquet (default: %(default)s)"
    )
    forms = ["chat", "llamafactory", "obelics"]
    parser.add_argument("--format", choices=forms, default="chat", help=message)
    message = "role that the model plays (default: %(default)s)"
    parser.add_argument("--role", default="guide", help=message)
    message = (
        "place of the sound of the model's own lines: after them, left out, or before them, "
        "for lines that are only written (default: %(default)s)"
    )
    own_sounds = ["later", "never", "first"]
    parser.add_argument("--own-sound", choices=own_sounds, default="later", help=message)
    message = "strict turns: the user begins and the model ends"
    parser.add_argument("--strict", action="store_true", help=message)
    add_json(parser)


def _add_verify(commands: Any) -> None:
    """Argument parser of `omni-lab triplets verify`."""
    message = "integrity check of shards and index to the byte: damaged, missing or stale parts"
    example = "omni-lab triplets verify runs/triplets"
    parser = command(commands, "verify", message, example, triplets_verify)
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    add_json(parser)


def _add_show(commands: Any) -> None:
    """Argument parser of `omni-lab triplets show`."""
    message = "summary of one clip, as a table and as a picture"
    example = "omni-lab triplets show runs/triplets --clip 3 --png clip.png"
    parser = command(commands, "show", message, example, triplets_show)
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    message = "clip: a number from 0, or a clip_id (default: %(default)s)"
    parser.add_argument("--clip", default="0", help=message)
    parser.add_argument("--png", type=Path, help="picture to write (default: CLIP_ID.png in DIR)")
    add_json(parser)


def triplets_build(arguments: argparse.Namespace) -> int:
    """Dataset build (`omni-lab triplets build`): exit code 1 if a file failed; the others go on."""
    config = configured("tiny", arguments.settings)
    from omni_lab.triplets.building.build import build
    from omni_lab.triplets.building.report import REPORT

    paths, out = arguments.paths, arguments.out
    progress = not arguments.json
    done = build(paths, out, config.triplets, progress, arguments.workers, arguments.engine)

    lines = [f"{uri}: skipped, {why}" for uri, why in done.skipped]
    lines += [f"{uri}: {why}" for uri, why in done.replaced]
    lines += [f"{uri}: clips made, but {'; '.join(errors)}" for uri, errors in done.damaged]
    lines += [f"{clip_id}: dropped, {why}" for clip_id, why in done.dropped[:NAMED]]
    if (more := len(done.dropped) - NAMED) > 0:
        lines.append(f"and {more} more clips dropped: {out / REPORT} names them all")
    if others := ", ".join(f"{n} {kind or 'without extension'}" for kind, n in done.passed_over):
        lines.append(f"passed over in folders: {others}; a file named on its own is tried")
    lines += [f"{done.clips} clips of {done.films} films in {done.out}"]

    report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    answer(arguments, {**report, "replaced": dict(done.replaced)}, "\n".join(lines))
    for failure in done.failures:
        print(f"omni-lab: {failure.uri}: {failure.reason}", file=sys.stderr)
    return done.exit_code


def triplets_verify(arguments: argparse.Namespace) -> int:
    """Integrity check (`omni-lab triplets verify`): one line per damage, exit code 1 if any."""
    from dataclasses import asdict

    from omni_lab.triplets.shards.verify import verify

    damages = list(verify(arguments.shards))
    whole = f"{arguments.shards}: whole"
    text = "\n".join(map(str, damages)) or whole
    data = {"whole": not damages, "damages": [asdict(damage) for damage in damages]}
    answer(arguments, data, text)
    return 1 if damages else 0


def triplets_export(arguments: argparse.Namespace) -> None:
    """Export of dialogues (`omni-lab triplets export`) for fine-tuning frameworks."""
    from dataclasses import asdict

    from omni_lab.triplets.dialogues.export import export

    done = export(
        arguments.shards, arguments.out, arguments.format, arguments.role,
        arguments.own_sound, arguments.strict, progress=not arguments.json,
    )  # fmt: skip
    notes = {
        "clips without an answer left out": done.left_out,
        "answers before any question cut off": done.unasked,
        "texts with a placeholder escaped": done.escaped,
    }
    notes = "".join(f", {count} {note}" for note, count in notes.items() if count)
    answer(arguments, asdict(done), f"{done.rows} dialogues in {done.path}{notes}")


def triplets_show(arguments: argparse.Namespace) -> None:
    """Clip summary (`omni-lab triplets show`): one clip as a table and as a picture."""
    from omni_lab.plots.data.timeline import draw_triplet
    from omni_lab.plots.style import save
    from omni_lab.triplets.table import clip_table, facts_of

    triplet = clip_of(arguments.shards, arguments.clip)
    picture = arguments.png or arguments.shards / f"{triplet.clip_id}.png"
    save(draw_triplet(triplet), picture)
    data = {**facts_of(triplet), "picture": str(picture)}
    answer(arguments, data, f"{clip_table(triplet)}\n\npicture: {picture}")


def clip_of(shards: Path, which: str) -> Triplet:
    """Decoded clip that `--clip` selects: by its number in the index, or by its clip_id.

    Raises
    ------
    UsageError
        there is no such clip
    """
    from omni_lab.triplets.shards.index import read_index
    from omni_lab.triplets.shards.tars import decoded, read_clip

    rows = read_index(shards)
    row = next((row for i, row in enumerate(rows) if which in (str(i), row["clip_id"])), None)
    if row is None:
        raise UsageError(f"--clip {which}: {shards} has {len(rows)} clips, counted from 0")
    return decoded(read_clip(shards, row), shards / row["shard"])
