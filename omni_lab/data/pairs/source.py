"""Data sources `image_text`, `audio_text` and `chat`: webdataset tars, `datasets` folders, chats.

The model's role writes the caption, after it has seen the picture or heard the sound. A chat may
have pictures and sounds, one of them, or text alone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from omni_lab.config import config_hash
from omni_lab.data.documents import Documents, seed_of
from omni_lab.data.pairs.chat import ChatPairs
from omni_lab.data.pairs.hub import MARKS, HubPairs
from omni_lab.data.pairs.parts import Part, written
from omni_lab.data.pairs.tars import TarPairs
from omni_lab.data.pieces import IDLE, LONG
from omni_lab.data.table import Table, remembered
from omni_lab.data.writing import WANTED, Writing
from omni_lab.errors import InputError
from omni_lab.sequences.items import Sequence
from omni_lab.triplets.shards.index import INDEX

KINDS = {"image_text": "image", "audio_text": "audio", "chat": ""}  # what every sample has
NUMBER, FILE, LENGTH = range(3)  # columns of the table of pairs
Form = TarPairs | HubPairs | ChatPairs


class PairDocuments(Documents):
    """Pairs of a picture or a sound and its text, or chats, as a stage writes them.

    Parameters
    ----------
    path : a tar, a JSON-lines file, or a folder of tars, of such files, or of `save_to_disk`
    name : image_text, audio_text or chat
    writing : format of the stage
    tables : folder of side tables; None counts again

    Raises
    ------
    InputError
        the path has none of these forms, is damaged, or has no pair that the stage can use
    """

    def __init__(
        self, path: str | Path, name: str, writing: Writing, tables: Path | None = None
    ) -> None:
        self.path, self.name, self.writing = Path(path), name, writing
        self.kind = KINDS[name]
        self.seed = seed_of(writing.seed, name)
        self._form = form_of(self.path, name)
        self.data = config_hash(self._form.identity)
        self.fingerprint = writing.fingerprint(name, self._form.identity)

        table = remembered(self._measured, tables, name, self.fingerprint)
        self.places, self.left_out = table.columns, dict(table.left_out)
        self.files, self._lengths = table.columns[:, FILE], table.columns[:, LENGTH]
        self.modalities = frozenset(table.about["modalities"])
        if not len(self):
            why = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            stage = f"no pair that stage {writing.stage} can use"
            raise InputError(f"{path}: {stage} ({why or 'it is empty'})")

    def _measured(self) -> Table:
        """Number, file and tokens of every pair that the stage can use, and what was left out."""
        found: list[tuple[int, int, int]] = []
        left_out: Counter[str] = Counter()
        modalities: set[str] = set()
        for number in range(len(self._form)):
            name, parts = self._parts(number)
            kinds = {part.kind for part in parts}
            if (lack := self._lack(kinds)) is None:
                sequence = self._written(name, parts, blank=True)
                length = self.writing.length(sequence)
                learns = any(item.loss and item.kind == "text" for item in sequence.items)
                lack = LONG if length > self.writing.row else None if learns else IDLE
            if lack is None:
                found.append((number, int(self._form.files[number]), length))
                modalities |= kinds & self.writing.modalities
            else:
                left_out[lack] += 1
        columns = np.array(found, np.int64).reshape(-1, 3)
        return Table(columns, left_out, {"modalities": sorted(modalities)})

    def _lack(self, kinds: set[str]) -> str | None:
        """What a sample lacks: text, or what the source is named after.

        Of a chat everything is read or nothing: what is asked of a sound has no answer without it.
        """
        read = kinds & self.writing.modalities
        if self.kind:
            lack = self.writing.lack(read)
            return lack or (None if self.kind in read else f"without {WANTED[self.kind]}")
        if "text" not in kinds:
            return "without text"
        unread = [word for kind, word in WANTED.items() if kind in kinds - read]
        return f"with {unread[0]}, which the stage does not read" if unread else None

    def _parts(self, number: int) -> tuple[str, list[Part]]:
        """Name and parts of a sample."""
        return self._form.parts(number, self.writing.config.sequence.model_role)

    def _written(self, name: str, parts: list[Part], blank: bool = False) -> Sequence:
        """A sample in the stage's layout, in the modalities that the stage reads."""
        read = [part for part in parts if part.kind in self.writing.modalities]
        return written(name, read, self.writing, blank)

    def __getitem__(self, number: int) -> Sequence:
        at, _, length = self.places[number].tolist()
        sequence = self._written(*self._parts(at))
        if (now := self.writing.length(sequence)) != length:
            message = f"{now} tokens, but {length} were planned: the data changed"
            raise InputError(f"{sequence.name}: {message}; start again with a new run")
        return sequence


def form_of(path: Path, name: str, key: str | None = None) -> Form:
    """Samples of a path, by what is found there.

    Parameters
    ----------
    name : image_text or audio_text
    key : what messages call the path; None is the setting of that name

    Raises
    ------
    InputError
        there is nothing, or nothing of a known form
    """
    kind, key = KINDS[name], key or f"data.{name}={str(path)!r}"
    if not kind:
        if path.suffix == ".jsonl" or any(path.glob("*.jsonl")):
            return ChatPairs(path)
        raise InputError(f"{key}: no chats there; give chat messages (.jsonl), or a folder of them")
    if path.is_file():
        if path.suffix in (".jsonl", ".tar"):
            return ChatPairs(path) if path.suffix == ".jsonl" else TarPairs(path, kind)
    elif path.is_dir():
        if (path / INDEX).is_file():
            raise InputError(f"{key}: a folder of `triplets build`; name it as data.shards")
        if any((path / mark).is_file() for mark in MARKS):
            return HubPairs(path, kind)
        if any(path.glob("*.tar")):
            return TarPairs(path, kind)
        if any(path.glob("*.jsonl")):
            return ChatPairs(path)
    else:
        raise InputError(f"{key}: there is no such file or folder")
    forms = "webdataset tars, a `datasets` folder of save_to_disk, or chat messages (.jsonl)"
    raise InputError(f"{key}: holds no pairs in a known form; give {forms}")
