"""The index of a folder of shards: one row per clip, and in the file's metadata the ledger of films and shards.

The index is the truth: a tar counts once the index names it, and a film is done once the ledger has it, also one whose
clips were all dropped. It can be checked against itself to the byte: the ledger holds a digest of itself and of each
shard's rows, and the same rows and ledger are always the same bytes.
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
    "shard": "string",  # name of the tar
    "offset": "int64",  # of the clip's first header in the tar, bytes
    "sizes": "list",  # of the clip's files in their order, bytes
    "crc32": "list",  # of the same files
    "source_id": "string",
    "uri": "string",
    "start": "int64",  # ticks on the source's clock
    "end": "int64",
    "frames": "int64",
    "image": "bool",
    "audio": "bool",
    "text": "bool",
    "errors": "int64",  # of the film, counted
    "picture_hash": "string",  # what near-duplicates are found by; none where the clip has no picture
    "sound_hash": "string",  # or no sound
}


class ShardError(InputError):
    """A shard, a member of it or the index is missing or broken; the message names it."""


@dataclass(frozen=True)
class FilmEntry:
    """What became of one film."""

    source_id: str
    uri: str
    clips: int  # in shards
    ticks: int  # that they last
    errors: tuple[str, ...] = ()  # of a film that is damaged but gave clips all the same
    dropped: dict[str, str] = field(default_factory=dict)  # clip_id: why


@dataclass(frozen=True)
class ShardEntry:
    """One finished tar."""

    name: str
    size: int  # bytes
    blake2b: str  # of the whole tar
    rows: str  # digest of its rows in the index


@dataclass(frozen=True)
class Index:
    """Rows and ledger of a folder of shards."""

    config_hash: str  # of the settings that decide what clips are
    writer: str  # pyarrow's version: another one may write the same rows as other bytes
    table: pyarrow.Table
    films: tuple[FilmEntry, ...] = ()
    shards: tuple[ShardEntry, ...] = ()

    @classmethod
    def empty(cls, config_hash: str) -> Index:
        """The index of a folder without clips."""
        import pyarrow

        return cls(config_hash, pyarrow.__version__, _schema().empty_table())

    @classmethod
    def load(cls, folder: str | Path) -> Index:
        """Read the index of a folder.

        Raises
        ------
        ShardError
            there is none, or it cannot be read, or its ledger is not what was written
        """
        path = Path(folder) / INDEX
        if not path.parent.is_dir():
            raise ShardError(f"{folder}: there is no such folder of shards")
        if not path.is_file():
            raise ShardError(f"{folder}: holds no {INDEX}; build triplets into it first")
        return cls.parse(path.read_bytes(), path)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Index:
        """Read an index from its bytes; `path` is named in messages.

        Raises
        ------
        ShardError
        """
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(
                pyarrow.BufferReader(data),
                use_threads=False,  # a process that ends at once would abort in pyarrow's threads
                pre_buffer=False,
                page_checksum_verification=True,
                thrift_string_size_limit=1 << 30,
            )
            ledger = json.loads((table.schema.metadata or {}).get(_LEDGER, b"{}"))
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
            raise ShardError(
                f"{path}: cannot be read ({(str(error) or repr(error)).splitlines()[0]})"
            ) from None
        lacks = set(COLUMNS) - set(table.column_names)
        if lacks or "digest" not in ledger:
            what = f"column {min(lacks)}" if lacks else "ledger"
            raise ShardError(
                f"{path}: has no {what}; an earlier version wrote it: build the triplets again elsewhere"
            )
        if ledger.pop("digest") != digest(ledger):
            raise ShardError(f"{path}: its ledger of films and shards is not what was written")
        films = tuple(
            FilmEntry(**{**film, "errors": tuple(film["errors"])}) for film in ledger["films"]
        )
        shards = tuple(ShardEntry(**shard) for shard in ledger["shards"])
        table = pyarrow.Table.from_arrays(table.select(list(COLUMNS)).columns, schema=_schema())
        return cls(ledger["config_hash"], ledger["writer"], table, films, shards)

    def rows(self) -> Iterator[dict]:
        """Give the rows in order, a batch at a time."""
        for batch in self.table.to_batches(max_chunksize=4096):
            yield from batch.to_pylist()

    def rows_by_shard(self) -> Iterator[tuple[str, list[dict]]]:
        """Give the rows of each tar, in order."""
        for name, rows in groupby(self.rows(), key=lambda row: row["shard"]):
            yield name, list(rows)

    def to_bytes(self) -> bytes:
        """Give the bytes of the file."""
        import pyarrow
        import pyarrow.parquet

        ledger = {
            "config_hash": self.config_hash,
            "writer": self.writer,
            "films": [asdict(film) for film in self.films],
            "shards": [asdict(shard) for shard in self.shards],
        }
        ledger["digest"] = digest(ledger)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.parquet.ParquetWriter(
            sink, _schema(), store_schema=False, write_page_checksum=True
        ) as file:
            file.write_table(
                self.table.combine_chunks()
            )  # in one piece, however many runs it came from
            file.add_key_value_metadata({_LEDGER: canonical_json(ledger)})
        return sink.getvalue().to_pybytes()

    def write(self, folder: Path) -> None:
        """Write the file, in one step."""
        atomic_write(folder / INDEX, self.to_bytes())


def read_index(folder: str | Path) -> list[dict]:
    """Read the rows of an index: one per clip, in order; `COLUMNS` says what each holds.

    Raises
    ------
    ShardError
    """
    return list(Index.load(folder).rows())


def table_of(rows: list[dict]) -> pyarrow.Table:
    """Rows as a table of the index's columns."""
    import pyarrow

    return pyarrow.Table.from_pylist(rows, schema=_schema())


def row_of(
    clip: EncodedClip, shard: str, offset: int, sizes: list[int], crc32: list[int]
) -> dict[str, Any]:
    """Summarise a clip for the index."""
    record, source = clip.record, clip.record["source"]
    return {
        "clip_id": clip.clip_id, "shard": shard, "offset": offset, "sizes": sizes, "crc32": crc32,
        "source_id": source["id"], "uri": source["uri"], "start": record["start"], "end": record["end"],
        "frames": len(clip.jpegs), **{kind: kind in record["has"] for kind in ("image", "audio", "text")},
        "errors": len(source["errors"]),
        **{name: record["quality"].get(name) for name in ("picture_hash", "sound_hash")},
    }  # fmt: skip


def places(row: dict) -> Iterator[tuple[str, int, int, int]]:
    """Give name, offset of the header, size and CRC-32 of each file of a clip, in order."""
    at = row["offset"]
    names = suffixes(row["frames"], row["audio"])
    for suffix, size, crc in zip(names, row["sizes"], row["crc32"], strict=True):
        yield f"{row['clip_id']}.{suffix}", at, size, crc
        at += BLOCK + filled(size)


def digest(data: Any) -> str:
    """Take the digest (BLAKE2b, 32 hex digits) of a JSON value as `plain` writes it."""
    return hashlib.blake2b(canonical_json(data), digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """Take the digest (BLAKE2b, 32 hex digits) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _schema() -> pyarrow.Schema:
    import pyarrow

    types = {
        "string": pyarrow.string(), "int64": pyarrow.int64(), "bool": pyarrow.bool_(),
        "list": pyarrow.list_(pyarrow.field("element", pyarrow.int64())),
    }  # fmt: skip
    return pyarrow.schema({name: types[kind] for name, kind in COLUMNS.items()})
