"""Chat `messages` as JSON lines, pictures and sounds as files beside them; lines by offset.

It reads what `omni-lab triplets export` writes, and any file of the same layouts: parts that bring
their media, or strings with `<image>` and `<audio>` for those of the columns `images` and `audios`.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int64

from omni_lab.data.pairs.parts import Media, Part
from omni_lab.errors import InputError
from omni_lab.media.errors import MissingFileError

PLACEHOLDER = re.compile("<(image|audio)>")
BLOCK = 1000  # lines that lie side by side on disk, for the windows of the shuffle


class ChatPairs:
    """Chats of JSON-lines files, by number.

    Parameters
    ----------
    path : a file, or a folder of `.jsonl` files

    Raises
    ------
    InputError
        a file does not open
    """

    def __init__(self, path: Path) -> None:
        self.paths = [path] if path.is_file() else sorted(path.glob("*.jsonl"))
        places = [
            (number, offset) for number, file in enumerate(self.paths) for offset in _lines(file)
        ]
        self._places: Int64[np.ndarray, "lines 2"] = np.array(places, np.int64).reshape(-1, 2)
        self.files = self._places[:, 0] * (1 << 32) + np.arange(len(places)) // BLOCK
        self.identity = [
            [file.name, stat.st_size, stat.st_mtime_ns]
            for file in self.paths
            for stat in [file.stat()]
        ]

    def __len__(self) -> int:
        return len(self._places)

    def parts(self, number: int, model_role: str) -> tuple[str, list[Part]]:
        """Name and parts of one chat, in order."""
        file, offset = self._places[number].tolist()
        path = self.paths[file]
        with open(path, "rb") as lines:
            lines.seek(offset)
            line = lines.readline()
        name = f"{path}: chat at byte {offset}"
        try:
            return name, [
                part
                for speaker, content in _contents(json.loads(line))
                if (part := _part(content, speaker, path.parent, model_role))
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            right = '{"messages": [{"role": …, "content": [{"type": "text", "text": …}, …]}]}'
            raise InputError(f"{name} is no chat ({error!r}); a line is {right}") from None


def _lines(path: Path) -> array:
    """Byte offsets of the lines of a file that are not blank."""
    offsets, at = array("q"), 0
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.strip():
                    offsets.append(at)
                at += len(line)
    except OSError as error:
        raise InputError(f"{path}: does not open ({error.strerror})") from None
    return offsets


def _contents(row: Any) -> Iterator[tuple[str, dict]]:
    """Role and content of every part of a row, a medium of the columns put in its place.

    Raises
    ------
    ValueError
        columns of media hold more or fewer than there are places for
    """
    columns = {kind: row.get(f"{kind}s") for kind in ("image", "audio")}
    waiting = {kind: list(paths or ())[::-1] for kind, paths in columns.items()}
    placed = False  # whether some part takes its medium from a column
    for message in row["messages"]:
        content = message["content"]
        if isinstance(content, str):
            text = {"type": "text", "text": content}
            # without the columns, what looks like a placeholder is text
            content = [text] if columns == dict.fromkeys(columns) else _cut(content)
        for part in content:
            kind = part["type"]
            if kind in waiting and not (part.get(kind) or part.get("path")):
                if not waiting[kind]:
                    raise ValueError(f"more places for {kind}s than `{kind}s` has")
                part, placed = {**part, kind: waiting[kind].pop()}, True
            yield message["role"], part
    if placed and (left := [f"{kind}s" for kind, paths in waiting.items() if paths]):
        raise ValueError(f"fewer places than `{'` and `'.join(left)}` has")


def _cut(content: str) -> list[dict]:
    """A string as parts: text, and a medium for every placeholder."""
    pieces = PLACEHOLDER.split(content)
    return [
        {"type": piece} if place % 2 else {"type": "text", "text": piece}
        for place, piece in enumerate(pieces)
    ]


def _part(content: dict, speaker: str, folder: Path, model_role: str) -> Part | None:
    """Part of one piece of content; None for a blank text."""
    kind = content["type"]
    if kind not in ("image", "audio", "text"):
        raise ValueError(f"type {kind!r}, not image, audio or text")
    if kind == "text":
        # of our own export the line as the film has it, without name and escapes
        text = str(content.get("cue") or content["text"]).strip()
        if speaker == "assistant":
            return Part("text", text, model_role) if text else None
        # text of others is never the model's, whatever they are called
        role = content.get("name") or speaker
        return Part("text", text, speaker if role == model_role else role) if text else None

    given = content.get(kind) or content["path"]
    relative = PurePosixPath(given)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{given!r}: media paths are relative to the file, without ..")
    return Part(kind, media=_file(folder / relative))


def _file(path: Path) -> Media:
    """A media file."""

    def opened():
        try:
            return open(path, "rb")
        except OSError as error:
            raise MissingFileError(path, f"does not open ({error.strerror})") from None

    return Media(str(path), opened)
