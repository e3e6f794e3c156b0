"""Dialogues as files that others read: chat messages as JSON lines, OBELICS-style rows as Parquet.

`chat.jsonl` holds a dialogue per line, in the layout that Hugging Face chat templates and fine-tuning frameworks read,
with pictures and sound as files beside it. `obelics.parquet` holds a clip per row, after OBELICS (Laurençon et al.
2023): `images` and `texts` of one length, None where the other stands, and our column `audios` in the same way.

No name from a film, its subtitles or its records ever becomes part of a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omni_lab.errors import InputError, UsageError
from omni_lab.storage import rename_into_place
from omni_lab.triplets.dialogues.roleplay import Dialogue, Part, Turn, dialogue, say, trimmed, watch
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.members import to_flac
from omni_lab.triplets.shards.tars import read_clips

FILES = {"chat": "chat.jsonl", "obelics": "obelics.parquet"}
ROW_GROUP_BYTES = (
    32 << 20
)  # pictures and sound held in memory before they are written as a row group
Add = Callable[[EncodedClip, Dialogue], None]


class ExportError(InputError):
    """A clip cannot be exported, or an exported file cannot be read; the message names the clip or the line."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    path: str  # of the file
    rows: int  # dialogues in it
    left_out: int  # clips without a row: the model's role says nothing in them, or they hold nothing at all


def export(
    shards: str | Path, out: str | Path, form: str, model_role: str,
    own_sound: str = "later", strict: bool = False, progress: bool = True,
) -> Exported:  # fmt: skip
    """Write the clips of a folder of shards as dialogues into the folder `out`, one clip in memory at a time.

    The file gets its name when it is whole. A chat needs answers: clips in which the model's role says nothing are
    left out of it, and counted.

    Parameters
    ----------
    shards : folder that `build` made
    out : folder for `chat.jsonl`, `images/` and `audio/`, or for `obelics.parquet`; made if it is not there
    form : chat or obelics
    model_role : the role that the model plays
    own_sound : see `dialogue`
    strict : begin with another's turn and end with the model's, as some frameworks demand (see `trimmed`)
    progress : show a progress bar

    Raises
    ------
    UsageError
        `form` is unknown, `out` is a file, or no clip has an answer for a chat; the message names the roles there are
    ShardError, ExportError
        a shard is broken, or a clip's record is
    """
    from tqdm import tqdm

    if form not in FILES:
        raise UsageError(f"format {form!r} is not known: it must be one of {', '.join(FILES)}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; dialogues are written into a folder")
    roles: set[str] = set()
    rows = left_out = 0
    with {"chat": _chat_writer, "obelics": _obelics_writer}[form](out) as add:
        for clip in tqdm(read_clips(shards), desc="clips", unit="clip", disable=not progress):
            try:
                spoken = dialogue(clip, model_role, own_sound)
            except (KeyError, TypeError, ValueError) as error:
                raise ExportError(
                    f"{shards}: {clip.clip_id}: its record is broken ({error!r})"
                ) from None
            roles |= {turn.role for turn in spoken.turns if turn.role}
            spoken = trimmed(spoken) if strict else spoken
            if spoken.answers or (spoken.turns and form == "obelics"):
                add(clip, spoken)
                rows += 1
            else:
                left_out += 1
        if not rows and form == "chat":
            known = (
                f"the roles there are {', '.join(sorted(roles))}"
                if roles
                else "no role is known in them"
            )
            raise UsageError(
                f"{shards}: in none of its {left_out} clips does {model_role!r} answer; {known}"
            )
    return Exported(str(out / FILES[form]), rows, left_out)


def messages(spoken: Dialogue) -> list[dict]:
    """A dialogue as chat messages, in which user and assistant strictly alternate.

    Turns of several roles that are not the model's, one after the other, are one message of the user; each of its text
    parts names its role (`name`, empty where unknown). Templates pass over the keys that they do not know.
    """
    said: list[dict] = []
    for turn in spoken.turns:
        if not said or said[-1]["role"] != turn.speaker:
            said.append({"role": turn.speaker, "content": []})
        said[-1]["content"] += [_content(part, turn.role, spoken.clip_id) for part in turn.parts]
    return said


def read_chat(path: str | Path) -> Iterator[Dialogue]:
    """Read the dialogues of a `chat.jsonl` back, equal to those that were written.

    Raises
    ------
    ExportError
        the file cannot be opened, or a line of it holds no dialogue
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                    turns = tuple(turn for message in row["messages"] for turn in _turns(message))
                    spoken = Dialogue(row["clip_id"], row["model_role"], turns)
                except (ValueError, KeyError, TypeError) as error:
                    raise ExportError(
                        f"{path}: line {number} holds no dialogue ({error!r})"
                    ) from None
                yield spoken
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: cannot be read ({error})") from None


def media_path(part: Part, clip_id: str) -> str:
    """Where a picture or a piece of sound lies beside the file, made of the clip's id and numbers alone.

    >>> media_path(Part("image", 8000, 8000, index=3), "a1b2_0_160000")
    'images/a1b2_0_160000/003.jpg'

    Raises
    ------
    ExportError
        the id holds more than letters, digits, `_`, `-` and `.`, or begins with one of these signs
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", clip_id):
        raise ExportError(
            f"{clip_id!r}: is no clip_id (letters, digits, _, - and .); no file is named after it"
        )
    if part.kind == "image":
        return f"images/{clip_id}/{part.index:03d}.jpg"
    return f"audio/{clip_id}/{part.start}_{part.end}.flac"


def media_bytes(part: Part, clip: EncodedClip) -> bytes:
    """A picture as the JPEG of the shard, a piece of sound as FLAC."""
    return (
        clip.jpegs[part.index]
        if part.kind == "image"
        else to_flac(clip.audio[part.start : part.end])
    )


def _content(part: Part, role: str | None, clip_id: str) -> dict:
    """One part of a message, with its time in ticks."""
    times = {"start": part.start, "end": part.end}
    if part.kind == "text":
        return {"type": "text", "text": part.text, "name": role or "", "index": part.index, **times}
    picture = {"index": part.index} if part.kind == "image" else {}
    return {"type": part.kind, part.kind: media_path(part, clip_id), **picture, **times}


def _turns(message: dict) -> list[Turn]:
    """The turns that one message was made of: each text part ends what was seen and heard before it."""
    turns: list[Turn] = []
    waiting: list[Part] = []
    for content in message["content"]:
        kind = content["type"]
        if kind not in ("image", "audio", "text"):
            raise ValueError(f"a part of type {kind!r}")
        said = content["text"] if kind == "text" else ""
        waiting.append(Part(kind, content["start"], content["end"], content.get("index"), said))
        if kind == "text":
            say(turns, content["name"] or None, message["role"], waiting)
            waiting = []
    watch(turns, waiting)
    return turns


@contextmanager
def _in_one_step(final: Path) -> Iterator[Path]:
    """Give a temporary path; what is there gets its name if all went well, else it is removed."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{final.name}.tmp")
    try:
        yield temporary
        rename_into_place(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _chat_writer(out: Path) -> Iterator[Add]:
    """Write a line per dialogue; its pictures and sounds are there before the file has its name."""

    def add(clip: EncodedClip, spoken: Dialogue) -> None:
        line = {
            "clip_id": spoken.clip_id,
            "model_role": spoken.model_role,
            "messages": messages(spoken),
        }
        for part in spoken.parts:
            if part.kind != "text":
                path = out / media_path(part, spoken.clip_id)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(media_bytes(part, clip))
        file.write(json.dumps(line, ensure_ascii=False) + "\n")

    with (
        _in_one_step(out / FILES["chat"]) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        yield add


@contextmanager
def _obelics_writer(out: Path) -> Iterator[Add]:
    """Write a row per dialogue; a row group is written when its pictures and sounds fill `ROW_GROUP_BYTES`."""
    import pyarrow
    import pyarrow.parquet

    text, media = (
        pyarrow.string(),
        pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}),
    )
    columns = {
        "images": pyarrow.list_(media),
        "audios": pyarrow.list_(media),
        "texts": pyarrow.list_(text),
    }
    schema = pyarrow.schema({**columns, "metadata": text, "general_metadata": text})
    rows: list[dict] = []
    size = 0

    def flush() -> None:
        nonlocal size
        if rows:
            file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        rows.clear()
        size = 0

    def add(clip: EncodedClip, spoken: Dialogue) -> None:
        nonlocal size
        rows.append(_obelics_row(clip, spoken))
        size += sum(
            len(cell["bytes"]) for kind in ("images", "audios") for cell in rows[-1][kind] if cell
        )
        if size >= ROW_GROUP_BYTES:
            flush()

    with (
        _in_one_step(out / FILES["obelics"]) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as file,
    ):
        yield add
        flush()


def _obelics_row(clip: EncodedClip, spoken: Dialogue) -> dict:
    """All parts in order: in every place one of image, audio and text, and in `metadata` its time and its role."""
    row: dict = {"images": [], "audios": [], "texts": []}
    metadata = []
    for turn in spoken.turns:
        for part in turn.parts:
            here = {"images": None, "audios": None, "texts": None}
            if part.kind == "text":
                here["texts"] = part.text
            else:
                path = media_path(part, spoken.clip_id)
                here["images" if part.kind == "image" else "audios"] = {
                    "bytes": media_bytes(part, clip),
                    "path": path,
                }
            for column, cell in here.items():
                row[column].append(cell)
            metadata.append(
                {"start": part.start, "end": part.end, "role": turn.role, "speaker": turn.speaker}
            )
    about = {"clip_id": spoken.clip_id, "model_role": spoken.model_role}
    row["metadata"], row["general_metadata"] = (
        json.dumps(x, ensure_ascii=False) for x in (metadata, about)
    )
    return row
