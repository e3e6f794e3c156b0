"""Processes of a run: who trains together, which rows each learns from, and means over all.

The same under `python`, `torchrun` and `accelerate launch`.
"""

from __future__ import annotations

import json
import os
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from omni_lab import THREADS_SPIN
from omni_lab.config import TrainingConfig
from omni_lab.data.documents import seed_of
from omni_lab.errors import UsageError
from omni_lab.parallel.collectives import Collectives
from omni_lab.storage import canonical_json


class Processes:
    """All processes that train a model, as one of them sees them.

    Attributes
    ----------
    accelerator : accelerate's
    collectives : between the ranks that share the tokens of a row; None where each has its own rows

    Raises
    ------
    UsageError
        the processes do not train together, or do not divide into groups
    """

    def __init__(self, settings: TrainingConfig) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs

        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings = settings
        self._timeout = timedelta(seconds=settings.timeout_s)

        # a stage leaves one modality out
        handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
        if settings.context_parallel > 1:  # at exit a process waits for its pending collectives
            handlers.append(InitProcessGroupKwargs(timeout=self._timeout))
        started = int(os.environ.get("WORLD_SIZE", "1"))
        self.accelerator = Accelerator(
            cpu=started > 1 and not torch.cuda.is_available(),  # else each trains alone, unsaid
            mixed_precision=settings.precision,
            kwargs_handlers=handlers,
        )
        if self.accelerator.num_processes != started:
            message = (
                f"{started} processes were started, and {self.accelerator.num_processes} train"
            )
            raise UsageError(
                f"WORLD_SIZE={started}: {message} together; leave the backend to torchrun"
            )
        self._warn_of_spinning()
        self._everyone: Collectives | None = None
        self.collectives = self._context_parallel_group()

    @property
    def main(self) -> bool:
        """Whether this is the process that writes for all."""
        return self.accelerator.is_main_process

    @property
    def place(self) -> tuple[int, int]:
        """Which rows this process learns from, of how many groups: ranks of a group have the same."""
        size = self.settings.context_parallel
        ranks = self.accelerator.num_processes
        return self.accelerator.process_index // size, ranks // size

    @property
    def everyone(self) -> Collectives | None:
        """Collectives between all processes, made at first use; None where there are no others."""
        if self._everyone is None and self.accelerator.num_processes > 1:
            self._everyone = Collectives(timeout_s=self.settings.timeout_s)
        return self._everyone

    def mean(self, values: Tensor) -> Tensor:
        """Mean over processes."""
        if self.accelerator.num_processes == 1:
            return values
        return self.accelerator.reduce(values.to(self.accelerator.device), "mean")

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any process."""
        return float(self.mean(torch.tensor(float(flag)))) > 0

    def all(self, found: dict) -> list[dict]:
        """What every process has found, as plain JSON, in rank order."""
        if self.accelerator.num_processes == 1:
            return [found]
        own = torch.frombuffer(bytearray(canonical_json(found)), dtype=torch.uint8)
        own = own.to(self.accelerator.device)
        sizes = self.accelerator.gather(torch.tensor([len(own)], device=own.device)).tolist()
        padded = torch.nn.functional.pad(own, (0, max(sizes) - len(own)))
        rows = self.accelerator.gather(padded[None]).cpu().numpy()
        return [json.loads(row[:n].tobytes()) for row, n in zip(rows, sizes, strict=True)]

    def seed(self, seed: int, stage: str, step: int) -> int:
        """Seed of what a step draws at random, such as dropout: a function of its place alone.

        So a resumed run draws what an uninterrupted one would have drawn, without a generator's
        state in its checkpoints.
        """
        own = seed_of(seed, stage, str(step), str(self.accelerator.process_index))
        torch.manual_seed(own)
        return own

    def _context_parallel_group(self) -> Collectives | None:
        """Neighbouring ranks that share the tokens of a row, where they do."""
        ranks, size = self.accelerator.num_processes, self.settings.context_parallel
        if ranks % size:
            message = f"{ranks} processes do not divide into groups of {size}"
            raise UsageError(f"training.context_parallel={size}: {message}")
        if size == 1:
            return None
        groups = [
            dist.new_group(list(range(at, at + size)), timeout=self._timeout)
            for at in range(0, ranks, size)
        ]
        return Collectives(groups[self.accelerator.process_index // size], self.settings.timeout_s)

    def _warn_of_spinning(self) -> None:
        if THREADS_SPIN and self.accelerator.device.type == "cpu" and torch.get_num_threads() > 1:
            message = (
                "its threads spin while they wait, and lose most of their speed beside other work"
            )
            right = "import omni_lab first, or set GOMP_SPINCOUNT=1000"
            warnings.warn(f"torch was imported before omni_lab: {message}; {right}", stacklevel=4)
