"""Copy of a shard without some of its clips: what is replaced leaves the tar, the rest keeps its bytes.

The copy gets a name of its own. So the index, written once, switches from the old tar to the new
one, and until then the old tar is whole.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from omni_lab.storage import rename_into_place
from omni_lab.triplets.shards.index import (
    INDEX,
    ShardEntry,
    ShardError,
    digest,
    digest_of_file,
    places,
)  # fmt: skip
from omni_lab.triplets.shards.members import BLOCK, write_member


def copy_clips(folder: Path, rows: Sequence[dict], name: str) -> tuple[ShardEntry, list[dict]]:
    """New shard with the clips of some rows, members byte for byte as they are.

    Parameters
    ----------
    folder : of the shards
    rows : of the index, at least one
    name : file name of the new tar

    Returns
    -------
    ledger entry of the new tar, and the rows with the clips' new places

    Raises
    ------
    ShardError
        a tar or a member is missing or damaged
    """
    temporary = folder / f"{name}.tmp"
    moved = []
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows:
            moved.append({**row, "shard": name, "offset": tar.offset})
            for (member, *_), data in zip(places(row), read_members(folder, row), strict=True):
                write_member(tar, member, data)
    return finished(temporary, name, moved), moved


def finished(temporary: Path, name: str, rows: list[dict]) -> ShardEntry:
    """Ledger entry of a whole tar, which takes its final name."""
    size, whole = temporary.stat().st_size, digest_of_file(temporary)
    rename_into_place(temporary, temporary.with_name(name))
    return ShardEntry(name, size, whole, digest(rows))


def read_members(folder: str | Path, row: dict) -> list[bytes]:
    """Bytes of a clip's members, read by their offsets in the tar and checked.

    Raises
    ------
    ShardError
        the tar or a member is missing or damaged; the message names it
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
                    raise ShardError(f"{path}: {name} is broken: its CRC-32 differs from the index")
                members.append(data)
    except FileNotFoundError:
        raise ShardError(f"{path}: is missing, but {INDEX} names it") from None
    return members
