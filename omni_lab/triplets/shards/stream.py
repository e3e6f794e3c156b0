"""Data loading from shards: shuffled epochs, split over ranks and workers, resumable to the clip.

An epoch is one order of all clips of a folder: its shards are shuffled, and then the clips within a
few shards at a time, so that reads stay near on disk. The order depends on nothing but shards,
seed, window and epoch. Reader `r` of `n` takes every n-th clip of it, beginning with the r-th:
every clip is read by exactly one reader, and since a clip is read by its offset in its tar, no
reader touches another's bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from omni_lab.errors import UsageError
from omni_lab.triplets.record import Triplet
from omni_lab.triplets.shards.copying import read_members
from omni_lab.triplets.shards.index import Index, digest, places, read_index
from omni_lab.triplets.shards.order import windowed_shuffle
from omni_lab.triplets.shards.tars import decoded, read_clip


class ClipStream:
    """Shuffled, resumable stream of the clips in a folder of shards, one epoch per iteration.

    In a torch `DataLoader`, pass `stream.for_torch()` with `batch_size=None`: the loader's workers
    then split this rank's clips among them, and the clips come in the same order as without
    workers. The loader's workers hold copies, so call `set_epoch` before each epoch, and give
    `state_dict` the number of clips that training has consumed (clips that the workers read ahead
    do not count).

    Parameters
    ----------
    folder : of shards
    seed : of all orders
    shuffle : if false, every epoch is in the order of the index
    rank, world_size : this process and the number of processes that read the epoch together
    epoch : the first, from 0
    window : number of shards whose clips are mixed

    Raises
    ------
    ShardError
        the index is missing or damaged
    UsageError
        `rank` is not below `world_size`, or `window` is less than 1
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
        self._seen = 0  # clips of this epoch consumed by all readers together
        self._lately: dict[int, np.ndarray] = {}  # order of the epoch that `at` used last

    def __len__(self) -> int:
        """Number of clips left in this epoch for this rank."""
        return len(range(self._seen + self.rank, self._table.num_rows, self.world_size))

    def __iter__(self) -> Iterator[Triplet]:
        """Clips of the rest of this epoch; at its end the stream turns to the next."""
        readers, reader = self._readers()
        order = self.order(self.epoch)
        for at in range(self._seen + reader, len(order), readers):
            clip = self._read(int(order[at]))
            self._seen = at - reader + readers
            yield clip
        self.set_epoch(self.epoch + 1)

    def at(self, number: int) -> Triplet:
        """Random access: this rank's clip `number`, counted over all epochs.

        It serves callers that keep their own position.

        Raises
        ------
        IndexError
            this rank has no clips at all
        """
        length = len(range(self.rank, self._table.num_rows, self.world_size))
        epoch, place = divmod(number, length or 1)
        if epoch not in self._lately:
            self._lately = {epoch: self.order(epoch)}
        return self._read(int(self._lately[epoch][self.rank + place * self.world_size]))

    def _read(self, place: int) -> Triplet:
        """Decoded clip of one row of the index."""
        (row,) = self._table.slice(place, 1).to_pylist()
        return decoded(read_clip(self.folder, row), self.folder / row["shard"])

    def order(self, epoch: int) -> Int64[np.ndarray, " clips"]:
        """Permutation of an epoch, as row numbers of the index."""
        if not self.shuffle:
            return np.arange(self._table.num_rows)
        shards = self._table.column("shard").to_numpy()
        return windowed_shuffle(shards, self.seed, epoch, self.window)

    def set_epoch(self, epoch: int) -> None:
        """Jump to the beginning of an epoch."""
        self.epoch, self._seen = epoch, 0

    def state_dict(self, consumed: int | None = None) -> dict[str, int | str]:
        """Checkpoint of the position, after the last clip that was yielded.

        Parameters
        ----------
        consumed : clips that training has consumed from a loader's iteration, where the loader's
            workers read ahead; without it, the clips that this object has yielded
        """
        seen = self._seen if consumed is None else self._seen + consumed * self.world_size
        return {**self._order_of(), "epoch": self.epoch, "seen": seen}

    def load_state_dict(self, state: dict[str, int | str]) -> None:
        """Resume from a checkpoint of the position.

        The number of ranks may differ from the checkpoint's if all of its ranks were equally far.

        Raises
        ------
        UsageError
            the state belongs to another seed, window or shuffle, or to other shards
        """
        for name, own in self._order_of().items():
            if state.get(name) != own:
                message = f"the state is of {name} {state.get(name)}, this stream has {name} {own}"
                raise UsageError(
                    f"{self.folder}: {message}; go on with the stream's own arguments and shards"
                )
        self.epoch, self._seen = state["epoch"], state["seen"]

    def for_torch(self) -> ClipStream:
        """This stream, registered with torch as an `IterableDataset` for its `DataLoader`."""
        from torch.utils.data import IterableDataset

        IterableDataset.register(type(self))
        return self

    def _order_of(self) -> dict[str, int | str]:
        """Everything that decides the order of an epoch, besides its number."""
        return {
            "seed": self.seed,
            "shuffle": self.shuffle,
            "window": self.window,
            "shards": self._shards,
        }

    def _readers(self) -> tuple[int, int]:
        """Number of readers (ranks times the loader's workers), and the number of this one."""
        # a process without this module is no loader's worker: torch need not be imported
        loader = sys.modules.get("torch.utils.data")
        worker = loader.get_worker_info() if loader else None
        if worker is None:
            return self.world_size, self.rank
        return self.world_size * worker.num_workers, self.rank + self.world_size * worker.id


def clip_rows(folder: str | Path, shards: Sequence[str] | None = None) -> Iterator[dict]:
    """Clips as rows of equal columns, for loaders that want the same members in every sample.

    `load_dataset("webdataset")` is one: clips have as many frames as they are long. Give this to
    `datasets.IterableDataset.from_generator` instead; its workers share the list `shards`.

    Parameters
    ----------
    shards : names of the tars to read, such as `shard-000000.tar`; None reads all

    Yields
    ------
    `clip_id`, `json` (the record as text), `jpegs` (bytes of every frame), `flac` (bytes, or None)

    Raises
    ------
    ShardError
        the index, a tar or a member is missing or damaged; the message names it
    """
    for row in read_index(folder):
        if shards is not None and row["shard"] not in shards:
            continue
        names = [name for name, *_ in places(row)]
        (_, record), *media = zip(names, read_members(folder, row), strict=True)
        yield {
            "clip_id": row["clip_id"],
            "json": record.decode(),
            "jpegs": [data for name, data in media if name.endswith(".jpg")],
            "flac": next((data for name, data in media if name.endswith(".flac")), None),
        }
