"""Training batches, and the training data of a stage: a function of (seed, stage, step, rank)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Float32
from torch import Tensor, nn

from omni_lab.config import StageConfig
from omni_lab.data.loader import prefetch
from omni_lab.errors import UsageError
from omni_lab.parallel.batch import shard_batch
from omni_lab.parallel.collectives import Collectives
from omni_lab.sequences.batch import Batch


@dataclass
class TrainingBatch:
    """What one step of one process learns from: streams, and captions of single units of them."""

    streams: Batch
    captions: Batch | None = None  # units of `streams`, which are encoded once for both
    # encoded units that `streams` point into, where they are not the batch's own
    seen: Float[Tensor, "U image_tokens D"] | None = None
    heard: Float[Tensor, "A audio_tokens D"] | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens of both that are not padding."""
        return self.streams.tokens + (self.captions.tokens if self.captions else 0)

    def to(self, device) -> TrainingBatch:
        """The same on another device."""
        seen, heard = (
            None if units is None else units.to(device) for units in (self.seen, self.heard)
        )
        captions = self.captions and self.captions.to(device)
        return TrainingBatch(self.streams.to(device), captions, seen, heard)

    def sharded(
        self, collectives: Collectives, strength: Float32[Tensor, "M M"] | None
    ) -> TrainingBatch:
        """This rank's shard of a batch that all ranks of a context-parallel group have in full.

        Raises
        ------
        UsageError
            it has captions: they are short, and belong to data-parallel training
        """
        if self.captions is not None:
            message = "shards long rows of streams; this stage has captions: use 1"
            raise UsageError(f"training.context_parallel {message}")
        shard = shard_batch(self.streams, collectives, strength)
        return TrainingBatch(shard, None, self.seen, self.heard)


class StageData(ABC):
    """Training data of one stage.

    A batch is a function of (seed, stage, step, rank): a resumed run sees what an uninterrupted
    one would have seen, and all ranks together see the same samples, however many they are.
    """

    settings: StageConfig
    fingerprint: str = ""  # hash of all that decides the batches, where settings alone do not
    known: frozenset[str] = frozenset()  # losses that labels bring along, by model

    @property
    def fingerprint_parts(self) -> dict[str, str]:
        """What the fingerprint is of, by name, so that a difference can be named."""
        return {}

    @abstractmethod
    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """The rows of a step that belong to one rank."""

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Batches of one rank from step `first` to the stage's end, prefetched."""
        yield from prefetch(self.batch, range(first, self.settings.steps), rank, ranks)

    def summary(self) -> dict[str, Any]:
        """Expectation of a whole run: `tokens`, `epochs` by source, `left_out` by reason."""
        return {}

    def lesson(self, step: int) -> str:
        """Name of what the data of a step teach, where a curriculum of the data changes it."""
        return ""

    def enter(self, model: nn.Module) -> None:
        """Hook for data that the model itself encodes: called when the stage begins or resumes."""
        return


def samples_of(stage: StageConfig, step: int, rank: int, ranks: int) -> range:
    """Numbers of the samples of one step that belong to one rank.

    Raises
    ------
    UsageError
        the batch does not divide over the ranks
    """
    size = stage.batch_size
    if size % ranks:
        message = f"batch_size={size} does not divide over {ranks} processes"
        raise UsageError(f"stage {stage.name}: {message}")
    return range(step * size + rank, (step + 1) * size, ranks)
