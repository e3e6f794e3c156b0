"""Integrity check of a folder of shards, to the byte: damaged, missing, stale or unknown parts.

Everything in a folder is redundant. The index holds a digest of its ledger and of each shard's
rows, and is the same bytes when it is written again. Headers and padding of a tar follow from names
and sizes in the index, its data from checksums there, the whole of it from a digest. `report.json`
follows from the index and from `failures.jsonl`, and holds a digest of itself. The one exception is
an index that another version of pyarrow wrote: its bytes do not follow from its rows, so the
checksums of its pages and its ledger have to do.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from omni_lab.errors import InputError
from omni_lab.storage import half_written
from omni_lab.triplets.building.build import SPOOL
from omni_lab.triplets.building.report import (
    FAILURES,
    REPORT,
    failures_bytes,
    report_bytes,
    summary,
)
from omni_lab.triplets.building.workers import Failure
from omni_lab.triplets.shards.index import (
    INDEX,
    Index,
    ShardEntry,
    ShardError,
    digest,
    digest_of_file,
    places,
    row_of,
)
from omni_lab.triplets.shards.members import BLOCK, clip_from, filled, header


@dataclass(frozen=True)
class Damage:
    """One finding of the integrity check: file, member, byte offset, and what is wrong."""

    file: str  # name in the folder
    what: str
    member: str | None = None  # of a tar
    offset: int | None = None  # first wrong byte, or the first byte of the damaged member

    def __str__(self) -> str:
        place = [self.file, self.member, None if self.offset is None else f"byte {self.offset}"]
        return f"{': '.join(part for part in place if part)}: {self.what}"


def verify(folder: str | Path) -> Iterator[Damage]:
    """Integrity check of a folder of shards: its damages, in the order in which they are found.

    Raises
    ------
    InputError
        there is no such folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of shards")

    yield from _leftovers(folder)
    try:
        data = (folder / INDEX).read_bytes()
        index = Index.parse(data, folder / INDEX)
    except FileNotFoundError:
        yield Damage(INDEX, "is missing")
        return
    except ShardError as error:
        yield Damage(INDEX, str(error).removeprefix(f"{folder / INDEX}: "))
        return

    yield from _index(data, index)
    yield from _strangers(folder, index)
    rows = dict(index.rows_by_shard())
    for shard in index.shards:
        yield from _shard(folder, shard, rows.get(shard.name, []), index.config_hash)
    yield from _report(folder, index)


def _leftovers(folder: Path) -> Iterator[Damage]:
    """Leftovers of an interrupted build: temporary files and the spool."""
    halves = [path for name in (INDEX, FAILURES, REPORT) for path in half_written(folder / name)]
    for path in sorted([*folder.glob("shard-*.tar.tmp"), *halves, *folder.glob(SPOOL)]):
        yield Damage(
            path.name,
            "is left over from an interrupted build; the same build again clears it away",
        )


def _strangers(folder: Path, index: Index) -> Iterator[Damage]:
    """Tars that the index does not list."""
    named = {shard.name for shard in index.shards}
    for path in sorted(folder.glob("*.tar")):
        if path.name not in named:
            yield Damage(path.name, f"is not named in {INDEX}")


def _index(data: bytes, index: Index) -> Iterator[Damage]:
    """Self-consistency of the index: its bytes, the rows of each shard, the clips of each film."""
    import pyarrow

    if index.writer == pyarrow.__version__:
        again = index.to_bytes()
        if again != data:
            offset = _first_difference(again, data)
            yield Damage(INDEX, "its bytes do not follow from its rows", offset=offset)

    rows = dict(index.rows_by_shard())
    for shard in index.shards:
        if digest(rows.pop(shard.name, [])) != shard.rows:
            yield Damage(INDEX, f"the rows of {shard.name} differ from those written")
    for name in rows:
        yield Damage(INDEX, f"has rows of {name}, which its ledger does not list")

    clips = Counter(row["clip_id"] for row in index.rows())
    for clip_id in (clip_id for clip_id, count in clips.items() if count > 1):
        yield Damage(INDEX, f"names {clip_id} {clips[clip_id]} times")

    films = Counter(row["source_id"] for row in index.rows())
    for film in index.films:
        if films.pop(film.source_id, 0) != film.clips:
            yield Damage(
                INDEX, f"does not hold the {film.clips} clips of {film.uri} that its ledger counts"
            )
    for source_id in films:
        yield Damage(INDEX, f"holds clips of a film {source_id} that its ledger does not list")


def _shard(folder: Path, shard: ShardEntry, rows: list[dict], config_hash: str) -> Iterator[Damage]:
    """One tar against its rows in the index."""
    path = folder / shard.name
    if not path.is_file():
        yield Damage(shard.name, f"is missing, but {INDEX} names it")
        return
    found = path.stat().st_size
    if found != shard.size:
        yield Damage(shard.name, f"has {found} bytes, not the {shard.size} written")

    with open(path, "rb") as tar:
        damages = [damage for row in rows for damage in _clip(tar, row, config_hash)]
        end = rows[-1]["offset"] + _length(rows[-1]) if rows else 0
        damages += _zeros(tar, end, shard.size - end, shard.name, None)
    yield from damages
    # bytes that are neither in a clip nor padding, or a CRC-32 that hides a change
    if not damages and found == shard.size and digest_of_file(path) != shard.blake2b:
        yield Damage(shard.name, "differs from the file written")


def _clip(tar: BinaryIO, row: dict, config_hash: str) -> Iterator[Damage]:
    """One clip against its row: headers, checksums and padding, then the content of its members."""
    shard, members, whole = row["shard"], [], True
    for name, at, size, crc in places(row):
        tar.seek(at)
        head, data = tar.read(BLOCK), tar.read(size)

        expected = header(name, size)
        if head != expected:
            other = _named(head)
            if other not in (None, name):  # the offsets of all further members are wrong too
                yield Damage(shard, f"is missing (found {other} in its place)", name, at)
                return
            offset = at + _first_difference(expected, head)
            yield Damage(shard, "its header differs from the one written", name, offset)
            if not head:
                return

        if len(data) < size:
            yield Damage(shard, "is cut off", name, at + BLOCK)
            return
        if zlib.crc32(data) != crc:
            yield Damage(shard, f"its {size} bytes differ from those written", name, at + BLOCK)
            whole = False
        yield from _zeros(tar, at + BLOCK + size, filled(size) - size, shard, name)
        members.append(data)

    if whole:
        yield from _content(row, members, config_hash)


def _content(row: dict, members: list[bytes], config_hash: str) -> Iterator[Damage]:
    """Members of a clip decoded and compared with the row."""
    try:
        clip = clip_from(row["clip_id"], members, row["audio"])
        found = row_of(clip, row["shard"], row["offset"], row["sizes"], row["crc32"])
        found["clip_id"] = clip.record["clip_id"]
        found["config_hash"] = clip.record["config_hash"]
        clip.decode()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield Damage(row["shard"], f"does not decode ({error!r})", row["clip_id"], row["offset"])
        return

    for key, value in {**row, "config_hash": config_hash}.items():
        if found[key] != value:
            what = f"has {key} = {found[key]!r}, but {INDEX} has {value!r}"
            yield Damage(row["shard"], what, f"{row['clip_id']}.json", row["offset"])


def _report(folder: Path, index: Index) -> Iterator[Damage]:
    """The build report against itself, the index and failures.jsonl."""
    path = folder / REPORT
    if not path.is_file():
        yield Damage(REPORT, "is missing: the build did not finish; run it again")
        return

    data = path.read_bytes()
    try:
        report = json.loads(data)
        content = {key: value for key, value in report.items() if key != "digest"}
        written = report_bytes({**report, "digest": digest(content)})
        failures = [Failure(**failure) for failure in report["failures"]]
        skipped = [(uri, why) for uri, why in report["skipped"]]
        expected = summary(index, failures, skipped, report.get("passed_over", {}))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield Damage(REPORT, f"is no build report ({error!r})")
        return

    if data != written:
        offset = _first_difference(written, data)
        yield Damage(REPORT, "differs from the report written", offset=offset)
        return
    if report != expected:
        yield Damage(REPORT, f"does not agree with {INDEX}")
    listed = failures_bytes(failures)
    found = (folder / FAILURES).read_bytes() if (folder / FAILURES).is_file() else b""
    if found != listed:
        offset = _first_difference(listed, found)
        yield Damage(FAILURES, f"does not agree with {REPORT}", offset=offset)


def _zeros(tar: BinaryIO, at: int, count: int, file: str, member: str | None) -> Iterator[Damage]:
    """Padding of a tar, which must be zeros."""
    tar.seek(at)
    found = tar.read(max(0, count))
    if any(found):
        offset = at + len(found) - len(found.lstrip(b"\0"))
        yield Damage(file, "its padding is not zeros", member, offset)


def _length(row: dict) -> int:
    """Size of a clip in its tar, headers and padding included, bytes."""
    return sum(BLOCK + filled(size) for size in row["sizes"])


def _named(head: bytes) -> str | None:
    """Member name in a tar header; None where the header is damaged."""
    try:
        return tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape").name
    except tarfile.HeaderError:
        return None


def _first_difference(expected: bytes, found: bytes) -> int:
    """First index at which two byte strings differ; the shorter length if one is a prefix."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(expected, found, strict=False))
    )
