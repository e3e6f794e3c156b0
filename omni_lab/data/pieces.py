"""Pieces of clips: cut to a stage's length, measured by index and text record alone.

A piece is laid out twice by the same code: once with blank frames and silence of the right number
and length, which tells its tokens without decoding, and once with its own when its row is due.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from omni_lab.data.table import Table
from omni_lab.data.writing import Writing, with_role
from omni_lab.triplets.record import EncodedClip, Triplet, cue_from
from omni_lab.triplets.shards.index import INDEX, Index, ShardError, places
from omni_lab.triplets.shards.members import BLOCK

ROW, SHARD, START, END, LENGTH = range(5)  # columns of the table of pieces
CHUNK = 256  # rows of the index that are objects at a time, beside those of one shard
LONG, IDLE, EMPTY = "longer than a row", "with nothing to learn", "in an empty shard"


@dataclass
class Findings:
    """What the pieces of a folder hold, for messages and checks."""

    modalities: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    texts: int = 0  # pieces with supervised text

    def plain(self) -> dict:
        """The same as plain JSON."""
        return {
            "modalities": sorted(self.modalities), "roles": sorted(self.roles), "texts": self.texts
        }  # fmt: skip


def pieces_of(folder: Path, index: Index, writing: Writing) -> Table:
    """Table of the pieces that a stage can use: row of the index, shard, start, end, tokens.

    Raises
    ------
    ShardError
        a tar or a record is missing or damaged
    """
    found: list[tuple[int, int, int, int, int]] = []
    left_out: Counter[str] = Counter()
    findings = Findings()
    first = shards = 0

    for shard, rows in _rows_by_shard(index):
        for place, (row, record) in enumerate(records(folder / shard, rows), first):
            for start, end, length, lack in _measured(row, record, writing, findings):
                if lack is None:
                    found.append((place, shards, start, end, length))
                else:
                    left_out[lack] += 1
        first, shards = first + len(rows), shards + 1

    if empty := len(index.shards) - shards:
        left_out[EMPTY] += empty
    return Table(np.array(found, np.int64).reshape(-1, 5), left_out, findings.plain())


def _rows_by_shard(index: Index) -> Iterator[tuple[str, list[dict]]]:
    """Rows grouped by tar, few of them as objects at a time: an index may hold millions."""
    batches = index.table.to_batches(max_chunksize=CHUNK)
    rows = (row for batch in batches for row in batch.to_pylist())
    for name, group in groupby(rows, key=lambda row: row["shard"]):
        yield name, list(group)


def records(tar: Path, rows: list[dict]) -> Iterator[tuple[dict, dict]]:
    """Rows of one tar with the text record of each clip, checked against its CRC-32.

    Raises
    ------
    ShardError
        the tar or a record is missing or damaged
    """
    try:
        with open(tar, "rb") as file:
            for row in rows:
                name, offset, size, crc = next(places(row))
                file.seek(offset + BLOCK)
                data = file.read(size)
                if len(data) < size:
                    raise ShardError(f"{tar}: {name} is cut off")
                if zlib.crc32(data) != crc:
                    message = "is broken: its CRC-32 differs from the index"
                    raise ShardError(f"{tar}: {name} {message}")
                yield row, json.loads(data)
    except FileNotFoundError:
        raise ShardError(f"{tar}: is missing, but {INDEX} names it") from None


def spans(duration: int, writing: Writing) -> list[tuple[int, int]]:
    """Pieces of a clip, in ticks from its start: cut between units, the rest with the last.

    Parameters
    ----------
    duration : of the clip, ticks
    """
    units = max(1, (duration + writing.unit // 2) // writing.unit)
    edges = list(range(0, units * writing.unit, writing.piece))
    return list(zip(edges, [*edges[1:], duration], strict=True))


def blank(record: dict) -> Triplet:
    """Clip of a text record, with blank frames and silence that take no memory.

    Raises
    ------
    KeyError, TypeError
        the record lacks a key, or has a value of another type
    """
    duration, times, has = record["end"] - record["start"], record["frame_times"], record["has"]
    return Triplet(
        source_id=record["source"]["id"],
        start=record["start"],
        end=record["end"],
        frames=np.broadcast_to(np.uint8(0), (len(times), 1, 1, 3)),
        frame_times=np.array(times, np.int64),
        audio=np.broadcast_to(np.float32(0), (duration if "audio" in has else 0,)),
        cues=tuple(cue_from(cue) for cue in record["cues"]),
        has=frozenset(has),
        quality=record["quality"],
    )


def reduced(clip: EncodedClip, start: int, end: int, writing: Writing) -> EncodedClip:
    """The clip without frames outside a piece and without modalities that the stage does not read.

    What is left out here is never decoded.
    """
    record, reads = clip.record, writing.modalities
    inside = [
        place
        for place, time in enumerate(record["frame_times"])
        if "image" in reads and start <= time < end
    ]
    has = set(record["has"]) & reads - (set() if inside else {"image"})
    record = {
        **record,
        "frame_times": [record["frame_times"][place] for place in inside],
        "has": sorted(has),
    }
    audio = clip.audio if "audio" in reads else None
    return replace(
        clip, record=record, jpegs=tuple(clip.jpegs[place] for place in inside), audio=audio
    )


def piece(clip: Triplet, start: int, end: int, writing: Writing) -> Triplet:
    """Piece of a clip with the modalities that the stage reads.

    In the omni stream, text without a known speaker is the model's (see `with_role`).
    """
    if writing.streams:
        clip = with_role(clip, writing.config.sequence.model_role)
    if (start, end) != (0, clip.duration):
        last = clip.duration - 1  # a cue may begin where its film ends
        cues = (replace(cue, start=min(cue.start, last)) for cue in clip.cues)
        clip = replace(clip, cues=tuple(cues)).window(start, end)

    reads = writing.modalities
    frames = slice(None if "image" in reads else 0)
    return replace(
        clip,
        has=clip.has & reads,
        frames=clip.frames[frames],
        frame_times=clip.frame_times[frames],
        audio=clip.audio if "audio" in reads else clip.audio[:0],
    )


def _measured(
    row: dict, record: dict, writing: Writing, findings: Findings
) -> Iterator[tuple[int, int, int, str | None]]:
    """Start and end (ticks), tokens, and what is lacking, of every piece of a clip."""
    present = {name for name in ("image", "audio", "text") if row[name]}
    duration = row["end"] - row["start"]
    if (lack := writing.lack(present)) is not None:
        yield 0, duration, 0, lack
        return

    try:
        clip = blank(record)
    except (KeyError, TypeError, ValueError) as error:
        broken = f"{row['clip_id']}.json is no record of a clip ({error!r})"
        raise ShardError(f"{row['shard']}: {broken}") from None
    for start, end in spans(duration, writing):
        yield start, end, *_tokens(piece(clip, start, end, writing), writing, findings)


def _tokens(clip: Triplet, writing: Writing, findings: Findings) -> tuple[int, str | None]:
    """Tokens of a piece, and what it lacks."""
    # its clip has text, but not every second of it: to listen only is learned too
    if (lack := writing.lack(clip.has | {"text"})) is not None:
        return 0, lack
    sequence = writing.lay_out(clip)
    length = writing.length(sequence)
    if length > writing.row:
        return length, LONG
    if not any(item.loss for item in sequence.items):
        return length, IDLE

    findings.modalities |= clip.has
    findings.roles |= {cue.role for cue in clip.cues if cue.role}
    findings.texts += any(item.loss and item.kind == "text" for item in sequence.items)
    return length, None
