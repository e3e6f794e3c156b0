"""Worker processes with limits on time and memory: one film at a time, killed on overrun.

A worker process lives for many films, so that its imports are paid once. Its time and its resident
memory are watched from outside (a limit on address space would be no limit on memory: FFmpeg's
threads and torch reserve far more than they use). A worker that overruns a limit, or crashes, is
killed, the film is recorded as failed, and a new process takes the next one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from omni_lab.config import TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.errors import MediaError, MissingFileError
from omni_lab.triplets.building.current import identify, is_current, text_digest
from omni_lab.triplets.cutting.film import Work, content_settings
from omni_lab.triplets.shards.index import FilmEntry
from omni_lab.triplets.shards.members import write_clip

LOOK_EVERY_S = 0.05  # polling interval of a busy process
MEGABYTE = 1 << 20
BEGUN = "begun"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """Build job of one film, sent to a worker process."""

    path: str  # as given by the caller; recorded as the film's uri
    folder: str  # base of a relative path
    config: TripletConfig
    work: Work  # a function that another process can import
    source_id: str | None = None  # hash of the film's content, once known
    text: str = ""  # digest of the text beside it, once known


@dataclass(frozen=True)
class Built:
    """Built film: its clips lie in its tar; a film that is up to date has no tar."""

    uri: str
    source_id: str
    errors: tuple[str, ...] = ()
    text: str = ""  # digest of the text beside it


@dataclass(frozen=True)
class Failure:
    """Failed film: a file without a clip, and the reason."""

    uri: str
    fault: str  # name of the error's type
    reason: str


class Worker:
    """Worker process for builds, started at the first film and again after each kill."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._pipe: Connection | None = None
        self._closed = False

    def build(self, job: Job, spool: Path, known: Mapping[str, FilmEntry]) -> Built | Failure:
        """Build of one film into the tar `spool`, unless its clips are up to date.

        A process that crashes or takes too much memory may have been spoilt by earlier films: then
        a fresh process decides.

        Parameters
        ----------
        job : the film, the settings and the function that builds it
        spool : tar to write
        known : films in the shards by their source ids

        Raises
        ------
        UsageError
            the settings ask for a package or checkpoint that this machine lacks, or its disk is
            full
        """
        path, folder = Path(job.folder, job.path), Path(job.folder)
        text = text_digest(path, job.config.language)  # before the film: a later change counts
        job = replace(job, source_id=identify(path), text=text)
        film = known.get(job.source_id)
        if film is not None and is_current(film, job.path, text, folder):
            return Built(job.path, job.source_id, text=text)

        fresh = self._process is None
        outcome = self._attempt(job, spool)
        blamed = isinstance(outcome, Failure) and outcome.fault in ("OutOfMemory", "Crashed")
        if blamed and not fresh:
            outcome = self._attempt(job, spool)
        if isinstance(outcome, UsageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Shutdown of the process, also in the middle of a film."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _attempt(self, job: Job, spool: Path) -> Built | Failure | UsageError:
        import psutil

        if self._process is None:
            self._start()
        seconds, megabytes = job.config.file_timeout_s, job.config.file_memory_mb

        try:
            self._pipe.send((job, str(spool)))
            self._pipe.recv()  # BEGUN: start-up of the process is no time of the film
            deadline = time.monotonic() + seconds
            watched = psutil.Process(self._process.pid)

            while not self._pipe.poll(LOOK_EVERY_S):
                if watched.memory_info().rss > megabytes * MEGABYTE:
                    reason = f"took more than {megabytes} MB of memory (triplets.file_memory_mb)"
                    return self._ended(job, "OutOfMemory", reason)
                if time.monotonic() > deadline:
                    reason = f"took longer than {seconds:g} s (triplets.file_timeout_s)"
                    return self._ended(job, "TimedOut", reason)
            return self._pipe.recv()

        except (EOFError, OSError, psutil.NoSuchProcess):
            code = self._process.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return self._ended(job, "Crashed", f"its process ended with {how}")

    def _ended(self, job: Job, kind: str, reason: str) -> Failure:
        """Kill of the process, so that the next film gets a new one, recorded as a failure."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._process = self._pipe = None
        return Failure(job.path, kind, reason)

    def _start(self) -> None:
        if self._closed:
            raise RuntimeError("this worker is closed")
        self._pipe, remote = Pipe()
        call = f"from omni_lab.triplets.building.workers import serve; serve({remote.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", call],
            # arithmetic on one thread rounds the same everywhere, and workers do not compete
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            pass_fds=[remote.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        remote.close()
        if self._closed:  # by another thread, while the process was starting
            self._process.kill()


def serve(descriptor: int) -> None:
    """Main loop of a worker process: films come through a pipe until its other end is closed.

    Parameters
    ----------
    descriptor : file descriptor of the pipe's remote end, inherited from the parent
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent acts
    _end_with_parent()
    pipe = Connection(descriptor)
    while True:
        try:
            job, spool = pipe.recv()
        except EOFError:
            return
        pipe.send(BEGUN)
        pipe.send(_outcome(job, Path(spool)))


def _outcome(job: Job, spool: Path) -> Built | Failure | UsageError:
    """Build of one film in the worker process; every error becomes an outcome to send back."""
    try:
        os.chdir(job.folder)
        path = Path(job.path)
        if path.is_dir():
            raise MissingFileError(path, "a folder without media files in it")

        source, clips = job.work(path, content_settings(job.config), job.source_id)
        with tarfile.open(spool, "w", format=tarfile.USTAR_FORMAT) as tar:
            for clip in clips:
                write_clip(tar, clip)
        return Built(job.path, source.id, source.errors, job.text)

    except MediaError as error:
        return Failure(job.path, type(error).__name__, error.reason)
    except UsageError as error:
        return error
    except MemoryError:
        return Failure(job.path, "OutOfMemory", "took more memory than this machine has")
    except Exception as error:  # noqa: BLE001 - an error in one film must not stop the others
        # a full disk is no error of the film, and would fail every other one too
        if getattr(error, "errno", None) in NO_ROOM:
            why = f"{spool.parent}: {error.strerror}"
            return UsageError(f"{why}; make room there, then build again")
        why = " ".join(str(error).split())
        return Failure(job.path, type(error).__name__, f"unexpected error ({why})")


def _end_with_parent() -> None:
    """Parent-death signal (Linux): the kernel kills this process once its parent is gone.

    On other systems a worker whose parent was killed ends after its current film.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
