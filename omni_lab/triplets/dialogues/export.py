"""Export of dialogues: chat messages and LLaMA-Factory rows as JSON lines, OBELICS rows as Parquet.

`chat.jsonl` holds a dialogue per line, in the layout of Hugging Face chat templates, TRL and
ms-swift, with pictures and audio as files beside it. Every part has every key, and a medium stands
under `path`: loaders fill absent keys with None, and a text with a key `image` would be a picture.
`llamafactory.jsonl` holds messages as strings, with a placeholder for every picture and sound;
`dataset_info.json` beside it describes them. `obelics.parquet` holds a clip per row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omni_lab.errors import UsageError
from omni_lab.progress import tracked
from omni_lab.triplets.dialogues.files import (
    Add,
    ExportError,
    in_one_step,
    lead_with,
    media_bytes,
    media_path,
)
from omni_lab.triplets.dialogues.obelics import obelics_writer
from omni_lab.triplets.dialogues.roleplay import Dialogue, Part, Turn, dialogue, say, trimmed, watch
from omni_lab.triplets.dialogues.texts import escaped, told
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.tars import read_clips

FILES = {
    "chat": "chat.jsonl",
    "llamafactory": "llamafactory.jsonl",
    "obelics": "obelics.parquet",
}
DATASET_INFO = "dataset_info.json"  # where LLaMA-Factory looks for what a file holds
MEDIA = {"images": "image", "audios": "audio"}  # columns of paths
INFERRED = 1 << 20  # bytes of rows from which loaders may infer the type of a column


@dataclass(frozen=True)
class Exported:
    """Outcome of an export: file, rows, clips left out."""

    path: str  # of the file
    rows: int  # dialogues in it
    left_out: int  # clips without a row: the model's role is silent in them, or they are empty
    unasked: int = 0  # answers cut off at the start of their clip, where turns are strict
    escaped: int = 0  # texts in which a placeholder or special token was escaped


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
    out : folder for `chat.jsonl` or `llamafactory.jsonl`, `images/` and `audio/`, or for
        `obelics.parquet`; created if missing
    form : chat, llamafactory (always strict) or obelics
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
        a clip's record is broken, or a `dataset_info.json` that is already there
    """
    if form not in FILES:
        raise UsageError(f"format {form!r} is not known: it must be one of {', '.join(FILES)}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; dialogues are written into a folder")

    strict |= form == "llamafactory"
    writers = {
        "chat": _chat_writer, "llamafactory": _llamafactory_writer, "obelics": obelics_writer
    }  # fmt: skip
    roles: set[str] = set()
    rows = left_out = unasked = changed = 0
    with writers[form](out / FILES[form]) as add:
        for clip in tracked(read_clips(shards), "clips", "clip", shown=progress):
            try:
                spoken = dialogue(clip, model_role, own_sound)
            except (KeyError, TypeError, ValueError) as error:
                raise ExportError(
                    f"{shards}: {clip.clip_id}: its record is broken ({error!r})"
                ) from None

            roles |= {turn.role for turn in spoken.turns if turn.role}
            answers = spoken.answers
            spoken = trimmed(spoken) if strict else spoken
            unasked += answers - spoken.answers
            if spoken.answers or (spoken.turns and form == "obelics"):
                add(clip, spoken)
                rows += 1
                changed += sum(escaped(part.text) != part.text for part in spoken.parts)
            else:
                left_out += 1

        # inside the block: the error keeps the empty file from taking the place of an earlier one
        if not rows and form != "obelics":
            names = ", ".join(sorted(roles))
            known = f"the roles there are {names}" if roles else "no role is known in them"
            right = f"only unasked, which {form} rows cannot hold" if unasked else known
            raise UsageError(
                f"{shards}: in none of its {left_out} clips does {model_role!r} answer; {right}"
            )

    return Exported(str(out / FILES[form]), rows, left_out, unasked, changed)


def messages(spoken: Dialogue) -> list[dict]:
    """Chat messages of a dialogue, in which user and assistant strictly alternate.

    Consecutive turns of several roles other than the model's are one user message, whose text
    names them (see `told`). Every part has the same keys: `type`, `text`, `path` of the medium, and
    for reading back, which chat templates ignore, `name` of the role, the `cue` as the film has it,
    `index`, `start` and `end`.
    """
    chat: list[dict] = []
    for turn, part, text in told(spoken):
        if not chat or chat[-1]["role"] != turn.speaker:
            chat.append({"role": turn.speaker, "content": []})
        is_text = part.kind == "text"
        content = {
            "type": part.kind,
            "text": text,
            "path": "" if is_text else media_path(part, spoken.clip_id),
            "name": turn.role or "" if is_text else "",
            "cue": part.text,
            "index": part.index,
            "start": part.start,
            "end": part.end,
        }
        chat[-1]["content"].append(content)
    return chat


def strings(chat: list[dict]) -> list[dict]:
    """Messages as LLaMA-Factory takes them: strings, `<image>` or `<audio>` where a medium stands.

    >>> part = {"type": "image", "text": ""}
    >>> strings([{"role": "user", "content": [part, {"type": "text", "text": "Colour?"}]}])
    [{'role': 'user', 'content': '<image>Colour?'}]
    """
    return [
        {
            "role": message["role"],
            "content": "".join(
                part["text"] if part["type"] == "text" else f"<{part['type']}>"
                for part in message["content"]
            ),
        }
        for message in chat
    ]


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


def _turns(message: dict) -> list[Turn]:
    """Turns that one message was made of: a text part ends the frames and audio before it."""
    turns: list[Turn] = []
    waiting: list[Part] = []
    for content in message["content"]:
        kind = content["type"]
        if kind not in ("image", "audio", "text"):
            raise ValueError(f"part of type {kind!r}, not image, audio or text")
        text = content["cue"] if kind == "text" else ""
        waiting.append(Part(kind, content["start"], content["end"], content.get("index"), text))
        if kind == "text":
            say(turns, content["name"] or None, message["role"], waiting)
            waiting = []
    watch(turns, waiting)
    return turns


@contextmanager
def _chat_writer(path: Path) -> Iterator[Add]:
    """Writer of chat messages, part by part."""
    with _lines_writer(path, lambda chat: chat) as add:
        yield add


@contextmanager
def _llamafactory_writer(path: Path) -> Iterator[Add]:
    """Writer of messages as strings, and of the file's entry in `dataset_info.json` beside it."""
    info = path.with_name(DATASET_INFO)
    described = _dataset_info(info, path.name)  # a broken one is refused before any work
    with _lines_writer(path, strings) as add:
        yield add
    with in_one_step(info) as temporary:
        temporary.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _dataset_info(path: Path, exported: str) -> dict:
    """Data sets of LLaMA-Factory in a folder, with `dialogues` for the exported file.

    Raises
    ------
    ExportError
        there is a file of that name which holds no JSON object
    """
    described: dict = {}
    if path.exists():
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExportError(f"{path}: unreadable as JSON ({error})") from None
        if not isinstance(described, dict):
            raise ExportError(f"{path}: holds no JSON object; move it, or choose another folder")
    names = {"user_tag": "user", "assistant_tag": "assistant"}
    dialogues = {
        "file_name": exported,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", **{column: column for column in MEDIA}},
        "tags": {"role_tag": "role", "content_tag": "content", **names},
    }
    return {**described, "dialogues": dialogues}


@contextmanager
def _lines_writer(path: Path, form: Callable[[list[dict]], list[dict]]) -> Iterator[Add]:
    """Writer of a JSON-lines file; all media files exist before it is renamed into place.

    Rows are in the order of the clips, but for the first ones with pictures and with sound: where
    they come late, they lead, since loaders infer from the first rows what a column holds.

    Parameters
    ----------
    form : chat messages → messages as they are written
    """
    first: dict[str, tuple[int, int]] = {}  # column → place of the first row that fills it

    def add(clip: EncodedClip, spoken: Dialogue) -> None:
        chat = messages(spoken)
        parts = [part for message in chat for part in message["content"]]
        line = {
            "clip_id": spoken.clip_id,
            "model_role": spoken.model_role,
            "messages": form(chat),
        }
        for column, kind in MEDIA.items():
            line[column] = [part["path"] for part in parts if part["type"] == kind]

        for part in spoken.parts:
            if part.kind != "text":
                medium = path.parent / media_path(part, spoken.clip_id)
                medium.parent.mkdir(parents=True, exist_ok=True)
                medium.write_bytes(media_bytes(part, clip))

        data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        for column in MEDIA:
            if line[column]:
                first.setdefault(column, (file.tell(), len(data)))
        file.write(data)

    with in_one_step(path) as temporary:
        with open(temporary, "wb") as file:
            yield add
        if late := sorted({place for place in first.values() if place[0] >= INFERRED}):
            lead_with(temporary, late)
