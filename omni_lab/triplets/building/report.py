"""What a build did: failures.jsonl names every file that gave no clip, report.json sums up the folder.

`report.json` follows from the index and from `failures.jsonl`, and is written last: a folder without one is not
finished. The films that this run passed over because another file has the same content are all it adds.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.triplets.building.workers import Failure
from omni_lab.triplets.shards.index import Index, ShardError, digest

FAILURES = "failures.jsonl"
REPORT = "report.json"
ALREADY = "already built"


@dataclass(frozen=True)
class Report:
    """What one run of a build did."""

    out: str
    clips: int  # written by this run
    films: int  # that it built
    dropped: tuple[tuple[str, str], ...]  # (clip_id, why)
    failures: tuple[Failure, ...]
    skipped: tuple[
        tuple[str, str], ...
    ]  # (uri, why): already built, or the same content under another name
    damaged: tuple[
        tuple[str, tuple[str, ...]], ...
    ]  # (uri, errors): films that gave clips all the same

    @property
    def exit_code(self) -> int:
        """0 where every file gave clips, 1 where one failed."""
        return 1 if self.failures else 0


def read_failures(out: Path) -> list[Failure]:
    """Read failures.jsonl; none where there is no such file.

    Raises
    ------
    ShardError
        a line of it names no failure
    """
    path = out / FAILURES
    lines = path.read_bytes().splitlines() if path.is_file() else []
    try:
        return [Failure(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise ShardError(
            f"{path}: is broken ({error}); delete it, the same build writes it again"
        ) from None


def failures_bytes(failures: list[Failure]) -> bytes:
    """Give the bytes of failures.jsonl: one line per file."""
    return "".join(
        f"{json.dumps(asdict(failure), ensure_ascii=False)}\n" for failure in failures
    ).encode()


def summary(index: Index, failures: list[Failure], skipped: list[tuple[str, str]]) -> dict:
    """Sum up a folder of shards: what is in it, what was dropped and why, what failed."""
    dropped = {clip_id: why for film in index.films for clip_id, why in film.dropped.items()}
    data = {
        "clips": sum(film.clips for film in index.films),
        "films": len(index.films),
        "hours": round(sum(film.ticks for film in index.films) / TICKS_PER_SECOND / 3600, 4),
        "config_hash": index.config_hash,
        "dropped_by_reason": dict(sorted(Counter(map(kind_of, dropped.values())).items())),
        "dropped": dropped,
        "failures": [asdict(failure) for failure in failures],
        "skipped": [list(pair) for pair in skipped if pair[1] != ALREADY],
        "damaged": {film.uri: list(film.errors) for film in index.films if film.errors},
    }
    return {**data, "digest": digest(data)}


def report_bytes(summed: dict) -> bytes:
    """Give the bytes of report.json."""
    return (json.dumps(summed, indent=2, ensure_ascii=False) + "\n").encode()


def kind_of(why: str) -> str:
    """Name the kind of a reason: its words up to a number or the clip that it points to.

    >>> kind_of("black picture 0.98 > 0.95"), kind_of("near-duplicate of 0a1b_0_16000")
    ('black picture', 'near-duplicate')
    """
    return re.match(r"(.+?)(?= of | -?\d|$)", why).group()
