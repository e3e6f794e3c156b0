"""Build report: failures.jsonl lists every file without a clip, report.json sums up the folder.

`report.json` follows from the index and from `failures.jsonl`, and is written last: a folder
without one is unfinished. It adds only what the last run skipped, because another file has the same
content, and what it passed over in folders.
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
    """Outcome of one run of a build: counts, dropped clips, failed, skipped and damaged films."""

    out: str
    clips: int  # written by this run
    films: int  # built by this run
    dropped: tuple[tuple[str, str], ...]  # (clip_id, reason)
    failures: tuple[Failure, ...]
    # (uri, reason): already built, or the same content under another name
    skipped: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, tuple[str, ...]], ...]  # (uri, errors): films with clips all the same
    # (extension, number): files in searched folders that are no films
    passed_over: tuple[tuple[str, int], ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()  # (uri, reason): films whose old clips are gone

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 0 if every file gave clips, 1 if one failed."""
        return 1 if self.failures else 0


def read_failures(out: Path) -> list[Failure]:
    """Failures of earlier runs from failures.jsonl; empty without that file.

    Raises
    ------
    ShardError
        a line of it is no JSON object of a failure
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
    """Bytes of failures.jsonl: one JSON line per file."""
    return "".join(
        f"{json.dumps(asdict(failure), ensure_ascii=False)}\n" for failure in failures
    ).encode()


def summary(
    index: Index,
    failures: list[Failure],
    skipped: list[tuple[str, str]],
    passed_over: dict[str, int],
) -> dict:
    """Summary of a folder of shards: its contents, dropped clips with reasons, failures."""
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
    if passed_over:
        data["passed_over"] = passed_over
    return {**data, "digest": digest(data)}


def report_bytes(summed: dict) -> bytes:
    """Bytes of report.json."""
    return (json.dumps(summed, indent=2, ensure_ascii=False) + "\n").encode()


def kind_of(why: str) -> str:
    """Category of a drop reason: its words up to a number or the clip that it refers to.

    >>> kind_of("black picture 0.98 > 0.95"), kind_of("near-duplicate of 0a1b_0_16000")
    ('black picture', 'near-duplicate')
    """
    return re.match(r"(.+?)(?= of | -?\d|$)", why).group()
