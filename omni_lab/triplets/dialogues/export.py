"""Export of dialogues: chat messages as JSON lines, OBELICS-style interleaved rows as Parquet.

`chat.jsonl` holds a dialogue per line, in the layout of Hugging Face chat templates and fine-tuning
frameworks, with pictures and audio as files beside it. `obelics.parquet` holds a clip per row,
after OBELICS (Laurençon et al. 2023): `images` and `texts` of equal length, None where the other
has a value, and an added column `audios` of the same kind.

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
from omni_lab.progress import tracked
from omni_lab.storage import rename_into_place
from omni_lab.triplets.dialogues.roleplay import Dialogue, Part, Turn, dialogue, say, trimmed, watch
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.members import to_flac
from omni_lab.triplets.shards.tars import read_clips

FILES = {"chat": "chat.jsonl", "obelics": "obelics.parquet"}
ROW_GROUP_BYTES = 32 << 20  # pictures and audio held in memory before a row group is written
Add = Callable[[EncodedClip, Dialogue], None]


class ExportError(InputError):
    """Clip that does not export, or unreadable export; the message names the clip or the line."""


@dataclass(frozen=True)
class Exported:
    """Outcome of an export: file, rows, clips left out."""

    path: str  # of the file
    rows: int  # dialogues in it
    left_out: int  # clips without a row: the model's role is silent in them, or they are empty


def export(
    shards: str | Path, out: str | Path, form: str, model_role: str,
    own_sound: str = "later", strict: bool = False, progress: bool = True,
) -> Exported:  # fmt: skip
    """Export of a folder of shards as role-play dialogues, streamed clip by clip.

    The file is renamed into place when it is whole. A chat needs answers: clips without a line of
    the model's role are left out of it, and counted.

    Parameters
    ----------
    shards : folder that `build` wrote
    out : folder for `chat.jsonl`, `images/` and `audio/`, or for `obelics.parquet`; created if
        missing
    form : chat or obelics
    model_role : the role that the model plays
    own_sound : later, never or first (see `dialogue`)
    strict : begin with a user turn and end with an answer, as some frameworks demand (see
        `trimmed`)
    progress : show a progress bar

    Raises
    ------
    UsageError
        `form` is unknown, `out` is a file, or no clip has an answer for a chat; then the message
        lists the roles in the clips
    ShardError
        the index, a tar or a member is missing or damaged
    ExportError
        a clip's record is broken
    """
    if form not in FILES:
        raise UsageError(f"format {form!r} is not known: it must be one of {', '.join(FILES)}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; dialogues are written into a folder")

    roles: set[str] = set()
    rows = left_out = 0
    with {"chat": _chat_writer, "obelics": _obelics_writer}[form](out) as add:
        for clip in tracked(read_clips(shards), "clips", "clip", shown=progress):
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

        # inside the block: the error keeps the empty file from taking the place of an earlier one
        if not rows and form == "chat":
            names = ", ".join(sorted(roles))
            known = f"the roles there are {names}" if roles else "no role is known in them"
            raise UsageError(
                f"{shards}: in none of its {left_out} clips does {model_role!r} answer; {known}"
            )

    return Exported(str(out / FILES[form]), rows, left_out)


def messages(spoken: Dialogue) -> list[dict]:
    """Chat messages of a dialogue, in which user and assistant strictly alternate.

    Consecutive turns of several roles other than the model's are one user message; each of its text
    parts names its role (`name`, empty where unknown). Chat templates ignore unknown keys.
    """
    chat: list[dict] = []
    for turn in spoken.turns:
        if not chat or chat[-1]["role"] != turn.speaker:
            chat.append({"role": turn.speaker, "content": []})
        chat[-1]["content"] += [_content(part, turn.role, spoken.clip_id) for part in turn.parts]
    return chat


def read_chat(path: str | Path) -> Iterator[Dialogue]:
    """Dialogues of a `chat.jsonl`, equal to the exported ones.

    Raises
    ------
    ExportError
        the file is missing or not UTF-8, or a line of it holds no dialogue
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
        raise ExportError(f"{path}: unreadable as a UTF-8 text file ({error})") from None


def media_path(part: Part, clip_id: str) -> str:
    """Relative path of a picture or a span of audio, made of the clip's id and numbers alone.

    >>> media_path(Part("image", 8000, 8000, index=3), "a1b2_0_160000")
    'images/a1b2_0_160000/003.jpg'

    Raises
    ------
    ExportError
        the id holds characters other than letters, digits, `_`, `-` and `.`, or begins with a
        sign
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", clip_id):
        raise ExportError(
            f"{clip_id!r}: unsafe as a file name; a clip_id has letters, digits, _, - and ., "
            "and begins with a letter or digit"
        )
    if part.kind == "image":
        return f"images/{clip_id}/{part.index:03d}.jpg"
    return f"audio/{clip_id}/{part.start}_{part.end}.flac"


def media_bytes(part: Part, clip: EncodedClip) -> bytes:
    """Bytes of a part: a picture as the JPEG of the shard, a span of audio as FLAC."""
    if part.kind == "image":
        return clip.jpegs[part.index]
    return to_flac(clip.audio[part.start : part.end])


def _content(part: Part, role: str | None, clip_id: str) -> dict:
    """Content part of a chat message, with its time in ticks."""
    times = {"start": part.start, "end": part.end}
    if part.kind == "text":
        return {"type": "text", "text": part.text, "name": role or "", "index": part.index, **times}
    picture = {"index": part.index} if part.kind == "image" else {}
    return {"type": part.kind, part.kind: media_path(part, clip_id), **picture, **times}


def _turns(message: dict) -> list[Turn]:
    """Turns that one message was made of: a text part ends the frames and audio before it."""
    turns: list[Turn] = []
    waiting: list[Part] = []
    for content in message["content"]:
        kind = content["type"]
        if kind not in ("image", "audio", "text"):
            raise ValueError(f"part of type {kind!r}, not image, audio or text")
        text = content["text"] if kind == "text" else ""
        waiting.append(Part(kind, content["start"], content["end"], content.get("index"), text))
        if kind == "text":
            say(turns, content["name"] or None, message["role"], waiting)
            waiting = []
    watch(turns, waiting)
    return turns


@contextmanager
def _in_one_step(final: Path) -> Iterator[Path]:
    """Temporary path, renamed to `final` if the block succeeds, else removed."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{final.name}.tmp")
    try:
        yield temporary
        rename_into_place(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _chat_writer(out: Path) -> Iterator[Add]:
    """Writer of `chat.jsonl`; all media files exist before the file is renamed into place."""

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
    """Writer of `obelics.parquet`; a row group is written when media fill `ROW_GROUP_BYTES`."""
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    media = pyarrow.struct({"bytes": pyarrow.binary(), "path": text})
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
        row = _obelics_row(clip, spoken)
        rows.append(row)
        size += sum(len(cell["bytes"]) for cell in row["images"] + row["audios"] if cell)
        if size >= ROW_GROUP_BYTES:
            flush()

    with (
        _in_one_step(out / FILES["obelics"]) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as file,
    ):
        yield add
        flush()


def _obelics_row(clip: EncodedClip, spoken: Dialogue) -> dict:
    """OBELICS-style row: one of image, audio, text per position.

    `metadata` holds the time, role and speaker of each position.
    """
    row: dict = {"images": [], "audios": [], "texts": []}
    metadata = []

    for turn in spoken.turns:
        for part in turn.parts:
            here = {"images": None, "audios": None, "texts": None}
            if part.kind == "text":
                here["texts"] = part.text
            else:
                path = media_path(part, spoken.clip_id)
                column = "images" if part.kind == "image" else "audios"
                here[column] = {"bytes": media_bytes(part, clip), "path": path}
            for column, cell in here.items():
                row[column].append(cell)
            metadata.append(
                {"start": part.start, "end": part.end, "role": turn.role, "speaker": turn.speaker}
            )

    about = {"clip_id": spoken.clip_id, "model_role": spoken.model_role}
    row["metadata"] = json.dumps(metadata, ensure_ascii=False)
    row["general_metadata"] = json.dumps(about, ensure_ascii=False)
    return row
