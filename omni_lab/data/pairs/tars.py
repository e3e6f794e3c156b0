"""Pairs in webdataset tars: `key.jpg` beside `key.txt`, indexed by one scan of the headers."""

from __future__ import annotations

import json
import os
import tarfile
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from omni_lab.data.pairs.parts import Media, Part, Span
from omni_lab.errors import InputError

MEDIA = {
    "image": ("jpg", "jpeg", "png", "webp"),
    "audio": ("wav", "flac", "mp3", "ogg"),
}
TEXTS = ("txt", "json")
CAPTIONS = ("text", "caption")  # keys of a JSON record that hold the text
TAR, TEXT, TEXT_SIZE, IS_JSON, AT, SIZE = range(6)  # columns of the index
ABSENT = -1


class TarPairs:
    """Samples of a folder of tars, by number.

    Parameters
    ----------
    path : a tar, or a folder of tars
    kind : image or audio

    Raises
    ------
    InputError
        a tar is damaged
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.kind = kind
        self.tars = [path] if path.is_file() else sorted(path.glob("*.tar"))
        rows = [row for number, tar in enumerate(self.tars) for row in _scanned(tar, number, kind)]
        self._index: Int64[np.ndarray, "samples 6"] = np.array(rows, np.int64).reshape(-1, 6)
        self.files = self._index[:, TAR]
        self.identity = [
            [tar.name, stat.st_size, stat.st_mtime_ns] for tar in self.tars for stat in [tar.stat()]
        ]

    def __len__(self) -> int:
        return len(self._index)

    def parts(self, number: int, model_role: str) -> tuple[str, list[Part]]:
        """Name and parts of one sample; what it lacks is not among them."""
        tar, text_at, text_size, is_json, at, size = self._index[number].tolist()
        path = self.tars[tar]
        first = min(place for place in (text_at, at) if place != ABSENT)
        name = f"{path.name}/{_name_at(path, first).partition('.')[0]}"
        found: list[Part] = []
        if at != ABSENT:
            media = Media(f"{path}: {_name_at(path, at)}", lambda: Span(str(path), at, size))
            found.append(Part(self.kind, media=media))
        if text_at != ABSENT and (text := _text(path, text_at, text_size, bool(is_json))).strip():
            found.append(Part("text", text.strip(), model_role))
        return name, found


def _scanned(tar: Path, number: int, kind: str) -> list[tuple[int, ...]]:
    """Rows of the index of one tar: consecutive members of a key are one sample."""
    rows = []
    for _, members in groupby(_members(tar), key=lambda member: member[0]):
        found = {}
        for _, suffix, offset, size in members:
            found.setdefault(suffix, (offset, size))
        text = next((suffix for suffix in TEXTS if suffix in found), None)
        media = next((suffix for suffix in MEDIA[kind] if suffix in found), None)
        if text is None and media is None:
            continue
        rows.append(
            (number, *found.get(text, (ABSENT, 0)), int(text == "json"),
             *found.get(media, (ABSENT, 0)))
        )  # fmt: skip
    return rows


def _members(tar: Path):
    """Key, suffix, offset and size (bytes) of every file in a tar, by its headers alone.

    The key of `a/b.c.jpg` is `a/b`, as webdataset has it.
    """
    whole = tar.stat().st_size
    try:
        with tarfile.open(tar, "r:") as file:
            while (member := file.next()) is not None:
                file.members = []  # else every header stays in memory
                if not member.isfile():
                    continue
                if member.offset_data + member.size > whole:
                    raise InputError(f"{tar}: {member.name} is cut off; copy the tar again")
                folder, name = os.path.split(member.name)
                key, _, suffix = name.partition(".")
                yield f"{folder}/{key}", suffix.lower(), member.offset_data, member.size
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{tar}: damaged or no tar ({error}); copy it again") from None


def _name_at(tar: Path, offset: int) -> str:
    """Name in the header before a member's data."""
    with open(tar, "rb") as file:
        file.seek(offset - tarfile.BLOCKSIZE)
        return file.read(100).rstrip(b"\0").decode(errors="replace")


def _text(tar: Path, offset: int, size: int, is_json: bool) -> str:
    """Text of a sample: a file of text, or a key of a JSON record; empty where that has none."""
    with open(tar, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    try:
        text = data.decode()
        record = json.loads(text) if is_json else {"text": text}
        found = [record[key] for key in CAPTIONS if isinstance(record.get(key), str)]
    except (ValueError, AttributeError) as error:
        name = _name_at(tar, offset)
        what = "JSON record with `text` or `caption`" if is_json else "UTF-8 text"
        raise InputError(f"{tar}: {name} is no {what} ({error})") from None
    return found[0] if found else ""
