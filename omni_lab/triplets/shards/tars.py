"""Webdataset shards: crash-safe writer of tars with an index, and random access to clips.

A run that is killed at any moment loses only the tar it was writing, and the next run writes that
tar again, byte for byte the same. A film never straddles two tars. A clip is read by its offset,
without the bytes before it.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from omni_lab.errors import UsageError
from omni_lab.storage import half_written
from omni_lab.triplets.record import EncodedClip, Triplet
from omni_lab.triplets.shards.copying import copy_clips, finished, read_members
from omni_lab.triplets.shards.index import (
    INDEX,
    FilmEntry,
    Index,
    ShardEntry,
    ShardError,
    read_index,
    row_of,
    table_of,
)  # fmt: skip
from omni_lab.triplets.shards.members import clip_from, suffixes, write_member

if TYPE_CHECKING:
    import pyarrow


class ShardWriter:
    """Shard writer: clips, film by film, into tars with an index; resumes after an earlier run.

    Use it in a `with` statement: a tar still open at its end is discarded, and the next run builds
    its films again. One writer at a time locks a folder.

    Parameters
    ----------
    out : folder of the shards, created if missing
    config_hash : of the settings that decide what clips contain
    clips_per_shard : a tar is closed after the film with which it reaches this number

    Raises
    ------
    UsageError
        the folder holds clips made with other settings or tars without an index, or another build
        is writing into it
    ShardError
        the folder's index is damaged
    """

    def __init__(self, out: str | Path, config_hash: str, clips_per_shard: int = 256):
        self.out, self.clips_per_shard = Path(out), clips_per_shard
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"{out}: is a file; clips are written into a folder")

        self.out.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.out)
        try:
            self.index = self._opened(config_hash)
        except BaseException:
            self._lock.close()
            raise

        self.sources = {film.source_id: film for film in self.index.films}
        self._tar: tarfile.TarFile | None = None
        self._rows: list[dict] = []
        self._films: list[FilmEntry] = []
        self._replaced: set[str] = set()  # source ids whose clips in the index are out of date
        self._clear()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._tar is not None:
                self._tar.close()
                (self.out / f"{self.name}.tmp").unlink(missing_ok=True)
        finally:
            self._lock.close()

    @property
    def name(self) -> str:
        """File name of the shard that is being written."""
        return _named(self._number)

    @property
    def _number(self) -> int:
        """Number of the shard that is being written: one above all in the index."""
        return 1 + max((int(shard.name[6:-4]) for shard in self.index.shards), default=-1)

    def clip(self, clip_id: str) -> EncodedClip:
        """Encoded clip of a finished shard.

        Raises
        ------
        ShardError
            its tar or a member is missing or damaged
        """
        import pyarrow.compute

        place = pyarrow.compute.index(self.index.table["clip_id"], clip_id).as_py()
        (row,) = self.index.table.slice(place, 1).to_pylist()
        return read_clip(self.out, row)

    def add(self, clip: EncodedClip, members: Sequence[bytes]) -> None:
        """Append of one clip, given with the bytes of its members."""
        if self._tar is None:
            temporary = self.out / f"{self.name}.tmp"
            # closed in close()
            self._tar = tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        offset = self._tar.offset
        names = suffixes(len(clip.jpegs), clip.audio is not None)
        for suffix, data in zip(names, members, strict=True):
            write_member(self._tar, f"{clip.clip_id}.{suffix}", data)
        sizes, sums = [len(data) for data in members], [zlib.crc32(data) for data in members]
        self._rows.append(row_of(clip, self.name, offset, sizes, sums))

    def end_film(self, film: FilmEntry) -> None:
        """End of a film: it enters the ledger, in the place of an earlier entry of the same content.

        A full shard is closed.
        """
        if film.source_id in self.sources:
            self._replaced.add(film.source_id)
        self._films.append(film)
        self.sources[film.source_id] = film
        if len(self._rows) >= self.clips_per_shard:
            self.close()

    def remove(self, source_id: str) -> None:
        """Removal of a film and its clips, with the next `close`."""
        del self.sources[source_id]
        self._replaced.add(source_id)

    def close(self) -> None:
        """End of the open shard: rename of its tar, then a new index with its clips and films.

        What the new films replace is in neither from then on.
        """
        import pyarrow

        if not self._films and not self._replaced:
            return

        number, shards, table = self._number, self.index.shards, self.index.table
        added = []
        if self._tar is not None:
            self._tar.close()
            added = [finished(self.out / f"{self.name}.tmp", self.name, self._rows)]
        if self._replaced:
            shards, table = self._without_replaced(number + len(added))

        # after the rename: a tar counts only once the index names it
        films = (film for film in self.index.films if film.source_id not in self._replaced)
        self.index = replace(
            self.index,
            writer=pyarrow.__version__,
            table=pyarrow.concat_tables([table, table_of(self._rows)]),
            films=(*films, *self._films),
            shards=(*shards, *added),
        )
        self.index.write(self.out)
        if self._replaced:
            self._clear()
        self._tar, self._rows, self._films, self._replaced = None, [], [], set()

    def _without_replaced(self, number: int) -> tuple[list[ShardEntry], pyarrow.Table]:
        """Finished shards and their rows without the replaced films' clips.

        A shard that held one is copied without it, under a new number.

        Parameters
        ----------
        number : of the first copy
        """
        shards, rows = [], []
        entries = {shard.name: shard for shard in self.index.shards}
        for name, held in self.index.rows_by_shard():
            entry, kept = entries[name], held
            if any(row["source_id"] in self._replaced for row in held):
                kept = [row for row in held if row["source_id"] not in self._replaced]
                if not kept:
                    continue
                entry, kept = copy_clips(self.out, kept, _named(number))
                number += 1
            shards.append(entry)
            rows += kept
        return shards, table_of(rows)

    def _clear(self) -> None:
        """Removal of what the index does not name: leftovers of a killed run, replaced shards.

        These are tars with a number that this folder has used, and those that would come next.
        """
        for leftover in (*self.out.glob("shard-*.tar.tmp"), *half_written(self.out / INDEX)):
            leftover.unlink(missing_ok=True)
        named = {shard.name for shard in self.index.shards}
        for number in range(self._number):
            if _named(number) not in named:
                (self.out / _named(number)).unlink(missing_ok=True)
        for number in count(self._number):
            if not (self.out / _named(number)).exists():
                break
            (self.out / _named(number)).unlink()

    def _opened(self, config_hash: str) -> Index:
        """Index of the folder, created if missing.

        It is written before the first tar, so tars without an index come from another program.
        """
        if (self.out / INDEX).exists():
            index = Index.load(self.out)
            if index.films:
                if index.config_hash != config_hash:
                    message = f"holds clips made with other settings ({index.config_hash})"
                    raise UsageError(f"{self.out}: {message}; choose another folder")
                return index
        elif any(self.out.glob("*.tar")):
            raise UsageError(
                f"{self.out}: holds tars, but no {INDEX} that lists them; choose another folder"
            )
        index = Index.empty(config_hash)
        index.write(self.out)
        return index


def _named(number: int) -> str:
    return f"shard-{number:06d}.tar"


def read_shards(folder: str | Path) -> Iterator[Triplet]:
    """Decoded triplets of a folder of shards, in the order of the index.

    Raises
    ------
    ShardError
        the index, a tar or a member is missing or damaged; the message names it
    """
    folder = Path(folder)
    return (decoded(read_clip(folder, row), folder / row["shard"]) for row in read_index(folder))


def read_clips(folder: str | Path) -> Iterator[EncodedClip]:
    """Encoded clips of a folder of shards, in the order of the index.

    Raises
    ------
    ShardError
        the index, a tar or a member is missing or damaged; the message names it
    """
    return (read_clip(folder, row) for row in read_index(folder))


def read_clip(folder: str | Path, row: dict) -> EncodedClip:
    """Random access: the encoded clip of one row of the index, read by its offset in the tar.

    Raises
    ------
    ShardError
        the tar or a member is missing or damaged; the message names it
    """
    try:
        return clip_from(row["clip_id"], read_members(folder, row), row["audio"])
    except ValueError as error:
        path = Path(folder) / row["shard"]
        raise ShardError(f"{path}: {row['clip_id']}.{error}") from None


def decoded(clip: EncodedClip, shard: Path) -> Triplet:
    """Decoded triplet of a clip; `shard` is for messages only.

    Raises
    ------
    ShardError
        a JPEG does not decode, or the record lacks a key
    """
    try:
        return clip.decode()
    except (ValueError, TypeError) as error:
        raise ShardError(f"{shard}: {clip.clip_id}: {error}") from None


def _locked(folder: Path):
    """Exclusive lock on a folder, until the returned file is closed or the process dies."""
    import fcntl

    lock = open(folder / ".lock", "w")  # noqa: SIM115 - closed in __exit__
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UsageError(
            f"{folder}: another build is writing into it; wait for it or choose another folder"
        ) from None
    return lock
