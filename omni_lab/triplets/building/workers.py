"""One film at a time in a process of its own, because only a process can be stopped.

A worker process lives for many films, so that its imports are paid once. While it works, its time and its resident
memory are watched from outside (a limit on address space would be no limit on memory: FFmpeg's threads and torch
reserve far more than they use). A worker that overruns a limit, or dies, is ended, the film is recorded as failed, and
a new process takes the next one.
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
from collections.abc import Container
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from omni_lab.config import TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.errors import MediaError, MissingFileError
from omni_lab.media.probe import content_id
from omni_lab.triplets.cutting.film import Work, content_settings
from omni_lab.triplets.shards.members import write_clip

LOOK_EVERY_S = 0.05  # how often a working process is looked at
MEGABYTE = 1 << 20
BEGUN = "begun"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """One film to build."""

    path: str  # as it was named; recorded as the film's uri
    folder: str  # that a relative path counts from
    config: TripletConfig
    work: Work  # a function that another process can import
    source_id: str | None = None  # hash of the film's content, once known


@dataclass(frozen=True)
class Built:
    """A film whose clips lie in its spool; a film whose content was known has no spool."""

    uri: str
    source_id: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A file that gave no clip, and why."""

    uri: str
    fault: str  # name of the fault's type
    reason: str


class Worker:
    """A process that builds films, started when it is first needed and again whenever it had to be ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._pipe: Connection | None = None
        self._closed = False

    def build(self, job: Job, spool: Path, known: Container[str]) -> Built | Failure:
        """Build a film into a tar of its own, unless its content is known already.

        A process that dies or takes too much memory may have been spoilt by films before: the verdict is that of a
        fresh one.

        Raises
        ------
        UsageError
            the settings cannot be honoured here, such as a package that is missing
        """
        job = replace(job, source_id=_identify(Path(job.folder, job.path)))
        if job.source_id in known:
            return Built(job.path, job.source_id)
        fresh = self._process is None
        outcome = self._attempt(job, spool)
        if (
            not fresh
            and isinstance(outcome, Failure)
            and outcome.fault in ("OutOfMemory", "Crashed")
        ):
            outcome = self._attempt(job, spool)
        if isinstance(outcome, UsageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the process for good, whatever it is doing."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _attempt(self, job: Job, spool: Path) -> Built | Failure | UsageError:
        import psutil

        if self._process is None:
            self._start()
        limits = job.config
        try:
            self._pipe.send((job, str(spool)))
            self._pipe.recv()  # BEGUN: the film's time does not count from before the process is up
            deadline = time.monotonic() + limits.file_timeout_s
            watched = psutil.Process(self._process.pid)
            while not self._pipe.poll(LOOK_EVERY_S):
                if watched.memory_info().rss > limits.file_memory_mb * MEGABYTE:
                    reason = f"took more than {limits.file_memory_mb} MB of memory (triplets.file_memory_mb)"
                    return self._ended(job, "OutOfMemory", reason)
                if time.monotonic() > deadline:
                    reason = (
                        f"took longer than {limits.file_timeout_s:g} s (triplets.file_timeout_s)"
                    )
                    return self._ended(job, "TimedOut", reason)
            return self._pipe.recv()
        except (EOFError, OSError, psutil.NoSuchProcess):
            code = self._process.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return self._ended(job, "Crashed", f"its process ended with {how}")

    def _ended(self, job: Job, fault: str, reason: str) -> Failure:
        """End the process, so that the next film gets a new one, and say why."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._process = self._pipe = None
        return Failure(job.path, fault, reason)

    def _start(self) -> None:
        if self._closed:
            raise RuntimeError("this worker is closed")
        self._pipe, theirs = Pipe()
        call = f"from omni_lab.triplets.building.workers import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", call],
            # arithmetic on one thread rounds the same everywhere, and workers do not crowd each other
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        if self._closed:  # while the process was starting
            self._process.kill()


def serve(descriptor: int) -> None:
    """Build the films that come through a pipe until nobody is at its other end: what a worker process does."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the whole group: the parent answers it
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
    """Build one film; whatever is wrong with it becomes an answer."""
    try:
        os.chdir(job.folder)
        path = Path(job.path)
        if path.is_dir():
            raise MissingFileError(path, "a folder without a film or a sound in it")
        source, clips = job.work(path, content_settings(job.config), job.source_id)
        with tarfile.open(spool, "w", format=tarfile.USTAR_FORMAT) as tar:
            for clip in clips:
                write_clip(tar, clip)
        return Built(job.path, source.id, source.errors)
    except MediaError as fault:
        return Failure(job.path, type(fault).__name__, fault.reason)
    except UsageError as fault:
        return fault
    except MemoryError:
        return Failure(job.path, "OutOfMemory", "took more memory than there is")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one film, the others go on
        if (
            getattr(error, "errno", None) in NO_ROOM
        ):  # that is not the film's fault, and no other would go on
            return UsageError(
                f"{spool.parent}: {error.strerror}; make room there, then build again"
            )
        return Failure(
            job.path, type(error).__name__, f"cannot be built ({' '.join(str(error).split())})"
        )


def _identify(path: Path) -> str | None:
    """Hash a file; whatever is wrong with it, the process that opens it says."""
    try:
        return content_id(path) if path.is_file() else None
    except OSError:
        return None


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, however the parent ended.

    Elsewhere than on Linux a worker whose parent was killed ends after the film it is at.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
