"""Reference losses of a stage's documents, read from a side table and put beside their tokens.

Everything is checked before training begins: format, data, and that every document is there. When a
document is read, its tokens are compared with those that the losses are of. In memory a table takes
4 bytes for every supervised token and model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from omni_lab.config import StageConfig
from omni_lab.config.differences import one_line
from omni_lab.data.documents import Documents
from omni_lab.data.losses import again, key_of, made_by, mark_of, read_manifest, read_part, unlike
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError
from omni_lab.sequences.tokens import Tokens


@dataclass(frozen=True)
class SourceLosses:
    """Losses of one source's documents, one after the other.

    Parameters
    ----------
    rows : of the stage's documents, in their order
    marks : CRC-32 of a row's tokens
    edges : where the losses of a row begin; one more, where those of the last end
    values : by model, nats
    """

    rows: Int64[np.ndarray, " documents"]
    marks: Int64[np.ndarray, " rows"]
    edges: Int64[np.ndarray, " edges"]
    values: dict[str, Float32[np.ndarray, " labels"]]

    def of(self, number: int) -> dict[str, Float32[np.ndarray, " _"]]:
        """Losses of a document's supervised tokens, by model; its first token has none."""
        row = self.rows[number]
        own = slice(self.edges[row], self.edges[row + 1])
        return {name: values[own] for name, values in self.values.items()}


class KnownLosses:
    """Losses of all documents of a stage, from the folder `selection.table`.

    Raises
    ------
    InputError
        the table is missing, unfinished or damaged, was made in another format, of other data, or
        lacks documents; the message says what differs and which command makes it again
    UsageError
        modality strengths change over the stage: no table can hold its losses
    """

    def __init__(
        self, stage: StageConfig, writing: Writing, sources: Mapping[str, Documents]
    ) -> None:
        self.path, self._stage = Path(stage.selection.table), stage
        here = key_of(writing, stage, sources)
        manifest = read_manifest(self.path, stage)
        if found := unlike(manifest["key"], here):
            raise self._stale(f"the table was made otherwise: {one_line(found)}")
        self.names = frozenset(manifest["models"])
        self.fingerprint = made_by(manifest["key"], manifest["models"])
        self._of = {name: self._read(name, own, manifest) for name, own in sources.items()}

    def _stale(self, wrong: str) -> InputError:
        return InputError(f"{self.path}: {wrong}; {again(self._stage, self.path)}")

    def _read(self, name: str, documents: Documents, manifest: dict[str, Any]) -> SourceLosses:
        """Losses of one source, whose documents must all be there."""
        parts = [
            read_part(self.path / part.name, part.crc32)[0]
            for part in manifest["parts"]
            if part.source == name
        ]
        if not parts:
            raise self._stale(f"source {name} is not in the table")
        lengths = np.concatenate([_lengths(part, min(self.names)) for part in parts])
        places = [_whole(part, "place") for part in parts]
        names = [one for part in parts for one in part["document"].to_pylist()]
        return SourceLosses(
            self._rows(name, np.concatenate(places), documents, names),
            np.concatenate([_whole(part, "crc32") for part in parts]),
            np.concatenate([[0], lengths.cumsum()]),
            {model: np.concatenate([_flat(p, model) for p in parts]) for model in self.names},
        )

    def _rows(
        self, name: str, there: np.ndarray, documents: Documents, names: list[str]
    ) -> Int64[np.ndarray, " documents"]:
        """Row of every document of a source, found by its place in the data."""
        there = there.reshape(len(names), -1)
        if np.array_equal(there, documents.places):
            return np.arange(len(there))
        at = {row.tobytes(): number for number, row in enumerate(there)}
        rows = np.array([at.get(row.tobytes(), -1) for row in documents.places], np.int64)
        if count := int((rows < 0).sum()):
            first = documents[int(np.flatnonzero(rows < 0)[0])].name
            wrong = f"{count:,} of {len(rows):,} documents of source {name} are not in the table"
            raise self._stale(f"{wrong}, such as {first}")
        return rows

    def added(self, tokens: Tokens, source: str, number: int) -> Tokens:
        """A document's tokens with what is known of them.

        Raises
        ------
        InputError
            the losses are of other tokens
        """
        own = self._of[source]
        if mark_of(tokens) != own.marks[own.rows[number]]:
            raise self._stale(f"losses of {tokens.name} are of other tokens: its data changed")
        places = np.flatnonzero(tokens.loss[1:]) + 1  # the first token of a document is no label
        known = dict(tokens.known)
        for name, losses in own.of(number).items():
            known[name] = np.full(len(tokens.ids), np.nan, np.float32)
            known[name][places] = losses
        return replace(tokens, known=known)


def _whole(part: Any, name: str) -> Int64[np.ndarray, " _"]:
    """Numbers of a column, those of lists one after the other."""
    column = part[name].combine_chunks()
    flat = column.flatten() if hasattr(column, "flatten") and name == "place" else column
    return flat.to_numpy(zero_copy_only=False)


def _flat(part: Any, name: str) -> Float32[np.ndarray, " _"]:
    """Losses of a column of lists, one after the other."""
    return part[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)


def _lengths(part: Any, name: str) -> Int64[np.ndarray, " _"]:
    """Length of every list of a column."""
    lengths = part[name].combine_chunks().value_lengths()
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64)
