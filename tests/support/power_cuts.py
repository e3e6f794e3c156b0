"""Training runs whose power goes: right after a checkpoint, or at any write of the process.

Every write that Python makes below a folder is counted (by an audit hook, so that none is missed);
at a chosen one the file is left half written and all later writes fail, or the process is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omni_lab.training import checkpoint

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")
HALF = b'{"stage": "vis'  # what a torn write leaves


def stop_after(stage: str, step: int, run: Callable[[], object]) -> None:
    """Let `run` train until the checkpoint of that stage and step is written, and no further."""
    save = checkpoint.save

    def save_then_die(folder, place, *rest):
        save(folder, place, *rest)
        if (place.stage, place.step) == (stage, step):
            raise RuntimeError("the power went")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(RuntimeError, match="the power went"):
            run()


class PowerCut(BaseException):
    """The power went; no `except Exception` may catch it."""


class _Writes:
    """Writes below a folder, counted; the power goes at number `at`."""

    def __init__(self, folder: Path, at: int, end: Callable[[], None]) -> None:
        self.folder, self.at, self.end = str(folder), at, end
        self.count, self.cut = 0, False

    def hear(self, event: str, args: tuple) -> None:
        path = args[0] if args else None
        if not isinstance(path, str | Path) or not str(path).startswith(self.folder):
            return
        opened = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if not opened and event not in CHANGES:
            return
        if self.count == self.at and not self.cut:
            self.cut = True
            if opened:
                self._tear(str(path), args[2])
        if self.cut:
            self.end()
        self.count += 1

    def _tear(self, path: str, flags: int) -> None:
        """Leave half of what would have been written."""
        listening.clear()
        if flags & os.O_CREAT:  # files that are opened to be flushed are whole
            handle = os.open(path, flags, 0o666)
            os.write(handle, HALF)
            os.close(handle)
        listening.append(self)


listening: list[_Writes] = []


def _hook(event: str, args: tuple) -> None:
    for writes in tuple(listening):
        writes.hear(event, args)


sys.addaudithook(_hook)  # there is no way to take it out again


def _go_dark() -> None:
    raise PowerCut


@contextmanager
def power_cut(folder: Path, at: int) -> Iterator[_Writes]:
    """The power goes at write number `at` below `folder`, from 0; `cut` tells whether it did."""
    writes = _Writes(folder, at, _go_dark)
    listening.append(writes)
    try:
        yield writes
    except PowerCut:
        pass
    finally:
        listening.clear()


def killed_at(folder: Path, at: int, run: Callable[[], object]) -> bool:
    """Whether a process that does `run` is killed (SIGKILL) at write `at`, else it ends by itself."""
    child = os.fork()
    if child == 0:
        _run_until(folder, at, run)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "see the traceback above"
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _run_until(folder: Path, at: int, run: Callable[[], object]) -> None:
    listening.append(_Writes(folder, at, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    try:
        run()
    except BaseException:  # noqa: BLE001 - a child of a test must not go on as the test
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
