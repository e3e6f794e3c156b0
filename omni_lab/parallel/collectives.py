"""Collectives between the ranks of a row: agreement, point to point, all-to-all, all-gather."""

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
    """Collectives of a process group, with a watchdog and a count of the bytes sent.

    Parameters
    ----------
    group : a process group; None is all processes, or this one alone where no others were started
        (its own timeout should be `timeout_s` too: destroying a group, as at exit, waits for its
        pending collectives)
    timeout_s : seconds after which a rank that others wait for counts as lost, and all others end
        with its name; several times what one block of attention takes, since a rank that computes
        does not answer
    alone : this process by itself, even where others were started
    """

    def __init__(
        self, group: dist.ProcessGroup | None = None, timeout_s: float = 300.0, alone: bool = False
    ) -> None:
        self.group = group
        started = not alone and dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank(group) if started else 0
        self.ranks = dist.get_world_size(group) if started else 1
        self.processes = dist.get_process_group_ranks(group) if started else [0]
        self.sent = 0  # bytes that this rank has sent
        self._heartbeats = Heartbeats(self.processes, timeout_s) if self.ranks > 1 else None

    def agree(self, device: torch.device, **facts: Any) -> None:
        """Agreement of all ranks on `facts`, checked before anything else is sent.

        Raises
        ------
        UsageError
            they differ; the message names the facts, and every rank's value
        RankLostError
            a rank does not answer
        """
        if self.ranks == 1:
            return

        # checksums first: the facts themselves travel only where they differ
        local = torch.tensor([zlib.crc32(repr(facts).encode())], device=device)
        table = [torch.empty_like(local) for _ in self.processes]
        self.wait(dist.all_gather(table, local, group=self.group, async_op=True))
        if all(torch.equal(remote, table[0]) for remote in table):
            return

        by_rank: list[Any] = [None] * self.ranks
        dist.all_gather_object(by_rank, facts, group=self.group)
        differing = (
            f"{name} ("
            + ", ".join(f"rank {rank}: {remote[name]}" for rank, remote in enumerate(by_rank))
            + ")"
            for name in facts
            if any(repr(remote[name]) != repr(facts[name]) for remote in by_rank)
        )
        raise UsageError(f"the ranks of a ring must have the same {' and '.join(differing)}")

    def send_next(self, tensor: Tensor) -> Transfer:
        """Point-to-point step round the ring: send to the next rank, receive from the one before.

        Returns at once; `Transfer.wait` gives what has arrived, of the same shape.
        """
        if self.ranks == 1:
            return Transfer(self, tensor, tensor, [])
        before, after = (self.processes[(self.rank + step) % self.ranks] for step in (-1, 1))
        arriving = torch.empty_like(tensor)
        receive = dist.P2POp(dist.irecv, arriving, before, self.group)
        send = dist.P2POp(dist.isend, tensor, after, self.group)
        works = dist.batch_isend_irecv([receive, send])  # NCCL returns one work for both
        self.sent += tensor.nbytes
        return Transfer(self, tensor, arriving, list(zip(works, (before, after), strict=False)))

    def round(self, tensor: Tensor) -> Iterator[Tensor]:
        """Ring pass: this rank's tensor, then that of the rank before it, and so on.

        The next tensor is being received while the current one is in use.
        """
        for _ in range(self.ranks - 1):
            coming = self.send_next(tensor)
            yield tensor
            tensor = coming.wait()
        yield tensor

    def all_to_all(self, parts: Tensor) -> Tensor:
        """All-to-all: part r goes to rank r; returns W parts for this rank, in rank order."""
        if self.ranks == 1:
            return parts
        leaving = parts.contiguous()
        arriving = torch.empty_like(parts, memory_format=torch.contiguous_format)
        self.wait(dist.all_to_all_single(arriving, leaving, group=self.group, async_op=True))
        self.sent += leaving.nbytes // self.ranks * (self.ranks - 1)
        return arriving

    def all_gather(self, tensor: Tensor) -> Tensor:
        """All-gather: the tensors of all ranks, stacked along a new first axis in rank order."""
        if self.ranks == 1:
            return tensor[None]
        gathered = tensor.new_empty((self.ranks, *tensor.shape))
        self.wait(
            dist.all_gather(list(gathered), tensor.contiguous(), group=self.group, async_op=True)
        )
        self.sent += tensor.nbytes * (self.ranks - 1)
        return gathered

    def wait(self, work: dist.Work, process: int | None = None) -> None:
        """Wait for a collective under the watchdog.

        Raises
        ------
        RankLostError
            `process`, or any where it is None, is lost
        """
        with self._heartbeats.waiting(process) as seconds:
            work.wait(timedelta(seconds=seconds))


@dataclass
class Transfer:
    """Transfer in flight: a tensor to the next rank, and one from the rank before."""

    collectives: Collectives
    leaving: Tensor  # kept alive until it is sent
    arriving: Tensor
    works: list[tuple[dist.Work, int]]

    def wait(self) -> Tensor:
        """Received tensor, once both directions are done."""
        for work, process in self.works:
            self.collectives.wait(work, process)
        return self.arriving
