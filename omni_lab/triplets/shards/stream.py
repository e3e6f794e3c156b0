"""Clips as training reads them: shuffled, split over processes, and resumed at the very clip.

An epoch is one order of all clips of a folder: its shards are shuffled, and then the clips within a few shards at a
time, so that reading stays near on disk. The order depends on nothing but shards, seed, window and epoch. Reader `r` of
`n` takes every n-th clip of it, beginning with the r-th: every clip is read by exactly one reader, and since a clip is
read by its place in its tar, nobody reads what belongs to another.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from omni_lab.errors import UsageError
from omni_lab.triplets.record import Triplet
from omni_lab.triplets.shards.index import Index, digest
from omni_lab.triplets.shards.tars import decoded, read_clip


class ClipStream:
    """The clips of a folder of shards, one epoch per iteration.

    In a torch `DataLoader`, hand it over as `stream.for_torch()` with `batch_size=None`: the loader's workers then
    share this process's part among them, and the clips come in the same order as without workers. The loader's workers
    hold copies, so say `set_epoch` before each epoch, and give `state_dict` the count of clips that training has had
    (what the workers have read ahead does not count).

    Parameters
    ----------
    folder : of shards
    seed : names the orders
    shuffle : in the order of the index if not
    rank, world_size : which part of each epoch this process reads
    epoch : the first
    window : shards whose clips are mixed

    Raises
    ------
    ShardError, UsageError
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        epoch: int = 0,
        window: int = 4,
    ):
        if not 0 <= rank < world_size or window < 1:
            message = "ranks are 0 to world_size - 1, a window is 1 or more"
            raise UsageError(f"rank {rank} of {world_size}, window {window}: {message}")
        self.folder, self.seed, self.shuffle = Path(folder), seed, shuffle
        self.rank, self.world_size, self.epoch, self.window = rank, world_size, epoch, window
        index = Index.load(folder)
        self._table = index.table
        self._shards = digest([shard.rows for shard in index.shards])
        self._seen = 0  # clips of the epoch that all readers together have had
        self._lately: dict[int, np.ndarray] = {}  # the order of the epoch that was asked for last

    def __len__(self) -> int:
        """Clips that are left of this epoch for this rank."""
        return len(range(self._seen + self.rank, self._table.num_rows, self.world_size))

    def __iter__(self) -> Iterator[Triplet]:
        """Read the rest of this epoch, then turn to the next."""
        readers, reader = self._share()
        order = self.order(self.epoch)
        for at in range(self._seen + reader, len(order), readers):
            clip = self._read(int(order[at]))
            self._seen = at - reader + readers
            yield clip
        self.set_epoch(self.epoch + 1)

    def at(self, number: int) -> Triplet:
        """Give this rank's clip `number`, counted over all epochs: what somebody needs who keeps his own place.

        Raises
        ------
        IndexError
            this rank has no clips at all
        """
        epoch, place = divmod(
            number, len(range(self.rank, self._table.num_rows, self.world_size)) or 1
        )
        if epoch not in self._lately:
            self._lately = {epoch: self.order(epoch)}
        return self._read(int(self._lately[epoch][self.rank + place * self.world_size]))

    def _read(self, place: int) -> Triplet:
        """Read the clip in one row of the index."""
        (row,) = self._table.slice(place, 1).to_pylist()
        return decoded(read_clip(self.folder, row), self.folder / row["shard"])

    def order(self, epoch: int) -> Int64[np.ndarray, " clips"]:
        """Give the order of an epoch as rows of the index."""
        if not self.shuffle:
            return np.arange(self._table.num_rows)
        rng = np.random.default_rng([self.seed, epoch])
        shards = self._table.column("shard").to_numpy()
        edges = (
            np.flatnonzero(np.r_[True, shards[1:] != shards[:-1], True])
            if len(shards)
            else np.zeros(1, int)
        )
        spans = [np.arange(*span) for span in pairwise(edges)]
        spans = [spans[i] for i in rng.permutation(len(spans))]
        windows = [
            np.concatenate(spans[i : i + self.window]) for i in range(0, len(spans), self.window)
        ]
        return (
            np.concatenate([rng.permutation(window) for window in windows])
            if windows
            else np.arange(0)
        )

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.epoch, self._seen = epoch, 0

    def state_dict(self, consumed: int | None = None) -> dict[str, int | str]:
        """Say where to go on, after the last clip that was given.

        `consumed`: clips that training has had of this stream's iteration, where a loader's workers read them.
        """
        seen = self._seen if consumed is None else self._seen + consumed * self.world_size
        return {**self._order_of(), "epoch": self.epoch, "seen": seen}

    def load_state_dict(self, state: dict[str, int | str]) -> None:
        """Go on where `state_dict` was taken: with as many readers, or with more or fewer if all were equally far.

        Raises
        ------
        UsageError
            the state is of another order or of other shards
        """
        for name, own in self._order_of().items():
            if state.get(name) != own:
                told = f"the state is of {name} {state.get(name)}, this stream has {name} {own}"
                raise UsageError(
                    f"{self.folder}: {told}; go on with the stream's own arguments and shards"
                )
        self.epoch, self._seen = state["epoch"], state["seen"]

    def for_torch(self) -> ClipStream:
        """Have torch's `DataLoader` take this stream as an `IterableDataset`."""
        from torch.utils.data import IterableDataset

        IterableDataset.register(type(self))
        return self

    def _order_of(self) -> dict[str, int | str]:
        """What decides the order of every epoch."""
        return {
            "seed": self.seed,
            "shuffle": self.shuffle,
            "window": self.window,
            "shards": self._shards,
        }

    def _share(self) -> tuple[int, int]:
        """Readers in all, and which of them this is: ranks, and inside a rank the workers of its loader."""
        loader = sys.modules.get(
            "torch.utils.data"
        )  # a process that has not loaded it is no loader's worker
        worker = loader.get_worker_info() if loader else None
        if worker is None:
            return self.world_size, self.rank
        return self.world_size * worker.num_workers, self.rank + self.world_size * worker.id
