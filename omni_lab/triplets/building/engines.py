"""Execution engines: local worker processes or a Ray cluster, results in the order of the films.

Both engines are called from threads that each wait for one film at a time; they differ in where the
worker process runs. Since the order of the results does not depend on which worker was faster,
neither do the shards.
"""

from __future__ import annotations

import functools
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, runtime_checkable

from omni_lab.errors import UsageError
from omni_lab.triplets.building.workers import Built, Failure, Job, Worker
from omni_lab.triplets.shards.index import FilmEntry

LOOK_AHEAD = 4  # films per worker that may wait for an earlier one: it bounds the spool


@runtime_checkable
class Engine(Protocol):
    """Execution engine: builds one film, from any thread; `close()` stops unfinished ones."""

    def build(self, job: Job, spool: Path) -> Built | Failure: ...

    def close(self) -> None: ...


class LocalEngine:
    """Pool of worker processes on this machine.

    Parameters
    ----------
    workers : processes
    known : films in the shards by their source ids, looked up at each film
    """

    def __init__(self, workers: int, known: Mapping[str, FilmEntry]):
        self._known = known
        self._workers = [Worker() for _ in range(workers)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def build(self, job: Job, spool: Path) -> Built | Failure:
        """Build of one film in the first idle worker; its clips are written to the tar `spool`."""
        worker = self._idle.get()
        try:
            return worker.build(job, spool, self._known)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Shutdown of all worker processes."""
        for worker in self._workers:
            worker.close()


class RayEngine:
    """Tasks on a Ray cluster: the connected one or one that Ray finds, else one on this machine.

    Every node has omni_lab and sees the films under the same paths; the clips come back as bytes,
    so that only this node needs to see the folder of shards. Each task runs a separate worker
    process under the same limits.

    Parameters
    ----------
    workers : unused here, Ray schedules by free CPUs
    known : films in the shards by their source ids, at the start of the build

    Raises
    ------
    UsageError
        Ray is not installed
    """

    def __init__(self, workers: int, known: Mapping[str, FilmEntry]):
        try:
            import ray
        except ModuleNotFoundError:
            raise UsageError(
                "--engine ray: Ray is not installed; run pip install 'omni_lab[scale]'"
            ) from None
        self._ray, self._own = ray, not ray.is_initialized()
        if self._own:
            ray.init(log_to_driver=False, logging_level="error")
        self._task = ray.remote(num_cpus=1)(build_on_node)
        self._known = ray.put(dict(known))
        self._waiting: set = set()

    def build(self, job: Job, spool: Path) -> Built | Failure:
        """Build of one film on a free CPU; Ray restarts the task of a lost node."""
        task = self._task.remote(job, self._known)
        self._waiting.add(task)
        try:
            outcome, data = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            return Failure(
                job.path,
                "Crashed",
                f"Ray lost its task ({(str(error) or repr(error)).splitlines()[0]})",
            )
        finally:
            self._waiting.discard(task)
        if data is not None:
            spool.write_bytes(data)
        return outcome

    def close(self) -> None:
        """Cancellation of running tasks; a cluster that was joined here is left."""
        for task in list(self._waiting):
            self._ray.cancel(task, force=True)
        if self._own:
            self._ray.shutdown()


ENGINES = {"local": LocalEngine, "ray": RayEngine}


def build_on_node(job: Job, known: Mapping[str, FilmEntry]) -> tuple[Built | Failure, bytes | None]:
    """Ray task: build of one film in the node's worker process; clips as the bytes of a tar."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "film.tar"
        outcome = _worker_of_this_process().build(job, spool, known)
        whole = isinstance(outcome, Built) and spool.exists()
        return outcome, spool.read_bytes() if whole else None


@functools.cache
def _worker_of_this_process() -> Worker:
    return Worker()


def in_order(
    engine: Engine, jobs: Iterable[Job], workers: int, spool: Path
) -> Iterator[tuple[Built | Failure, Path]]:
    """Ordered parallel map over films: each outcome with the tar of its clips, in job order.

    A tar is deleted when the next outcome is requested. However the iteration ends, the engine is
    closed.

    Parameters
    ----------
    engine : builds one film per call
    jobs : read lazily, at most `LOOK_AHEAD * workers` ahead
    workers : films that are built at once
    spool : folder of the tars
    """
    pool = ThreadPoolExecutor(workers)
    waiting: deque = deque()
    try:
        for number, job in enumerate(jobs):
            place = spool / f"{number:06d}.tar"
            waiting.append((pool.submit(engine.build, job, place), place))
            if len(waiting) >= LOOK_AHEAD * workers:
                yield from _next(waiting)
        while waiting:
            yield from _next(waiting)
    finally:
        engine.close()
        pool.shutdown(cancel_futures=True)


def _next(waiting: deque) -> Iterator[tuple[Built | Failure, Path]]:
    future, place = waiting.popleft()
    yield future.result(), place
    place.unlink(missing_ok=True)
