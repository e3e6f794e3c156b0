"""Who is lost when ranks wait for each other: a board on which every rank that waits says so, again and again.

A rank that dies or stands still leaves the others waiting: its neighbours for it, their neighbours for them. None of
them knows more than whom it waits for itself. So every rank that waits keeps writing on a board that all can read (the
store by which the processes found each other). When patience ends, those that have stopped writing, or never began, are
the ones that are lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import torch.distributed as dist

from omni_lab.errors import OmniLabError

_LOOKS = 0.2  # share of patience that is kept for finding out who is lost


class RankLostError(OmniLabError):
    """A rank has died or stands still; the message names its process."""


class Heartbeats:
    """What processes that work together say of their waiting.

    Parameters
    ----------
    processes : which they are, by their rank among all
    timeout_s : after this long a rank that is waited for counts as lost, and all that wait have ended
    """

    def __init__(self, processes: list[int], timeout_s: float) -> None:
        self.processes, self.timeout_s = processes, timeout_s
        self._store = dist.PrefixStore(
            "omni_lab/waiting", dist.distributed_c10d._get_default_store()
        )
        self._lost, self._writing = "", threading.Lock()
        self._waits = threading.Event()
        self._period_s = min(1.0, timeout_s * _LOOKS / 5)
        threading.Thread(target=self._keep_writing, daemon=True).start()

    @contextmanager
    def waiting(self, process: int | None) -> Iterator[float]:
        """Wait inside the block for `process` (None: for any), no longer than the seconds that the block is given.

        Raises
        ------
        RankLostError
            in place of the RuntimeError with which a wait ends that was in vain
        """
        self._waits.set()
        most_s, started = self.timeout_s * (1 - _LOOKS), time.monotonic()
        try:
            yield most_s
        except RuntimeError as fault:
            broken = process is not None and time.monotonic() - started < most_s
            lost = self._find(process if broken else None)
            raise RankLostError(f"{_told(lost)} ({str(fault).splitlines()[0]})") from fault
        self._waits.clear()

    def _keep_writing(self) -> None:
        for number in count():
            self._waits.wait()
            try:
                self._write(number)
            except RuntimeError:  # the board itself is gone: whoever reads it will find that out
                return
            time.sleep(self._period_s)

    def _write(self, number: int = -1) -> None:
        with self._writing:
            self._store.set(str(dist.get_rank()), f"{number}|{self._lost}")

    def _read(self) -> dict[int, str]:
        """What the others have written last."""
        others = [p for p in self.processes if p != dist.get_rank()]
        return {
            p: self._store.get(str(p)).decode() if self._store.check([str(p)]) else ""
            for p in others
        }

    def _find(self, broken: int | None) -> str:
        """Who is lost, which the board is told too; process 0, which keeps it, where the board does not answer."""
        found = []

        def look() -> None:
            with suppress(RuntimeError):
                self._lost = self._silent() if broken is None else self._left(broken)
                found.append(self._lost)
                self._write()

        looking = threading.Thread(
            target=look, daemon=True
        )  # a board that stands still would keep who asks it
        looking.start()
        looking.join(self.timeout_s * _LOOKS)
        return found[0] if found else "0"

    def _silent(self) -> str:
        """Who writes nothing, or whom those have named that have left."""
        before = self._read()
        time.sleep(3 * self._period_s)
        after = self._read()
        if left := [lost for message in after.values() if (lost := _named(message))]:
            return left[0]
        return ", ".join(str(p) for p in after if after[p] == before[p])

    def _left(self, process: int) -> str:
        """Whom a process has named that broke the connection, or that process itself."""
        time.sleep(2 * self._period_s)
        return _named(self._read()[process]) or str(process)


def _named(message: str) -> str:
    """Whom a line on the board names as lost; empty where it says only that its writer waits."""
    return message.partition("|")[2]


def _told(lost: str) -> str:
    if not lost:
        return "every process answers, and all wait: for different things, as where only some take part in backward"
    if lost == str(dist.get_rank()):
        return f"process {lost}, this one, was waited for longer than the others have patience"
    return f"process {lost} does not answer: it has died, stands still, or never came here"
