"""Captions with their pictures: from shards of clips, webdataset pairs, `datasets` folders, chats.

What cannot be read is an entry too: it has a name and a reason, so that nothing is lost in silence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omni_lab.adapters.interface import Pixels
from omni_lab.data.pairs.parts import Media, Part, pixels
from omni_lab.data.pairs.source import form_of
from omni_lab.errors import InputError
from omni_lab.triplets.shards.index import INDEX, read_index
from omni_lab.triplets.shards.tars import decoded, read_clip

FRAMES = 4  # of a clip that a model is shown
TEXTLESS, BLIND = "without text", "without a picture"
UNSEEN, UNREAD = "with a picture that is missing or broken", "unreadable"
_MODEL = "assistant"  # the role whose texts are scored
_HALF = re.compile("[\ud800-\udfff]")  # JSON can hold it, UTF-8 cannot
Pictures = tuple[Pixels, ...]


class Caption(NamedTuple):
    """Text about pictures: a caption, the words spoken in a clip, or an answer of a chat."""

    id: str
    text: str
    pictures: Callable[[], Pictures]  # decoded when they are due
    question: str = ""  # before an answer of a chat


class Skipped(NamedTuple):
    """Entry without a caption that can be scored."""

    id: str
    kind: str  # of reason, to be counted by
    why: str  # one line


class Captions:
    """Captions of a path, in the order of the data.

    An answer of a chat has all pictures before it, and the question since the last answer; earlier
    turns are left out.

    Parameters
    ----------
    path : folder of `triplets build`; or a tar, a JSON-lines file of chats, a `datasets` folder, or
        a folder of tars or of such files
    frames : of a clip, at most, evenly spaced

    Raises
    ------
    InputError
        there is no such path, it has none of these forms, or it is damaged
    """

    def __init__(self, path: str | Path, frames: int = FRAMES) -> None:
        self.path, self.frames = Path(path), frames
        self._rows = read_index(path) if (self.path / INDEX).is_file() else None
        self._form = None if self._rows is not None else form_of(self.path, "image_text", str(path))

    def __len__(self) -> int:
        """Number of clips, pairs or chats; a chat may have several captions, or none."""
        return len(self._form if self._rows is None else self._rows)

    def __iter__(self) -> Iterator[list[Caption | Skipped]]:
        """What every clip, pair or chat has to score; a name that was there gets a number."""
        read = self._of_pair if self._rows is None else self._of_clip
        names: Counter[str] = Counter()
        for number in range(len(self)):
            yield [one._replace(id=_own_name(one.id, names)) for one in read(number)]

    def _of_clip(self, number: int) -> list[Caption | Skipped]:
        row = self._rows[number]
        name = row["clip_id"]
        if lack := BLIND if not row["image"] else TEXTLESS if not row["text"] else "":
            return [Skipped(name, lack, f"{name}: {lack}")]
        try:
            encoded = read_clip(self.path, row)
        except InputError as error:
            return [Skipped(name, UNREAD, str(error))]
        text = " ".join(cue["text"].strip() for cue in encoded.record["cues"]).strip()

        def pictures() -> Pictures:
            seen = decoded(encoded, self.path / row["shard"]).frames
            count = min(self.frames, len(seen))
            chosen = np.floor((np.arange(count) + 0.5) * len(seen) / count).astype(int)
            return tuple(seen[chosen])

        return (
            [Caption(name, text, pictures)]
            if text
            else [Skipped(name, TEXTLESS, f"{name}: {TEXTLESS}")]
        )

    def _of_pair(self, number: int) -> list[Caption | Skipped]:
        try:
            name, parts = self._form.parts(number, _MODEL)
        except InputError as error:
            return [Skipped(f"{self.path.name} {number}", UNREAD, str(error))]
        found = list(_answers(name.removeprefix(f"{self.path.parent}/"), parts))
        if found:
            return found
        return [Skipped(name, TEXTLESS, f"{name}: {TEXTLESS}")]


def _own_name(name: str, names: Counter[str]) -> str:
    """A name that can be written as UTF-8 and that no entry before it has."""
    name = name.encode(errors="replace").decode()  # of a file, it may be any bytes
    names[name] += 1
    if names[name] == 1:
        return name
    while names[numbered := f"{name} ({names[name]})"]:
        names[name] += 1
    names[numbered] += 1
    return numbered


def _answers(name: str, parts: list[Part]) -> Iterator[Caption | Skipped]:
    """Every text of the model's role, with the pictures and the question before it."""
    seen: list[Media] = []
    asked: list[str] = []
    answers = sum(part.kind == "text" and part.role == _MODEL for part in parts)
    count = 0
    for part in parts:
        if part.kind == "image":
            seen.append(part.media)
        elif part.kind == "text" and part.role != _MODEL:
            asked.append(part.text)
        elif part.kind == "text":
            count += 1
            own = name if answers == 1 else f"{name}, answer {count}"
            if _HALF.search(part.text + "".join(asked)):
                yield Skipped(own, UNREAD, f"{own}: half of a letter in it (a lone surrogate)")
            elif seen:
                yield Caption(own, part.text, _opener(tuple(seen)), "\n".join(asked))
            else:
                yield Skipped(own, BLIND, f"{own}: {BLIND}")
            asked = []


def _opener(media: tuple[Media, ...]) -> Callable[[], Pictures]:
    return lambda: tuple(pixels(one) for one in media)
