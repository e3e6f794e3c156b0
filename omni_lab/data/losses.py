"""Side table of reference losses on disk: parts in Parquet, and a manifest that says what made them.

A table is a folder. Each part has a row per document: its source, its name (a clip's id, a file and
its place), where it lies in the data, a CRC-32 of its tokens, and for every model the losses of its
supervised tokens (nats). `table.json` is written first, without parts; they appear one by one, each
whole or not at all, and are listed there when all are done.

The key of a table is what a loss depends on: the weights of each model, the settings that decide a
document's tokens, the vocabulary, modality strengths, the data. Row length, packing, batch size and
ranks are no part of it: attention is block-diagonal over the documents of a row, positions restart,
units are encoded one by one, so that a document's losses are the same beside any others. Strengths
that change over a stage break this, since losses would depend on the step: such a stage has no table.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from omni_lab.config import StageConfig, config_hash
from omni_lab.config.differences import Difference
from omni_lab.data.documents import Documents
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError, UsageError
from omni_lab.sequences.masking import Strength
from omni_lab.sequences.tokens import Tokens
from omni_lab.storage import atomic_write, write_json

if TYPE_CHECKING:
    import pyarrow

MANIFEST = "table.json"
_MADE_BY = b"omni_lab"  # key of a part's metadata


class DocumentLosses(NamedTuple):
    """Row of a table: one document, and the losses of its supervised tokens under every model."""

    source: str
    document: str
    place: tuple[int, ...]
    crc32: int
    losses: dict[str, Float32[np.ndarray, " labels"]]


class PartEntry(NamedTuple):
    """Entry of the manifest: one finished part."""

    name: str
    source: str
    documents: int
    crc32: str


def key_of(
    writing: Writing, stage: StageConfig, sources: Mapping[str, Documents]
) -> dict[str, Any]:
    """Key of a stage's losses, models aside: format, modality strengths, data; plain JSON.

    Raises
    ------
    UsageError
        strengths change over the stage, so that a document's losses depend on the step
    """
    strengths = {}
    for pair in map(Strength.read, stage.interaction):
        if pair.first != pair.last:
            wrong = (
                f"interaction {pair.query}>{pair.key} changes over the stage, and losses with it"
            )
            right = "leave selection.table empty: losses are then computed at every step"
            raise UsageError(f"stage {stage.name}: {wrong}; {right}")
        strengths[f"{pair.query}>{pair.key}"] = pair.first
    return {
        **writing.format,
        "interaction": {pair: one for pair, one in strengths.items() if one != 1},
        "data": {name: source.data for name, source in sources.items()},
    }


def unlike(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[Difference]:
    """Entries in which the key of a table differs from a stage's; further sources do no harm."""
    data = {f"data of source {name}": own for name, own in here["data"].items()}
    of_table = {f"data of source {name}": own for name, own in there.get("data", {}).items()}
    names = [name for name in {**there, **here} if name != "data"]
    pairs = [(name, there.get(name), here.get(name)) for name in names]
    pairs += [(name, of_table.get(name), own) for name, own in data.items()]
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def again(stage: StageConfig, path: Path | str, more: str = " --fresh") -> str:
    """The command that makes a stage's table, for messages."""
    call = f"omni-lab svlm table --stage {stage.name} --out {path}{more}"
    return f"make it with `{call}` and this run's --preset, --data and --set"


def mark_of(tokens: Tokens) -> int:
    """CRC-32 of a document's token ids, and of which of them are supervised."""
    ids = np.ascontiguousarray(tokens.ids, "<i8").tobytes()
    return zlib.crc32(np.packbits(tokens.loss).tobytes(), zlib.crc32(ids))


def read_manifest(path: Path, stage: StageConfig, finished: bool = True) -> dict[str, Any]:
    """Manifest of a table.

    Parameters
    ----------
    finished : refuse a table whose making was stopped

    Raises
    ------
    InputError
        there is none, it cannot be read, or the table is not finished
    """
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(f"{path}: no table of losses (no {MANIFEST}); {again(stage, path, '')}")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        listed = manifest["parts"]
        parts = [PartEntry(*entry) for entry in listed or ()]
        models = {
            name: {**one, "digest": one["digest"]} for name, one in manifest["models"].items()
        }
        key = {**manifest["key"], "data": {**manifest["key"]["data"]}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        wrong = f"no manifest of a table ({error!r})"
        raise InputError(f"{file}: {wrong}; {again(stage, path)}") from None
    if finished and listed is None:
        right = again(stage, path, "").replace("make it", "go on", 1)
        raise InputError(f"{path}: the table is not finished; {right}")
    return {"key": key, "models": models, "parts": parts}


def write_manifest(
    path: Path, key: Mapping[str, Any], models: Mapping[str, Any], parts: Sequence | None
) -> None:
    """Write the manifest of a table: without parts (None) when it is begun, with them at its end."""
    listed = None if parts is None else [list(part) for part in parts]
    write_json(path / MANIFEST, {"key": key, "models": models, "parts": listed})


def write_part(path: Path, rows: Sequence[DocumentLosses], made_by: str) -> PartEntry:
    """Write a part, whole or not at all; `made_by` is the digest of the table's key and models."""
    import pyarrow
    import pyarrow.parquet

    first = rows[0]
    columns: dict[str, Any] = {
        "source": pyarrow.array([row.source for row in rows], pyarrow.string()),
        "document": pyarrow.array([row.document for row in rows], pyarrow.string()),
        "place": pyarrow.array([row.place for row in rows], pyarrow.list_(pyarrow.int64())),
        "crc32": pyarrow.array([row.crc32 for row in rows], pyarrow.int64()),
    }
    for model in first.losses:
        lists = [row.losses[model] for row in rows]
        columns[model] = pyarrow.array(lists, pyarrow.list_(pyarrow.float32()))
    table = pyarrow.table(columns).replace_schema_metadata({_MADE_BY: made_by.encode()})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, write_page_checksum=True)
    data = sink.getvalue().to_pybytes()
    atomic_write(path, data)
    return PartEntry(path.name, first.source, len(rows), f"{zlib.crc32(data):08x}")


def read_part(path: Path, wanted: str | None = None) -> tuple[pyarrow.Table, str]:
    """Arrow table of a part, and what it was made by.

    Parameters
    ----------
    wanted : CRC-32 of the file's bytes, as the manifest has it; None does not compare

    Raises
    ------
    InputError
        the file is missing or damaged
    """
    import pyarrow
    import pyarrow.parquet

    try:
        data = path.read_bytes()
        if wanted is not None and f"{zlib.crc32(data):08x}" != wanted:
            raise InputError(f"{path}: damaged: its bytes are not those that were written")
        # not `read_table`, which starts a thread whatever it is told (see `shards.index`)
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data), pre_buffer=False)
        table = file.read(use_threads=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        why = (str(error) or repr(error)).splitlines()[0]
        raise InputError(f"{path}: unreadable as part of a table ({why})") from None
    return table, (table.schema.metadata or {}).get(_MADE_BY, b"").decode(errors="replace")


def made_by(key: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Digest of a table's key and of the models whose losses it holds."""
    return config_hash([key, {name: one["digest"] for name, one in models.items()}])
