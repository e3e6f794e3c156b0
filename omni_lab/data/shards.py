"""Data source `shards`: clips of a `triplets build` folder, cut into pieces of a stage's length.

The folder's index and the text records of its clips tell which pieces there are and how many tokens
each takes. Frames and sound are read when a piece is due, so that memory holds the index alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from omni_lab.data.documents import Documents
from omni_lab.data.pairs.parts import square
from omni_lab.data.pieces import LENGTH, SHARD, piece, pieces_of, reduced
from omni_lab.data.table import remembered
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError
from omni_lab.sequences.items import Sequence
from omni_lab.triplets.shards.index import Index, ShardError, digest
from omni_lab.triplets.shards.tars import decoded, read_clip

MOST_ROLES = 12  # named in a message


class ShardDocuments(Documents):
    """Pieces of the clips in a folder of shards, as a stage writes them.

    Parameters
    ----------
    folder : of shards
    writing : format of the stage
    tables : folder of side tables; None counts again

    Raises
    ------
    ShardError
        the index, a tar or a record is missing or damaged
    InputError
        the folder has no clip, none that the stage can use, or no text that it learns from
    """

    name = "shards"

    def __init__(self, folder: str | Path, writing: Writing, tables: Path | None = None) -> None:
        self.folder, self.writing, self.seed = Path(folder), writing, writing.seed
        index = Index.load(folder)
        if not index.table.num_rows:
            raise InputError(f"{folder}: a folder of shards without a clip; build films into it")
        self.data = digest([[shard.name, shard.rows] for shard in index.shards])
        self.fingerprint = writing.fingerprint(self.name, self.data)

        table = remembered(
            lambda: pieces_of(self.folder, index, writing), tables, self.name, self.fingerprint
        )
        self._clips, self.places = index.table, table.columns
        self.files, self._lengths = table.columns[:, SHARD], table.columns[:, LENGTH]
        self.left_out, self.modalities = dict(table.left_out), frozenset(table.about["modalities"])
        self._check(table.about)

    def _check(self, about: dict) -> None:
        """Refuse a folder from which the stage learns nothing."""
        stage, role = self.writing.stage, self.writing.config.sequence.model_role
        if not len(self):
            why = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            raise InputError(f"{self.folder}: no clip that stage {stage} can use ({why})")
        if not about["texts"]:
            roles = ", ".join(about["roles"][:MOST_ROLES])
            message = f"no text of role {role!r}, which stage {stage} learns to write"
            right = f"set sequence.model_role to one of {roles}"
            raise InputError(f"{self.folder}: {message}; {right}")

    def __getitem__(self, number: int) -> Sequence:
        place, _, start, end, length = self.places[number].tolist()
        (row,) = self._clips.slice(place, 1).to_pylist()
        tar = self.folder / row["shard"]

        clip = reduced(read_clip(self.folder, row), start, end, self.writing)
        part = piece(decoded(clip, tar), start, end, self.writing)
        if self.writing.streams and len(part.frames):
            side = self.writing.config.model.image.size
            part = replace(part, frames=np.stack([square(frame, side) for frame in part.frames]))
        sequence = self.writing.lay_out(part)
        if (now := self.writing.length(sequence)) != length:
            message = f"{now} tokens, but {length} were planned: the folder changed"
            raise ShardError(f"{tar}: {clip.clip_id}: {message}; start again with a new run")
        return sequence
