"""Data loader: batches prefetched by a process of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

from torch.utils.data import DataLoader, Dataset

from omni_lab.data.batch import TrainingBatch
from omni_lab.errors import UsageError
from omni_lab.sequences.items import SequenceError


def prefetch(
    make: Callable[[int, int, int], TrainingBatch], steps: range, rank: int, ranks: int
) -> Iterator[TrainingBatch]:
    """Batches that `make` gives for (step, rank, ranks), from a process of their own while the last is learned from.

    A thread would not do: making a batch is Python's work, and would hold up every operation of the model.

    Raises
    ------
    SequenceError, UsageError
        as `make`
    """
    if not steps:
        return
    loader = DataLoader(
        _Steps(make, rank, ranks), batch_size=None, sampler=steps, num_workers=1, prefetch_factor=2,
        worker_init_fn=_leave_ctrl_c,
    )  # fmt: skip
    for made in loader:
        if isinstance(made, SequenceError | UsageError):
            raise made
        yield made


class _Steps(Dataset):
    """The batches of a stage by step, as a map that a loader can walk."""

    def __init__(
        self, make: Callable[[int, int, int], TrainingBatch], rank: int, ranks: int
    ) -> None:
        self.make, self.rank, self.ranks = make, rank, ranks

    def __getitem__(self, step: int) -> TrainingBatch | SequenceError | UsageError:
        try:
            return self.make(step, self.rank, self.ranks)
        except (SequenceError, UsageError) as fault:
            return fault  # raised here, its one line would arrive as a page of the loader's own


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C is the loop's to handle: the worker goes on until it is told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
