"""Parquet index of a folder of shards: one row per clip, and a ledger of films and shards.

The index is the truth: a tar counts once the index names it, and a film is done once the ledger, in
the file's metadata, has it, also one whose clips were all dropped. It is verifiable to the byte:
the ledger holds a digest of itself and of each shard's rows, and the same rows and ledger are
always the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.errors import InputError
from omni_lab.storage import atomic_write, canonical_json
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.members import BLOCK, filled, suffixes

if TYPE_CHECKING:
    import pyarrow

INDEX = "index.parquet"
_LEDGER = b"omni_lab"  # key of the ledger in the file's metadata
COLUMNS = {
    "clip_id": "string",
    "shard": "string",  # file name of the tar
    "offset": "int64",  # of the clip's first header in the tar, bytes
    "sizes": "list",  # of the clip's members in order, bytes
    "crc32": "list",  # of the same members
    "source_id": "string",
    "uri": "string",
    "start": "int64",  # ticks on the source's clock
    "end": "int64",
    "frames": "int64",
    "image": "bool",
    "audio": "bool",
    "text": "bool",
    "errors": "int64",  # number of decoding errors in the film
    "picture_hash": "string",  # for near-duplicates, 16 hexadecimal digits; null without frames
    "sound_hash": "string",  # the same of the audio
}


class ShardError(InputError):
    """Missing or damaged shard, member or index; the message names it."""


@dataclass(frozen=True)
class FilmEntry:
    """Ledger entry of one film: kept clips, their duration, dropped clips."""

    source_id: str
    uri: str
    clips: int  # in shards
    ticks: int  # total duration of these clips
    errors: tuple[str, ...] = ()  # decoding errors of a damaged film that gave clips all the same
    dropped: dict[str, str] = field(default_factory=dict)  # clip_id: reason
    text: str = ""  # digest of the subtitle and truth files beside it; empty without any


@dataclass(frozen=True)
class ShardEntry:
    """Ledger entry of one finished tar: size and digests."""

    name: str
    size: int  # bytes
    blake2b: str  # of the whole tar
    rows: str  # digest of its rows in the index


@dataclass(frozen=True)
class Index:
    """Parquet index in memory: rows of clips, and the ledger of films and shards."""

    config_hash: str  # of the settings that decide what clips contain
    writer: str  # version of pyarrow: another one may write the same rows as other bytes
    table: pyarrow.Table
    films: tuple[FilmEntry, ...] = ()
    shards: tuple[ShardEntry, ...] = ()

    @classmethod
    def empty(cls, config_hash: str) -> Index:
        """Index without clips."""
        import pyarrow

        return cls(config_hash, pyarrow.__version__, _schema().empty_table())

    @classmethod
    def load(cls, folder: str | Path) -> Index:
        """Index of a folder of shards.

        Raises
        ------
        ShardError
            no such folder, no index in it, no Parquet file, or a ledger that fails its digest
        """
        path = Path(folder) / INDEX
        if not path.parent.is_dir():
            raise ShardError(f"{folder}: there is no such folder of shards")
        if not path.is_file():
            raise ShardError(f"{folder}: holds no {INDEX}; build triplets into it first")
        return cls.parse(path.read_bytes(), path)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Index:
        """Index from the bytes of its file; `path` is for messages only.

        Raises
        ------
        ShardError
            no Parquet file, columns or ledger missing, or a ledger that fails its digest
        """
        import pyarrow
        import pyarrow.parquet

        try:
            # not `read_table`, which starts a thread whatever it is told: one that is still
            # starting when the process ends aborts it
            file = pyarrow.parquet.ParquetFile(
                pyarrow.BufferReader(data),
                pre_buffer=False,
                page_checksum_verification=True,
                thrift_string_size_limit=1 << 30,
            )
            table = file.read(use_threads=False)
            ledger = json.loads((table.schema.metadata or {}).get(_LEDGER, b"{}"))
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
            why = (str(error) or repr(error)).splitlines()[0]
            raise ShardError(f"{path}: unreadable as a Parquet index ({why})") from None

        lacks = set(COLUMNS) - set(table.column_names)
        if lacks or "digest" not in ledger:
            what = f"column {min(lacks)}" if lacks else "ledger"
            raise ShardError(
                f"{path}: has no {what}; an earlier version wrote it: "
                "build the triplets again elsewhere"
            )
        if ledger.pop("digest") != digest(ledger):
            raise ShardError(f"{path}: damaged ledger of films and shards (its digest differs)")

        films = tuple(
            FilmEntry(**{**film, "errors": tuple(film["errors"])}) for film in ledger["films"]
        )
        shards = tuple(ShardEntry(**shard) for shard in ledger["shards"])
        table = pyarrow.Table.from_arrays(table.select(list(COLUMNS)).columns, schema=_schema())
        return cls(ledger["config_hash"], ledger["writer"], table, films, shards)

    def rows(self) -> Iterator[dict]:
        """Rows in order, one dict per clip, converted a batch at a time."""
        for batch in self.table.to_batches(max_chunksize=4096):
            yield from batch.to_pylist()

    def rows_by_shard(self) -> Iterator[tuple[str, list[dict]]]:
        """Rows grouped by tar: name and rows, in order."""
        for name, rows in groupby(self.rows(), key=lambda row: row["shard"]):
            yield name, list(rows)

    def to_bytes(self) -> bytes:
        """Bytes of the Parquet file, the same for the same rows and ledger."""
        import pyarrow
        import pyarrow.parquet

        ledger = {
            "config_hash": self.config_hash,
            "writer": self.writer,
            "films": [_entry(film) for film in self.films],
            "shards": [asdict(shard) for shard in self.shards],
        }
        ledger["digest"] = digest(ledger)

        sink = pyarrow.BufferOutputStream()
        with pyarrow.parquet.ParquetWriter(
            sink, _schema(), store_schema=False, write_page_checksum=True
        ) as file:
            # in one chunk, however many runs the rows came from: the bytes must not show it
            file.write_table(self.table.combine_chunks())
            file.add_key_value_metadata({_LEDGER: canonical_json(ledger)})
        return sink.getvalue().to_pybytes()

    def write(self, folder: Path) -> None:
        """Atomic write of the index into a folder."""
        atomic_write(folder / INDEX, self.to_bytes())


def read_index(folder: str | Path) -> list[dict]:
    """Rows of the index of a folder: one per clip, in order; `COLUMNS` documents the keys.

    Raises
    ------
    ShardError
        the index is missing or damaged
    """
    return list(Index.load(folder).rows())


def table_of(rows: list[dict]) -> pyarrow.Table:
    """Arrow table of rows, with the columns and types of the index."""
    import pyarrow

    return pyarrow.Table.from_pylist(rows, schema=_schema())


def row_of(
    clip: EncodedClip, shard: str, offset: int, sizes: list[int], crc32: list[int]
) -> dict[str, Any]:
    """Index row of a clip: identity, place in the tar, modalities, hashes."""
    record, source = clip.record, clip.record["source"]
    return {
        "clip_id": clip.clip_id, "shard": shard, "offset": offset, "sizes": sizes, "crc32": crc32,
        "source_id": source["id"], "uri": source["uri"],
        "start": record["start"], "end": record["end"], "frames": len(clip.jpegs),
        **{kind: kind in record["has"] for kind in ("image", "audio", "text")},
        "errors": len(source["errors"]),
        **{name: record["quality"].get(name) for name in ("picture_hash", "sound_hash")},
    }  # fmt: skip


def places(row: dict) -> Iterator[tuple[str, int, int, int]]:
    """Name, offset of the header (bytes), size (bytes) and CRC-32 of each member, in order."""
    at = row["offset"]
    names = suffixes(row["frames"], row["audio"])
    for suffix, size, crc in zip(names, row["sizes"], row["crc32"], strict=True):
        yield f"{row['clip_id']}.{suffix}", at, size, crc
        at += BLOCK + filled(size)


def _entry(film: FilmEntry) -> dict:
    """Ledger entry of a film as JSON values; one without text beside it has no such key."""
    return {key: value for key, value in asdict(film).items() if key != "text" or value}


def digest(data: Any) -> str:
    """BLAKE2b digest (32 hex digits) of a JSON value in its canonical form."""
    return hashlib.blake2b(canonical_json(data), digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """BLAKE2b digest (32 hex digits) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _schema() -> pyarrow.Schema:
    import pyarrow

    types = {
        "string": pyarrow.string(), "int64": pyarrow.int64(), "bool": pyarrow.bool_(),
        "list": pyarrow.list_(pyarrow.field("element", pyarrow.int64())),
    }  # fmt: skip
    return pyarrow.schema({name: types[kind] for name, kind in COLUMNS.items()})
