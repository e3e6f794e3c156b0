"""Data loader: batches prefetched by another process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from torch.utils.data import DataLoader, Dataset

from omni_lab.errors import OmniLabError

Made = TypeVar("Made")  # a batch


class _Failure(NamedTuple):
    """An error of the other process: its class and its one line."""

    kind: type[OmniLabError]
    message: str

    def error(self) -> OmniLabError:
        """The error itself; classes whose constructors take other arguments keep their type."""
        return self.kind.__new__(self.kind, self.message)


def prefetch(
    make: Callable[[int, int, int], Any], steps: range, rank: int, ranks: int
) -> Iterator[Any]:
    """Prefetch: batches that `make` gives for (step, rank, ranks), two ahead of training.

    They are made in another process. In a thread, making a batch is Python's work, and would hold
    up every operation of the model.

    Raises
    ------
    OmniLabError
        as `make`
    """
    if not steps:
        return
    loader = DataLoader(
        _Steps(make, rank, ranks), batch_size=None, sampler=steps, num_workers=1, prefetch_factor=2,
        worker_init_fn=_leave_ctrl_c,
    )  # fmt: skip
    for made in loader:
        if isinstance(made, _Failure):
            raise made.error()
        yield made


class _Steps(Dataset):
    """The batches of a stage by step, as a map that a loader can walk."""

    def __init__(self, make: Callable[[int, int, int], Any], rank: int, ranks: int) -> None:
        self.make, self.rank, self.ranks = make, rank, ranks

    def __getitem__(self, step: int) -> Any:
        try:
            return self.make(step, self.rank, self.ranks)
        except OmniLabError as error:
            # raised here, its one line would arrive as a page of the loader's own
            return _Failure(type(error), str(error))


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C is for the training loop: the worker goes on until the loop stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
