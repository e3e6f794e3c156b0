"""What the ranks of a ring say to each other: first whether they agree, then tensors, each to the next."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.parallel.watchdog import Heartbeats


class Collectives:
    """The ranks of a process group as a ring.

    Parameters
    ----------
    group : a process group; None is all processes, or this one alone where no others were started
    timeout_s : a rank that is waited for so long counts as lost, and all others end with its name; several times what
        one block of attention takes, since a rank that computes does not answer
    alone : this process by itself, whatever others there are
    """

    def __init__(
        self, group: dist.ProcessGroup | None = None, timeout_s: float = 300.0, alone: bool = False
    ) -> None:
        self.group = group
        started = not alone and dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank(group) if started else 0
        self.ranks = dist.get_world_size(group) if started else 1
        self.processes = dist.get_process_group_ranks(group) if started else [0]
        self.sent = 0  # bytes that this rank has given away
        self._heartbeats = Heartbeats(self.processes, timeout_s) if self.ranks > 1 else None

    def agree(self, device: torch.device, **facts: Any) -> None:
        """Compare what all ranks must have in common, before anything else is sent.

        Raises
        ------
        UsageError
            they differ; the message says in what, and what every rank has
        RankLostError
            a rank does not answer
        """
        if self.ranks == 1:
            return
        mine = torch.tensor([zlib.crc32(repr(facts).encode())], device=device)
        table = [torch.empty_like(mine) for _ in self.processes]
        self.wait(dist.all_gather(table, mine, group=self.group, async_op=True))
        if all(torch.equal(theirs, table[0]) for theirs in table):
            return
        everyone: list[Any] = [None] * self.ranks
        dist.all_gather_object(everyone, facts, group=self.group)
        message = (
            f"{name} ("
            + ", ".join(f"rank {rank}: {theirs[name]}" for rank, theirs in enumerate(everyone))
            + ")"
            for name in facts
            if any(repr(theirs[name]) != repr(facts[name]) for theirs in everyone)
        )
        raise UsageError(f"the ranks of a ring must have the same {' and '.join(message)}")

    def send_next(self, tensor: Tensor) -> Transfer:
        """Give a tensor to the next rank, and take one of its shape from the rank before, without waiting for it."""
        if self.ranks == 1:
            return Transfer(self, tensor, tensor, [])
        before, after = (self.processes[(self.rank + step) % self.ranks] for step in (-1, 1))
        arriving = torch.empty_like(tensor)
        takes = dist.P2POp(dist.irecv, arriving, before, self.group)
        gives = dist.P2POp(dist.isend, tensor, after, self.group)
        works = dist.batch_isend_irecv([takes, gives])  # NCCL makes one of both
        self.sent += tensor.nbytes
        return Transfer(self, tensor, arriving, list(zip(works, (before, after), strict=False)))

    def round(self, tensor: Tensor) -> Iterator[Tensor]:
        """Give this rank's tensor, then that of the rank before, and so on; the next is on its way meanwhile."""
        for _ in range(self.ranks - 1):
            coming = self.send_next(tensor)
            yield tensor
            tensor = coming.wait()
        yield tensor

    def all_to_all(self, parts: Tensor) -> Tensor:
        """Give part r to rank r, and take what every rank has for this one: W parts, in the order of ranks."""
        if self.ranks == 1:
            return parts
        leaving, arriving = (
            parts.contiguous(),
            torch.empty_like(parts, memory_format=torch.contiguous_format),
        )
        self.wait(dist.all_to_all_single(arriving, leaving, group=self.group, async_op=True))
        self.sent += leaving.nbytes // self.ranks * (self.ranks - 1)
        return arriving

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, in their order."""
        if self.ranks == 1:
            return tensor[None]
        everyone = tensor.new_empty((self.ranks, *tensor.shape))
        self.wait(
            dist.all_gather(list(everyone), tensor.contiguous(), group=self.group, async_op=True)
        )
        self.sent += tensor.nbytes * (self.ranks - 1)
        return everyone

    def wait(self, work: dist.Work, process: int | None = None) -> None:
        """Wait for what a process, or any of them, has to do; RankLostError where it does not."""
        with self._heartbeats.waiting(process) as seconds:
            work.wait(timedelta(seconds=seconds))


@dataclass
class Transfer:
    """A tensor on its way to the next rank, and one on its way from the rank before."""

    collectives: Collectives
    leaving: Tensor  # held until it has left
    arriving: Tensor
    works: list[tuple[dist.Work, int]]

    def wait(self) -> Tensor:
        """What has arrived."""
        for work, process in self.works:
            self.collectives.wait(work, process)
        return self.arriving
