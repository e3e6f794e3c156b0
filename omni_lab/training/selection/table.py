"""Making of a side table: losses of all documents of a stage's sources under its frozen models.

Every document is read once, alone in its row, in the stage's format. Parts that are there already
are not made again, so that a killed call goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from omni_lab.config import Config, StageConfig
from omni_lab.config.differences import one_line
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.documents import Documents
from omni_lab.data.losses import (
    MANIFEST,
    DocumentLosses,
    PartEntry,
    key_of,
    made_by,
    mark_of,
    read_manifest,
    read_part,
    unlike,
    write_manifest,
    write_part,
)
from omni_lab.data.sources import open_sources
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError, UsageError
from omni_lab.progress import Progress
from omni_lab.sequences.batch import collate
from omni_lab.sequences.masking import Strength, strengths
from omni_lab.sequences.tokens import Tokens
from omni_lab.storage import checksum
from omni_lab.training.selection.frozen import (
    MODELS,
    LossesOf,
    Reads,
    digest_of_model,
    open_models,
)

PART = 256  # documents of one part: what a killed call loses at most
_PART = re.compile(r"\w+-\d{6}\.parquet")


class Chunk(NamedTuple):
    """Documents of one part: a source's, from number `first` on."""

    source: str
    first: int
    count: int

    @property
    def name(self) -> str:
        """File name of the part."""
        return f"{self.source}-{self.first // PART:06d}.parquet"


@dataclass
class Written:
    """What a call did: documents in the table, those that were there, and means of their losses."""

    path: str
    documents: int = 0
    resumed: int = 0
    labels: int = 0
    models: dict[str, str] = field(default_factory=dict)  # path by name
    mean: dict[str, float] = field(default_factory=dict)  # nats per supervised token


def write_table(
    config: Config,
    stage: StageConfig,
    out: Path,
    device: str = "cpu",
    batch: int = 8,
    fresh: bool = False,
    progress: bool = True,
) -> Written:
    """Table of a stage's reference losses in a folder, for `selection.table`.

    It has a column for every model that the stage's selection names.

    Parameters
    ----------
    out : folder; a table that is half made there is finished
    batch : documents of one forward pass
    fresh : make it anew where the folder holds a table of other models, format or data

    Raises
    ------
    UsageError
        no model is named, or the stage's samples are no documents on disk
    InputError
        a model or a document cannot be read, a loss is not finite, or the folder holds another table
    """
    paths = {name: path for name in MODELS if (path := getattr(stage.selection, name))}
    if not paths:
        right = f"--reference RUN, or selection.{', selection.'.join(MODELS)} of the stage"
        raise UsageError(
            f"stage {stage.name}: no model whose losses a table could hold; set {right}"
        )
    writing, sources = open_sources(config, stage)
    key = key_of(writing, stage, sources)
    models = {name: {"digest": digest_of_model(p), "path": p} for name, p in paths.items()}
    losses = open_models(paths, Reads.of(config), device)
    _begin(out, stage, key, models, fresh)

    maker = _Maker(stage, writing, sources, losses, device, batch)
    made, found = made_by(key, models), Written(str(out), models=paths)
    entries: list[PartEntry] = []
    total = sum(map(len, sources.values()))
    with Progress(total, "losses", "document", shown=progress) as bar:
        for chunk in _chunks(sources):
            entry = _there(out, chunk, made)
            found.resumed += chunk.count if entry else 0
            entries.append(entry or write_part(out / chunk.name, list(maker.rows(chunk)), made))
            bar.update(chunk.count)
    write_manifest(out, key, models, entries)
    _without_others(out, entries)
    return _summed(found, out, entries)


def _begin(
    out: Path, stage: StageConfig, key: Mapping[str, Any], models: Mapping[str, Any], fresh: bool
) -> None:
    """Manifest of a table that is begun or goes on; one of another table is refused, or removed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: not writable ({error.strerror}); choose another --out") from None
    if (out / MANIFEST).is_file() and not fresh:
        _check_same_table(out, stage, key, models)
    write_manifest(out, key, models, None)


def _check_same_table(
    out: Path, stage: StageConfig, key: Mapping[str, Any], models: Mapping[str, Any]
) -> None:
    """Refuse to write into a folder that holds a table of other models, format or data."""
    there = read_manifest(out, stage, finished=False)
    # a source that only the other has makes another table too
    other = {name: None for name in there["key"]["data"] if name not in key["data"]}
    found = unlike(there["key"], {**key, "data": {**key["data"], **other}})
    told = [one_line(found)] if found else []
    for name in dict.fromkeys([*there["models"], *models]):
        one, own = (side.get(name, {}) for side in (there["models"], models))
        if one.get("digest") != own.get("digest"):
            told.append(f"{name}: {one.get('path', 'none')} there, {own.get('path', 'none')} here")
    if told:
        right = "choose another --out, or remove it with --fresh"
        raise InputError(
            f"{out}: holds a table that was made otherwise: {'; '.join(told)}; {right}"
        )


def _chunks(sources: Mapping[str, Documents]) -> Iterator[Chunk]:
    """Parts of all sources, in order."""
    for name, documents in sources.items():
        for first in range(0, len(documents), PART):
            yield Chunk(name, first, min(PART, len(documents) - first))


def _there(out: Path, chunk: Chunk, made: str) -> PartEntry | None:
    """Entry of a part that is there, whole and made by the same; None where it is to be made."""
    path = out / chunk.name
    if not path.is_file():
        return None
    try:
        table, by = read_part(path)
    except InputError:
        return None
    if by != made or table.num_rows != chunk.count:
        return None
    return PartEntry(chunk.name, chunk.source, chunk.count, checksum(path))


def _without_others(out: Path, entries: list[PartEntry]) -> None:
    """Remove parts of a table that this one replaced."""
    own = {entry.name for entry in entries}
    for path in out.glob("*.parquet"):
        if _PART.fullmatch(path.name) and path.name not in own:
            path.unlink()


class _Maker:
    """Losses of documents under frozen models, a batch of documents at a time."""

    def __init__(
        self, stage: StageConfig, writing: Writing, sources: Mapping[str, Documents],
        losses: Mapping[str, LossesOf], device: str, batch: int,
    ) -> None:  # fmt: skip
        self.writing, self.sources, self.losses = writing, sources, losses
        self.device, self.batch = device, batch
        strength = strengths(map(Strength.read, stage.interaction))
        self.strength = None if strength is None else strength.to(device)

    def rows(self, chunk: Chunk) -> Iterator[DocumentLosses]:
        """Rows of a part, in the order of its documents."""
        documents = self.sources[chunk.source]
        numbers = np.arange(chunk.first, chunk.first + chunk.count)
        # documents of like length share a forward pass, so that little is padded
        order = numbers[np.argsort(documents.lengths()[numbers], kind="stable")]
        found: dict[int, DocumentLosses] = {}
        for start in range(0, len(order), self.batch):
            own = order[start : start + self.batch].tolist()
            tokens = [self.writing.tokens(documents[number]) for number in own]
            for number, one, losses in zip(own, tokens, self._of(tokens), strict=True):
                place = tuple(documents.places[number].tolist())
                found[number] = DocumentLosses(
                    chunk.source, one.name, place, mark_of(one), losses
                )  # fmt: skip
        return (found[number] for number in numbers.tolist())

    def _of(self, tokens: list[Tokens]) -> Iterator[dict[str, Float32[np.ndarray, " labels"]]]:
        """Losses of each document's labels, by model."""
        config = self.writing.config
        batch = TrainingBatch(collate(tokens, config.sequence, config.model.image.size))
        batch = batch.to(self.device)
        columns = {
            name: losses(batch, self.strength)[0].float().cpu().numpy()
            for name, losses in self.losses.items()
        }
        for row, one in enumerate(tokens):
            own = {name: column[row][_labels(one)] for name, column in columns.items()}
            for name, values in own.items():
                if not np.isfinite(values).all():
                    wrong = f"losses of {name} are not finite in {one.name}"
                    right = "its training diverged, or it is damaged: name another model"
                    raise InputError(f"{wrong}; {right}")
            yield own


def _labels(tokens: Tokens) -> Int64[np.ndarray, " labels"]:
    """Places of a document's labels: before each supervised token, of which its first is none."""
    return np.flatnonzero(tokens.loss[1:])


def _summed(found: Written, out: Path, entries: list[PartEntry]) -> Written:
    """Counts and means over all parts."""
    sums = dict.fromkeys(found.models, 0.0)
    labels = 0
    for entry in entries:
        table, _ = read_part(out / entry.name)
        for name in sums:
            values = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            sums[name] += float(values.sum(dtype=np.float64))
        labels += len(values)
    mean = {name: total / max(1, labels) for name, total in sums.items()}
    documents = sum(entry.documents for entry in entries)
    return replace(found, documents=documents, labels=labels, mean=mean)
