"""Watchdog of a ring: heartbeats of the ranks that wait, from which a timeout names the lost one.

A rank that dies or hangs leaves the others waiting: its neighbours for it, their neighbours for
them. Each of them knows only the rank it waits for itself. So every waiting rank keeps writing
heartbeats into the store through which the processes found each other. When the timeout ends, the
ranks whose heartbeats have stopped, or never began, are the lost ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import torch.distributed as dist

from omni_lab.errors import OmniLabError

_SEARCH = 0.2  # fraction of the timeout that is kept for finding the lost rank


class RankLostError(OmniLabError):
    """Lost rank: it has died or hangs; the message names its process."""


class Heartbeats:
    """Heartbeats of the waiting processes of a ring, and the search for the lost one.

    Parameters
    ----------
    processes : global ranks of the ring's processes
    timeout_s : seconds after which a rank that others wait for counts as lost, and all waits end
    """

    def __init__(self, processes: list[int], timeout_s: float) -> None:
        self.processes, self.timeout_s = processes, timeout_s
        self._store = dist.PrefixStore(
            "omni_lab/waiting", dist.distributed_c10d._get_default_store()
        )
        self._lost, self._writing = "", threading.Lock()
        self._waits = threading.Event()
        self._period_s = min(1.0, timeout_s * _SEARCH / 5)
        threading.Thread(target=self._keep_writing, daemon=True).start()

    @contextmanager
    def waiting(self, process: int | None) -> Iterator[float]:
        """Wait, inside the block, for `process` (None: for any); yields the most seconds to wait.

        Raises
        ------
        RankLostError
            in place of the RuntimeError that ends a wait in vain
        """
        self._waits.set()
        most_s, started = self.timeout_s * (1 - _SEARCH), time.monotonic()
        try:
            yield most_s
        except RuntimeError as error:
            # a wait that ends early is a broken connection: then the neighbour is the suspect
            broken = process is not None and time.monotonic() - started < most_s
            lost = self._find(process if broken else None)
            message = f"{_in_words(lost)} ({str(error).splitlines()[0]})"
            raise RankLostError(message) from error
        self._waits.clear()

    def _keep_writing(self) -> None:
        """Heartbeat thread: one beat per period while this rank waits."""
        for number in count():
            self._waits.wait()
            try:
                self._write(number)
            except RuntimeError:  # the store itself is gone: the next search finds that out
                return
            time.sleep(self._period_s)

    def _write(self, number: int = -1) -> None:
        with self._writing:
            self._store.set(str(dist.get_rank()), f"{number}|{self._lost}")

    def _read(self) -> dict[int, str]:
        """Last heartbeat of every other process; empty where there was none."""
        others = [p for p in self.processes if p != dist.get_rank()]
        return {
            p: self._store.get(str(p)).decode() if self._store.check([str(p)]) else ""
            for p in others
        }

    def _find(self, broken: int | None) -> str:
        """Lost process, also written to the store; 0, which keeps the store, if it is silent."""
        found = []

        def look() -> None:
            with suppress(RuntimeError):
                self._lost = self._silent() if broken is None else self._left(broken)
                found.append(self._lost)
                self._write()

        # in a thread: a store that hangs would block this one for ever
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(self.timeout_s * _SEARCH)
        return found[0] if found else "0"

    def _silent(self) -> str:
        """Processes without a new heartbeat, or the one that others named before they left."""
        before = self._read()
        time.sleep(3 * self._period_s)
        after = self._read()
        if left := [lost for message in after.values() if (lost := _named(message))]:
            return left[0]
        return ", ".join(str(p) for p in after if after[p] == before[p])

    def _left(self, process: int) -> str:
        """Process that `process` named as lost before it broke the connection, else itself."""
        time.sleep(2 * self._period_s)
        return _named(self._read()[process]) or str(process)


def _named(message: str) -> str:
    """Lost process that a heartbeat names; empty where its writer only waits."""
    return message.partition("|")[2]


def _in_words(lost: str) -> str:
    if not lost:
        reason = "they wait for different things, as where only some take part in backward"
        return f"every process answers, and all wait: {reason}"
    if lost == str(dist.get_rank()):
        return f"process {lost}, this one, kept the others waiting longer than their timeout"
    return f"process {lost} does not answer: it has died, hangs, or never joined"
