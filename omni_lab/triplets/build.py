"""From files and folders to shards of clips: every file ends in clips or in one line that says why not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from omni_lab.config import TripletConfig, config_hash
from omni_lab.media.decode import decode
from omni_lab.media.faults import MediaFault, MissingFile
from omni_lab.media.probe import content_id, open_media
from omni_lab.triplets.clips import clips_of
from omni_lab.triplets.cut import check_lengths
from omni_lab.triplets.shards import ShardWriter

FAILURES = "failures.jsonl"
# what a folder is searched for; a file that is named is tried whatever it is called
EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        "3gp", "aac", "avi", "flac", "flv", "m2ts", "m4a", "m4v", "mka", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg",
        "mts", "mxf", "oga", "ogg", "ogv", "opus", "ts", "vob", "wav", "webm", "wma", "wmv",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A file that gave no clip, and why."""

    uri: str
    fault: str  # name of the fault's type
    reason: str


@dataclass(frozen=True)
class Report:
    """What a build did."""

    out: str
    clips: int  # written by this run
    films: int  # that gave them
    failures: tuple[Failure, ...]
    skipped: tuple[tuple[str, str], ...]  # (uri, why): already built, or the same content under another name
    damaged: tuple[tuple[str, tuple[str, ...]], ...]  # (uri, errors): films that gave clips all the same

    @property
    def exit_code(self) -> int:
        """0 where every file gave clips, 1 where one failed."""
        return 1 if self.failures else 0


def build(
    paths: Iterable[str | Path], out: str | Path, config: TripletConfig | None = None, progress: bool = True
) -> Report:
    """Turn films into shards of clips under `out`; run again, it goes on with what is not done.

    Folders are searched for media files, in order of name. A file that fails is recorded in `failures.jsonl` and in
    the report; the others go on. Read the result with `read_shards(out)`.

    Parameters
    ----------
    paths : files and folders
    out : folder of the shards, made if it is not there
    config : how to cut and what to keep
    progress : show a progress bar

    Raises
    ------
    CallFault
        `out` is a file or holds clips that were made with other settings, or `max_s` is less than twice `min_s`
    """
    from tqdm import tqdm

    config = config or TripletConfig()
    check_lengths(config)
    failures: list[Failure] = []
    skipped: list[tuple[str, str]] = []
    damaged: list[tuple[str, tuple[str, ...]]] = []
    clips = films = 0
    writer = ShardWriter(out, config_hash(config), config.clips_per_shard)
    tried = list(find(paths))
    try:
        for path in tqdm(tried, desc="films", unit="film", disable=not progress):
            try:
                if path.is_dir():
                    raise MissingFile(path, "a folder without a film or a sound in it")
                with open_media(path):
                    source_id = content_id(path)
                if source_id in writer.sources:
                    known = writer.sources[source_id]
                    why = "already built" if known == str(path) else f"same content as {known}"
                    skipped.append((str(path), why))
                    continue
                film = decode(path, config)
                clips += writer.add(list(clips_of(film, config)))
                films += 1
                if film.source.errors:
                    damaged.append((str(path), film.source.errors))
            except MediaFault as fault:
                failures.append(Failure(str(path), type(fault).__name__, fault.reason))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one film, the others go on
                failures.append(Failure(str(path), type(error).__name__, f"cannot be built ({error})"))
        writer.close()
    finally:
        writer.abort()
        _write_failures(Path(out), failures, {str(path) for path in tried})
    return Report(str(out), clips, films, tuple(failures), tuple(skipped), tuple(damaged))


def find(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Give the files that are named, and the media files in the folders that are named, each once, in order."""
    seen: set[Path] = set()
    for path in map(Path, paths):
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        for file in inside or [path]:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _write_failures(out: Path, failures: list[Failure], tried: set[str]) -> None:
    """Write failures.jsonl in one step: this run's failures, and those of files that it did not try again."""
    path = out / FAILURES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["uri"] not in tried]
    kept += [json.dumps(vars(failure), ensure_ascii=False) for failure in failures]
    temporary = path.with_suffix(".jsonl.tmp")
    temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    os.replace(temporary, path)
