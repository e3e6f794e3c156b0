"""Shards: webdataset tars of clips, and a Parquet index that says what is in them.

The index is the truth: a tar counts once the index names it, so a run that is killed at any moment loses only the tar
it was writing, and the next run writes that tar again, byte for byte the same. A film never straddles two tars.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import CallFault, InputFault
from omni_lab.triplets.record import EncodedClip, Triplet

INDEX = "index.parquet"


class ShardFault(InputFault):
    """A shard, a member of it or the index is missing or broken; the message names it."""


class ShardWriter:
    """Write clips, film by film, into a folder of shards; go on where an earlier run ended.

    Raises
    ------
    CallFault
        the folder holds clips that were made with other settings
    """

    def __init__(self, out: str | Path, config_hash: str, clips_per_shard: int = 256):
        self.out, self.config_hash, self.clips_per_shard = Path(out), config_hash, clips_per_shard
        if self.out.exists() and not self.out.is_dir():
            raise CallFault(f"{out}: is a file; clips are written into a folder")
        self.out.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict] = read_index(self.out) if (self.out / INDEX).exists() else []
        others = {row["config_hash"] for row in self.rows} - {config_hash}
        if others:
            raise CallFault(f"{out}: holds clips made with other settings ({others.pop()}); choose another folder")
        self.sources = {row["source_id"]: row["uri"] for row in self.rows}
        self._number = 1 + max((int(row["shard"][6:12]) for row in self.rows), default=-1)
        self._tar: tarfile.TarFile | None = None
        self._new: list[dict] = []
        for leftover in [*self.out.glob("*.tmp"), self.out / self.name]:  # also a tar that never reached the index
            leftover.unlink(missing_ok=True)

    @property
    def name(self) -> str:
        """Name of the shard that is being written."""
        return f"shard-{self._number:06d}.tar"

    def add(self, clips: Iterable[EncodedClip]) -> int:
        """Write all clips of one film and return how many there were; the shard that is full then is closed."""
        count = 0
        for clip in clips:
            if self._tar is None:
                temporary = self.out / f"{self.name}.tmp"
                self._tar = tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed in close()
            for suffix, data in _members(clip):
                member = tarfile.TarInfo(f"{clip.clip_id}.{suffix}")  # no time, no owner: the same bytes every time
                member.size = len(data)
                self._tar.addfile(member, io.BytesIO(data))
            self._new.append(_row(clip, self.name))
            count += 1
        self.sources.update((row["source_id"], row["uri"]) for row in self._new[-count:] if count)
        if len(self._new) >= self.clips_per_shard:
            self.close()
        return count

    def close(self) -> None:
        """Finish the open shard: rename it, then name it in the index."""
        if self._tar is None:
            return
        self._tar.close()
        _publish(self.out / f"{self.name}.tmp", self.out / self.name)
        self.rows += self._new
        write_index(self.rows, self.out)
        self._tar, self._new = None, []
        self._number += 1

    def abort(self) -> None:
        """Throw the open shard away; its films are done again by the next run."""
        if self._tar is not None:
            self._tar.close()
            (self.out / f"{self.name}.tmp").unlink(missing_ok=True)
            self._tar, self._new = None, []


def read_shards(folder: str | Path) -> Iterator[Triplet]:
    """Read every clip of a folder as arrays, in the order of the index.

    Raises
    ------
    ShardFault
        naming the tar and the member that is missing or broken
    """
    for clip, shard in _read(Path(folder)):
        try:
            yield clip.decode()
        except (ValueError, TypeError) as error:
            raise ShardFault(f"{shard}: {clip.clip_id}: {error}") from None


def read_clips(folder: str | Path) -> Iterator[EncodedClip]:
    """Read every clip of a folder as it lies there, pictures not decoded, in the order of the index.

    Raises
    ------
    ShardFault
    """
    return (clip for clip, _ in _read(Path(folder)))


def read_index(folder: str | Path) -> list[dict]:
    """Read the index: one row per clip, in order.

    Raises
    ------
    ShardFault
        there is none, or it cannot be read
    """
    import pyarrow
    import pyarrow.parquet

    path = Path(folder) / INDEX
    if not path.is_file():
        raise ShardFault(f"{folder}: holds no {INDEX}; build triplets into it first")
    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ShardFault(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None


def write_index(rows: list[dict], folder: str | Path) -> None:
    """Write the index, in one step."""
    import pyarrow
    import pyarrow.parquet

    number, text, flag = pyarrow.int64(), pyarrow.string(), pyarrow.bool_()
    types = {
        "clip_id": text, "shard": text, "source_id": text, "uri": text, "start": number, "end": number,
        "frames": number, "image": flag, "audio": flag, "text": flag, "errors": number, "config_hash": text,
    }  # fmt: skip
    temporary = Path(folder) / f"{INDEX}.tmp"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(types)), temporary)
    _publish(temporary, Path(folder) / INDEX)


def _publish(temporary: Path, final: Path) -> None:
    """Give a finished file its name: whoever sees the name sees the whole file."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, final)


def _row(clip: EncodedClip, shard: str) -> dict:
    """Summarise a clip for the index."""
    record, source = clip.record, clip.record["source"]
    return {
        "clip_id": clip.clip_id, "shard": shard, "source_id": source["id"], "uri": source["uri"],
        "start": record["start"], "end": record["end"], "frames": len(clip.jpegs),
        **{kind: kind in record["has"] for kind in ("image", "audio", "text")},
        "errors": len(source["errors"]), "config_hash": record["config_hash"],
    }  # fmt: skip


def _members(clip: EncodedClip) -> Iterator[tuple[str, bytes]]:
    """Give the files of one clip: suffix and bytes."""
    yield "json", json.dumps(clip.record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    for i, jpeg in enumerate(clip.jpegs):
        yield f"{i:03d}.jpg", jpeg
    if clip.audio is not None:
        yield "flac", _to_flac(clip.audio)


def _to_flac(audio: Int16[np.ndarray, " samples"]) -> bytes:
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, audio, TICKS_PER_SECOND, format="FLAC", subtype="PCM_16")
    return data.getvalue()


def _from_flac(data: bytes) -> Int16[np.ndarray, " samples"]:
    import soundfile

    audio, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    if rate != TICKS_PER_SECOND or audio.ndim != 1:
        raise ValueError(f"sound at {rate} Hz with shape {audio.shape}, not {TICKS_PER_SECOND} Hz mono")
    return audio


def _read(folder: Path) -> Iterator[tuple[EncodedClip, Path]]:
    """Walk through the tars in the order of the index, clip by clip."""
    shards: dict[str, list[dict]] = {}
    for row in read_index(folder):
        shards.setdefault(row["shard"], []).append(row)
    for name, rows in shards.items():
        path = folder / name
        try:
            with tarfile.open(path, "r:") as tar:
                for row in rows:
                    yield _read_clip(tar, row, path), path
        except FileNotFoundError:
            raise ShardFault(f"{path}: is missing, but {INDEX} names it") from None
        except tarfile.TarError as error:
            raise ShardFault(f"{path}: is broken ({error})") from None


def _read_clip(tar: tarfile.TarFile, row: dict, path: Path) -> EncodedClip:
    """Read the members of one clip, which lie next to each other."""

    def member(suffix: str) -> bytes:
        wanted = f"{row['clip_id']}.{suffix}"
        found = tar.next()
        if found is None or found.name != wanted:
            raise ShardFault(f"{path}: lacks {wanted}" + (f" (found {found.name} in its place)" if found else ""))
        data = tar.extractfile(found).read()
        if len(data) != found.size:
            raise ShardFault(f"{path}: {wanted} is cut off")
        return data

    import soundfile

    suffix = "json"
    try:
        record = json.loads(member(suffix))
        jpegs = []
        for i in range(row["frames"]):
            jpegs.append(member(f"{i:03d}.jpg"))
        suffix = "flac"
        audio = _from_flac(member(suffix)) if row["audio"] else None
    except (ValueError, soundfile.LibsndfileError) as error:
        raise ShardFault(f"{path}: {row['clip_id']}.{suffix} is broken ({error})") from None
    return EncodedClip(row["clip_id"], record, tuple(jpegs), audio)
