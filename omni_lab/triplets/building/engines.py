"""Where films are built: in processes of this machine, or on a Ray cluster. The results come in the order of the films.

Both engines are threads that each wait for one film at a time; what differs is where the waiting worker is. Since the
order of the results does not depend on who was faster, neither does anything that is written from them.
"""

from __future__ import annotations

import functools
import tempfile
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, runtime_checkable

from omni_lab.errors import UsageError
from omni_lab.triplets.building.workers import Built, Failure, Job, Worker

LOOK_AHEAD = 4  # films per worker that may be waiting for an earlier one: what the spool can hold


@runtime_checkable
class Engine(Protocol):
    """Builds one film, from any thread; `close()` ends whatever is still being built."""

    def build(self, job: Job, spool: Path) -> Built | Failure: ...

    def close(self) -> None: ...


class LocalEngine:
    """Worker processes on this machine."""

    def __init__(self, workers: int, known: Collection[str]):
        self._known = known
        self._workers = [Worker() for _ in range(workers)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def build(self, job: Job, spool: Path) -> Built | Failure:
        """Build a film in the first worker that is idle."""
        worker = self._idle.get()
        try:
            return worker.build(job, spool, self._known)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()


class RayEngine:
    """Tasks on a Ray cluster: the one that is connected or that Ray finds, else one on this machine.

    Every node has omni_lab and sees the films under the same paths; the clips come back as bytes, so that no node but
    this one needs to see the folder of shards. A task is a worker process of its own under the same limits.

    Raises
    ------
    UsageError
        Ray is not installed
    """

    def __init__(self, workers: int, known: Collection[str]):
        try:
            import ray
        except ModuleNotFoundError:
            raise UsageError(
                "--engine ray: Ray is not installed; pip install 'omni_lab[scale]'"
            ) from None
        self._ray, self._own = ray, not ray.is_initialized()
        if self._own:
            ray.init(log_to_driver=False, logging_level="error")
        self._task = ray.remote(num_cpus=1)(build_on_node)
        self._known = ray.put(frozenset(known))
        self._waiting: set = set()

    def build(self, job: Job, spool: Path) -> Built | Failure:
        """Build a film wherever a CPU is free; a node that is lost is Ray's to replace."""
        task = self._task.remote(job, self._known)
        self._waiting.add(task)
        try:
            outcome, data = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            return Failure(
                job.path, "Crashed", f"Ray lost it ({(str(error) or repr(error)).splitlines()[0]})"
            )
        finally:
            self._waiting.discard(task)
        if data is not None:
            spool.write_bytes(data)
        return outcome

    def close(self) -> None:
        """Cancel what is still running, and leave the cluster if it was joined here."""
        for task in list(self._waiting):
            self._ray.cancel(task, force=True)
        if self._own:
            self._ray.shutdown()


ENGINES = {"local": LocalEngine, "ray": RayEngine}


def build_on_node(job: Job, known: frozenset[str]) -> tuple[Built | Failure, bytes | None]:
    """Build a film in this Ray task's worker process; give its clips as bytes."""
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
    """Build films, `workers` at once, and give each outcome with its spool, in the order of the jobs.

    A spool is deleted when the next outcome is asked for. However the iteration ends, the engine is closed.
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
