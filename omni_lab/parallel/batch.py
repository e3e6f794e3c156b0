"""A batch shared out over the ranks of a ring: every rank keeps some tokens of one long row, and what they show.

The rows of the batch become one, their documents side by side. What a rank's tokens see and hear is encoded by that
rank, so that encoders get their gradients where they are used; a unit whose tokens lie on two ranks is encoded on both.
Labels are taken before the row is cut, since the next token may lie on another rank.

Glossary: W ranks · T tokens of the row · t tokens per rank, padding included · M modalities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from omni_lab.parallel.collectives import Collectives
from omni_lab.parallel.layout import Layout
from omni_lab.parallel.sharded_row import ShardedRow
from omni_lab.sequences.batch import IGNORED, NO_DOCUMENT, PAD_KIND, Batch
from omni_lab.sequences.targets import NO_GROUP, Targets
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND


@dataclass
class ShardedBatch(Batch):
    """The tokens of one rank as a batch of one row; `row` says how attention reaches the others."""

    label: Int64[Tensor, "1 t"]
    seen_tokens: Int64[
        Tensor, " images"
    ]  # of the tokens of all units in `seen`: those that stand here, in order
    heard_tokens: Int64[Tensor, " sounds"]
    row: ShardedRow

    @property
    def labels(self) -> Int64[Tensor, "1 t"]:
        """As in the whole row."""
        return self.label

    def standing(self, kind: int) -> Int64[Tensor, " tokens"]:
        """Which tokens of the units that are seen, or heard, stand in this shard."""
        return self.seen_tokens if kind == IMAGE_KIND else self.heard_tokens


def shard_batch(
    batch: Batch,
    collectives: Collectives,
    strength: Float32[Tensor, "M M"] | None = None,
    layout: str = "zigzag",
) -> ShardedBatch:
    """This rank's part of a batch that every rank has in full.

    >>> from omni_lab.config import tiny
    >>> from omni_lab.world.source import lessons
    >>> batch = lessons(tiny(), tiny().training.stages[0]).batch(0).streams
    >>> shard_batch(batch, Collectives()).input_ids.shape == (1, batch.tokens + batch.tokens % 2)
    True
    """
    real = batch.kind != PAD_KIND
    kind = batch.kind[real]
    shared = Layout(int(real.sum()), collectives.ranks, layout)

    def held(values: Tensor, fill: float) -> Tensor:
        return shared.shard(values, collectives.rank, fill=fill)[None]

    documents = (batch.position[real] == 0).long().cumsum(0) - 1
    senses = {}
    for name, number, units, own in (
        ("seen", IMAGE_KIND, batch.seen, batch.frames),
        ("heard", AUDIO_KIND, batch.heard, batch.waves),
    ):
        mine = kind == number
        per_unit = int(mine.sum()) // max(1, len(units))
        order = held(torch.where(mine, mine.long().cumsum(0) - 1, IGNORED), IGNORED)
        at = order[order != IGNORED]
        used, place = (at // max(1, per_unit)).unique(return_inverse=True)
        units = units[used]
        if len(own):  # else they are of a bank that is encoded already
            own, units = own[units], torch.arange(len(units), device=kind.device)
        senses[name] = own, units, place * per_unit + at % max(1, per_unit)
    frames, seen, seen_tokens = senses["seen"]
    waves, heard, heard_tokens = senses["heard"]
    return ShardedBatch(
        input_ids=held(batch.input_ids[real], 0),
        kind=held(kind, PAD_KIND),
        loss_mask=held(batch.loss_mask[real], False),
        unit=held(batch.unit[real], 0),
        document=held(documents, NO_DOCUMENT),
        position=held(batch.position[real], 0),
        frames=frames,
        waves=waves,
        seen=seen,
        heard=heard,
        targets=Targets(
            held(batch.targets.fact[real], NO_GROUP),
            held(batch.targets.sense[real], NO_GROUP),
            batch.targets.facts,
            {name: held(v[real], math.nan) for name, v in batch.targets.known.items()},
        ),
        label=held(batch.labels[real], IGNORED),
        seen_tokens=seen_tokens,
        heard_tokens=heard_tokens,
        row=ShardedRow(
            shared, collectives, batch.cu_seqlens.tolist(), kinds=kind[None], strength=strength
        ),
    )
