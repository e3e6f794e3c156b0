"""`omni-lab triplets`: from any films to shards of clips, a look at one clip, and a check of all of them."""

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

NAMED = 20  # dropped clips that a build names one by one


def add_triplets(commands: Any) -> None:
    """Add the commands below `omni-lab triplets`."""
    example = "omni-lab triplets build films/ --out runs/triplets"
    triplets = command(
        commands, "triplets", "clips of frames, audio and text from any film", example
    )
    inner = triplets.add_subparsers(title="commands", metavar="COMMAND")

    message = "cut films into clips of 5 to 15 s, written as shards with an index"
    example = "omni-lab triplets build talk.mp4 films/ --out runs/triplets --workers 4"
    parser = command(inner, "build", message, example, triplets_build)
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="films, or folders of them"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    message = "films that are built at once (default: one for each core)"
    parser.add_argument("--workers", type=count, default=os.cpu_count() or 1, help=message)
    message = "local: processes of this machine; ray: a cluster; the shards are the same (default: %(default)s)"
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help=message)
    add_settings(parser)
    add_json(parser)

    message = "write clips as dialogues: chat messages (JSON lines) or OBELICS-style rows (Parquet)"
    example = "omni-lab triplets export runs/triplets --format chat --role guide --out runs/chat"
    parser = command(inner, "export", message, example, triplets_export)
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument(
        "--format", choices=["chat", "obelics"], default="chat", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--role", default="guide", help="the role that the model plays (default: %(default)s)"
    )
    message = (
        "when the model hears its own lines; first, if they are only written (default: %(default)s)"
    )
    parser.add_argument(
        "--own-sound", choices=["later", "never", "first"], default="later", help=message
    )
    parser.add_argument(
        "--strict", action="store_true", help="begin with the user and end with the model"
    )
    add_json(parser)

    message = "check shards and index to the byte: what is damaged, missing, left over or at odds"
    parser = command(
        inner, "verify", message, "omni-lab triplets verify runs/triplets", triplets_verify
    )
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    add_json(parser)

    message = "print one clip as a table and draw it"
    example = "omni-lab triplets show runs/triplets --clip 3 --png clip.png"
    parser = command(inner, "show", message, example, triplets_show)
    parser.add_argument("shards", type=Path, metavar="DIR", help="folder of shards")
    parser.add_argument(
        "--clip", default="0", help="which: a number from 0, or a clip_id (default: %(default)s)"
    )
    parser.add_argument("--png", type=Path, help="picture to write (default: CLIP_ID.png in DIR)")
    add_json(parser)


def triplets_build(arguments: argparse.Namespace) -> int:
    """`omni-lab triplets build`: any films to shards; files that fail are named and the others go on."""
    config = configured("tiny", arguments.settings)
    from omni_lab.triplets.building.build import build
    from omni_lab.triplets.building.report import REPORT

    done = build(
        arguments.paths,
        arguments.out,
        config.triplets,
        not arguments.json,
        arguments.workers,
        arguments.engine,
    )
    lines = [f"{uri}: skipped, {why}" for uri, why in done.skipped]
    lines += [f"{uri}: clips made, but {'; '.join(errors)}" for uri, errors in done.damaged]
    lines += [f"{clip_id}: dropped, {why}" for clip_id, why in done.dropped[:NAMED]]
    if (more := len(done.dropped) - NAMED) > 0:
        lines.append(f"and {more} more clips dropped: {arguments.out / REPORT} names them all")
    lines += [f"{done.clips} clips of {done.films} films in {done.out}"]
    answer(
        arguments,
        json.loads((arguments.out / REPORT).read_text(encoding="utf-8")),
        "\n".join(lines),
    )
    for failure in done.failures:
        print(f"omni-lab: {failure.uri}: {failure.reason}", file=sys.stderr)
    return done.exit_code


def triplets_verify(arguments: argparse.Namespace) -> int:
    """`omni-lab triplets verify`: exit code 1 where something is wrong, one line for each thing."""
    from dataclasses import asdict

    from omni_lab.triplets.shards.verify import verify

    damages = list(verify(arguments.shards))
    whole = f"{arguments.shards}: whole"
    text = "\n".join(map(str, damages)) or whole
    answer(
        arguments, {"whole": not damages, "damages": [asdict(damage) for damage in damages]}, text
    )
    return 1 if damages else 0


def triplets_export(arguments: argparse.Namespace) -> None:
    """`omni-lab triplets export`: dialogues that fine-tuning frameworks read."""
    from dataclasses import asdict

    from omni_lab.triplets.dialogues.export import export

    done = export(
        arguments.shards, arguments.out, arguments.format, arguments.role, arguments.own_sound, arguments.strict,
        progress=not arguments.json,
    )  # fmt: skip
    left_out = f", {done.left_out} clips without an answer left out" if done.left_out else ""
    answer(arguments, asdict(done), f"{done.rows} dialogues in {done.path}{left_out}")


def triplets_show(arguments: argparse.Namespace) -> None:
    """`omni-lab triplets show`: one clip as a table and as a picture."""
    from omni_lab.plots.data.timeline import draw_triplet
    from omni_lab.plots.style import save
    from omni_lab.triplets.table import facts_of, table

    triplet = clip_of(arguments.shards, arguments.clip)
    picture = arguments.png or arguments.shards / f"{triplet.clip_id}.png"
    save(draw_triplet(triplet), picture)
    answer(
        arguments,
        {**facts_of(triplet), "picture": str(picture)},
        f"{table(triplet)}\n\npicture: {picture}",
    )


def clip_of(shards: Path, which: str) -> Triplet:
    """Read the clip that `--clip` names: by its number in the index, or by its clip_id.

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
