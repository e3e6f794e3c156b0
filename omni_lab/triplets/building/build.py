"""Dataset build, resumable: media files to shards of clips, each failed file with its reason.

Worker processes decode and cut the films, here or on a cluster; this process filters the clips and
writes the shards, in the order of the films. So the shards depend on the films and the settings,
not on the number of workers or on interruptions.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from omni_lab.config import TripletConfig, config_hash
from omni_lab.errors import UsageError
from omni_lab.progress import tracked
from omni_lab.storage import atomic_write, canonical_json, half_written
from omni_lab.triplets.building.current import (
    CHANGED,
    ORPHANED,
    REMADE,
    is_current,
    orphans,
    replaced_by,
)  # fmt: skip
from omni_lab.triplets.building.engines import ENGINES, in_order
from omni_lab.triplets.building.quality import Sieve, unseen
from omni_lab.triplets.building.report import (
    ALREADY,
    FAILURES,
    REPORT,
    Report,
    failures_bytes,
    read_failures,
    report_bytes,
    summary,
)  # fmt: skip
from omni_lab.triplets.building.search import find, passed_over
from omni_lab.triplets.building.workers import Built, Failure, Job
from omni_lab.triplets.cutting.cut import check_lengths
from omni_lab.triplets.cutting.film import Work, clips_of_film, content_settings
from omni_lab.triplets.cutting.listen import check_listening
from omni_lab.triplets.shards.index import FilmEntry
from omni_lab.triplets.shards.members import read_spool
from omni_lab.triplets.shards.tars import ShardWriter

SPOOL = ".spool"  # folder of one tar per film whose clips are not in a shard yet
NO_TEXT = "its name is not UTF-8, as JSON records need it; rename the file"


def build(
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    config: TripletConfig | None = None,
    progress: bool = True,
    workers: int = 1,
    engine: str = "local",
    work: Work = clips_of_film,
) -> Report:
    """Build of films into shards of clips under `out`; run again, it resumes with unfinished films.

    Folders are searched for media files, in order of name. A file that fails, hangs or takes too
    much memory is recorded in `failures.jsonl` and in the report; the others go on. A film whose
    text has changed, or that is another one under the same path, is built again, and its new clips
    take the place of the old ones. Read the result with `read_shards(out)` or `ClipStream(out)`.

    Parameters
    ----------
    paths : files and folders, or one of them
    out : folder of the shards, created if missing
    config : segmentation, quality thresholds, and limits of one film (s, MB)
    progress : show a progress bar
    workers : films that are built at once
    engine : "local", processes of this machine, or "ray", a cluster; the shards are the same
    work : film to clips, a function that another process can import

    Raises
    ------
    UsageError
        `out` is a file, is not writable, holds clips made with other settings, or is in use by
        another build; `max_s` is less than twice `min_s`; there is no such engine; the settings ask
        for a package or checkpoint that is not installed
    ShardError
        the index or the failures of an earlier build in `out` are damaged
    """

    config = config or TripletConfig()
    check_lengths(config)
    check_listening(config)
    if engine not in ENGINES or workers < 1:
        raise UsageError(
            f"engine {engine!r} with {workers} workers: the engines are {', '.join(ENGINES)}, "
            "with 1 worker or more"
        )

    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    found = find(paths)
    others = passed_over(paths, found, out)
    # records are UTF-8: other names fail here, under an escaped uri
    uris = {str(path): str(path).encode(errors="backslashreplace").decode() for path in found}
    named = [path for path, uri in uris.items() if path == uri]
    failures = [Failure(uri, "BadName", NO_TEXT) for path, uri in uris.items() if path != uri]
    settings = config_hash(content_settings(config))

    with _on_disk(out), ShardWriter(out, settings, config.clips_per_shard) as writer:
        tried = set(uris.values())
        before = [failure for failure in read_failures(writer.out) if failure.uri not in tried]
        (writer.out / REPORT).unlink(missing_ok=True)  # a folder without a report is unfinished
        for name in (FAILURES, REPORT):
            for leftover in half_written(writer.out / name):
                leftover.unlink()
        spool = _emptied(writer.out / SPOOL)
        run = _Run(writer, Sieve(config, writer.index.rows(), writer.clip), failures)

        try:
            while named:
                jobs = (Job(path, str(Path.cwd()), config, work) for path in named)
                pool = ENGINES[engine](workers, writer.sources)
                with closing(in_order(pool, jobs, workers, spool)) as outcomes:
                    for outcome, place in tracked(outcomes, "films", "film", len(named), progress):
                        run.take(outcome, place)
                named = run.finish()
        finally:
            shutil.rmtree(spool)
            atomic_write(writer.out / FAILURES, failures_bytes(before + failures))

        summed = summary(writer.index, before + failures, run.skipped, others)
        atomic_write(writer.out / REPORT, report_bytes(summed))

    films = run.films
    return Report(
        str(out),
        clips=sum(film.clips for film in films),
        films=len(films),
        dropped=tuple(pair for film in films for pair in film.dropped.items()),
        failures=tuple(failures),
        skipped=tuple(run.skipped),
        damaged=tuple((film.uri, film.errors) for film in films if film.errors),
        passed_over=tuple(others.items()),
        replaced=tuple(run.replaced),
    )


class _Run:
    """One run of a build: takes the outcome of each film in order, and keeps account of them.

    Parameters
    ----------
    writer : of the shards
    sieve : quality filter that knows the clips in them
    failures : list to which failed films are added
    """

    def __init__(self, writer: ShardWriter, sieve: Sieve, failures: list[Failure]):
        self.writer, self.sieve, self.failures = writer, sieve, failures
        self.films: list[FilmEntry] = []
        self.skipped: list[tuple[str, str]] = []  # path and reason
        self.replaced: list[tuple[str, str]] = []  # the same
        self._found: dict[str, str] = {}  # content of every readable file of this run, by its path
        self._before: dict[str, set[str]] = defaultdict(set)  # content that a path had
        for film in writer.index.films:
            self._before[film.uri].add(film.source_id)
        self._mark_orphans()

    def take(self, outcome: Built | Failure, spool: Path) -> None:
        """Outcome of the next film: a failure, clips that are up to date, or new ones in a tar."""
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
            return

        self._found[outcome.uri] = outcome.source_id
        for earlier in self._before[outcome.uri] - {outcome.source_id}:
            self.sieve.forget(earlier)  # a film that was edited is no copy of what it was

        known = self.writer.sources.get(outcome.source_id)
        if known is not None and (not spool.exists() or self._is_current(known, outcome)):
            why = ALREADY if known.uri == outcome.uri else f"same content as {known.uri}"
            other = ", and the text beside it is left out" if known.text != outcome.text else ""
            self.skipped.append((outcome.uri, why + other))
            return
        if known is not None:
            self.replaced.append((outcome.uri, ORPHANED if known.text == ORPHANED else REMADE))
            self.sieve.forget(outcome.source_id)
        self.films.append(self._add(outcome, spool))

    def finish(self) -> list[str]:
        """End of the last shard, without the clips of films that were replaced under their names.

        Returns
        -------
        paths of this run's films that are to be built again: they were copies of what is gone
        """
        for film in replaced_by(self._found, list(self.writer.sources.values())):
            self.replaced.append((film.uri, f"{CHANGED}; {film.clips} clips of before are gone"))
            self.writer.remove(film.source_id)
        self.writer.close()
        again = [uri for uri in self._mark_orphans() if uri in self._found] if self.replaced else []
        self.skipped = [pair for pair in self.skipped if pair[0] not in again]
        return again

    def _mark_orphans(self) -> list[str]:
        """Films whose dropped clips are copies of nothing any more: none of them is up to date."""
        index = self.writer.index
        lost = orphans(index.films, index.table["clip_id"].to_pylist())
        for film in lost:
            self.writer.sources[film.source_id] = replace(film, text=ORPHANED)
        return [film.uri for film in lost]

    def _is_current(self, known: FilmEntry, outcome: Built) -> bool:
        """Whether a film that this run built has come out of another file with the same content."""
        twin = known.uri != outcome.uri and self._found.get(known.uri) == outcome.source_id
        return twin or is_current(known, outcome.uri, outcome.text, Path())

    def _add(self, film: Built, spool: Path) -> FilmEntry:
        """Quality filter of one film: kept clips go to the shard, dropped ones to the ledger."""
        clips = ticks = black = 0
        dropped: dict[str, str] = {}
        for clip, members in read_spool(spool):
            if heard := unseen(clip, self.sieve.config):
                clip, members = heard, [canonical_json(heard.record), members[-1]]
            why = self.sieve.judge(clip)
            if why is None:
                self.writer.add(clip, members)
                clips, ticks = clips + 1, ticks + clip.record["end"] - clip.record["start"]
                black += heard is not None
            else:
                dropped[clip.clip_id] = why

        errors = film.errors
        if black:
            errors += (f"{black} clips keep their sound only: their picture is black",)
        entry = FilmEntry(film.source_id, film.uri, clips, ticks, errors, dropped, film.text)
        self.writer.end_film(entry)
        return entry


def _emptied(folder: Path) -> Path:
    """Empty folder, cleared of the leftovers of a killed run."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


@contextmanager
def _on_disk(out: str | Path) -> Iterator[None]:
    """Disk errors, such as a full disk, as one line that names the folder."""
    try:
        yield
    except OSError as error:
        why = f"{error.filename or out}: {error.strerror or error}"
        raise UsageError(f"{why}; mend that and build again, or choose another folder") from error
