"""Shards: webdataset tars of clips beside the index that says what is in them.

A run that is killed at any moment loses only the tar it was writing, and the next run writes that tar again, byte for
byte the same. A film never straddles two tars. A clip is read by its place, without reading what lies before it.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from omni_lab.errors import UsageError
from omni_lab.storage import rename_into_place
from omni_lab.triplets.record import EncodedClip, Triplet
from omni_lab.triplets.shards.index import (
    INDEX,
    FilmEntry,
    Index,
    ShardEntry,
    ShardError,
    digest,
    digest_of_file,
    places,
    read_index,
    row_of,
    table_of,
)  # fmt: skip
from omni_lab.triplets.shards.members import BLOCK, clip_from, suffixes, write_member


class ShardWriter:
    """Write clips, film by film, into a folder of shards; go on where an earlier run ended.

    Use it in a `with` statement: a tar that is open at its end is thrown away, its films are done again by the next
    run. One writer at a time holds a folder.

    Raises
    ------
    UsageError
        the folder holds clips that were made with other settings or tars that are not ours, or another build is writing
        into it
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
        self.sources = {film.source_id: film.uri for film in self.index.films}
        self._tar: tarfile.TarFile | None = None
        self._rows: list[dict] = []
        self._films: list[FilmEntry] = []
        # what a run that was killed left: a tar that is not whole, or never reached the index
        for leftover in [*self.out.glob("shard-*.tar.tmp"), self.out / self.name]:
            leftover.unlink(missing_ok=True)

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
        """Name of the shard that is being written."""
        return f"shard-{len(self.index.shards):06d}.tar"

    def add(self, clip: EncodedClip, members: Sequence[bytes]) -> None:
        """Write one clip, given with the bytes of its files."""
        if self._tar is None:
            temporary = self.out / f"{self.name}.tmp"
            self._tar = tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed in close()
        offset = self._tar.offset
        for suffix, data in zip(
            suffixes(len(clip.jpegs), clip.audio is not None), members, strict=True
        ):
            write_member(self._tar, f"{clip.clip_id}.{suffix}", data)
        sizes, sums = [len(data) for data in members], [zlib.crc32(data) for data in members]
        self._rows.append(row_of(clip, self.name, offset, sizes, sums))

    def end_film(self, film: FilmEntry) -> None:
        """Note that all clips of a film are written; a shard that is full is then closed."""
        self._films.append(film)
        self.sources[film.source_id] = film.uri
        if len(self._rows) >= self.clips_per_shard:
            self.close()

    def close(self) -> None:
        """Finish the open shard: rename it, then name it, and the films that are done, in the index."""
        import pyarrow

        if not self._films:
            return
        shards = self.index.shards
        if self._tar is not None:
            self._tar.close()
            temporary = self.out / f"{self.name}.tmp"
            entry = ShardEntry(
                self.name, temporary.stat().st_size, digest_of_file(temporary), digest(self._rows)
            )
            rename_into_place(temporary, self.out / self.name)
            shards = (*shards, entry)
        index = replace(
            self.index,
            writer=pyarrow.__version__,
            table=pyarrow.concat_tables([self.index.table, table_of(self._rows)]),
            films=(*self.index.films, *self._films),
            shards=shards,
        )
        index.write(self.out)
        self.index, self._tar, self._rows, self._films = index, None, [], []

    def _opened(self, config_hash: str) -> Index:
        """Give the folder's index; there is one before the first tar, so tars without an index are somebody else's."""
        if (self.out / INDEX).exists():
            index = Index.load(self.out)
            if index.films:
                if index.config_hash != config_hash:
                    message = f"holds clips made with other settings ({index.config_hash})"
                    raise UsageError(f"{self.out}: {message}; choose another folder")
                return index
        elif any(self.out.glob("*.tar")):
            raise UsageError(
                f"{self.out}: holds tars, but no {INDEX} that names them; choose another folder"
            )
        index = Index.empty(config_hash)
        index.write(self.out)
        return index


def read_shards(folder: str | Path) -> Iterator[Triplet]:
    """Read every clip of a folder as arrays, in the order of the index.

    Raises
    ------
    ShardError
        naming the tar and the member that is missing or broken
    """
    return (
        decoded(read_clip(folder, row), Path(folder) / row["shard"]) for row in read_index(folder)
    )


def read_clips(folder: str | Path) -> Iterator[EncodedClip]:
    """Read every clip of a folder as it lies there, pictures not decoded, in the order of the index.

    Raises
    ------
    ShardError
    """
    return (read_clip(folder, row) for row in read_index(folder))


def read_clip(folder: str | Path, row: dict) -> EncodedClip:
    """Read the clip of one row of the index, and nothing else of its tar.

    Raises
    ------
    ShardError
    """
    path = Path(folder) / row["shard"]
    members = []
    try:
        with open(path, "rb") as tar:
            for name, offset, size, crc in places(row):
                tar.seek(offset + BLOCK)
                data = tar.read(size)
                if len(data) < size:
                    raise ShardError(f"{path}: {name} is cut off")
                if zlib.crc32(data) != crc:
                    raise ShardError(f"{path}: {name} is broken: not the bytes that were written")
                members.append(data)
        return clip_from(row["clip_id"], members, row["audio"])
    except FileNotFoundError:
        raise ShardError(f"{path}: is missing, but {INDEX} names it") from None
    except ValueError as error:
        raise ShardError(f"{path}: {row['clip_id']}.{error}") from None


def decoded(clip: EncodedClip, shard: Path) -> Triplet:
    """Turn a clip into arrays; `shard` is named where that cannot be.

    Raises
    ------
    ShardError
    """
    try:
        return clip.decode()
    except (ValueError, TypeError) as error:
        raise ShardError(f"{shard}: {clip.clip_id}: {error}") from None


def _locked(folder: Path):
    """Hold a folder until the file that is returned is closed, also by a death of the process."""
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
