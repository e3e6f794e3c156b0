"""Training batches: rows of streams, captions beside them, and which samples of a step belong to a rank."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Float32
from torch import Tensor

from omni_lab.errors import UsageError
from omni_lab.parallel.batch import shard_batch
from omni_lab.parallel.collectives import Collectives
from omni_lab.sequences.batch import Batch


@dataclass
class TrainingBatch:
    """What one step of one process learns from: streams with questions, and single seconds out of them."""

    streams: Batch
    captions: (
        Batch | None
    )  # seconds described, or asked about alone: units of `streams`, encoded once for both
    seen: Float[Tensor, "U image_tokens D"] | None = (
        None  # what `streams` point into, where it is encoded already
    )

    @property
    def tokens(self) -> int:
        """Tokens of both that are not padding."""
        return self.streams.tokens + (self.captions.tokens if self.captions else 0)

    def to(self, device) -> TrainingBatch:
        """The same on another device."""
        seen = None if self.seen is None else self.seen.to(device)
        return TrainingBatch(
            self.streams.to(device), self.captions and self.captions.to(device), seen
        )

    def shared(
        self, collectives: Collectives, strength: Float32[Tensor, "M M"] | None
    ) -> TrainingBatch:
        """This rank's part of a batch that all ranks of a ring have in full.

        Raises
        ------
        UsageError
            it has captions, which are short, and are shared out whole by data parallel training
        """
        if self.captions is not None:
            raise UsageError(
                "training.ring shares long rows of streams; this stage has captions: use training.ring=1"
            )
        return TrainingBatch(shard_batch(self.streams, collectives, strength), None, self.seen)


def samples_of(stage: str, batch: int, step: int, rank: int, ranks: int) -> range:
    """Numbers of the samples of one step that belong to one rank.

    Raises
    ------
    UsageError
        the batch does not divide over the ranks
    """
    if batch % ranks:
        raise UsageError(f"training.{stage}.batch={batch}: does not divide over {ranks} processes")
    return range(step * batch + rank, (step + 1) * batch, ranks)
