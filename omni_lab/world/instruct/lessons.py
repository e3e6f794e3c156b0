"""Training data of instruction: a mixture of the gallery's datasets; before it, text alone.

Image and audio encoders and connectors are frozen: what they give of every dataset is computed once
for many runs, and batches index into it.

Glossary: D decoder width · U units with a picture · A units with sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.config import Config, StageConfig
from omni_lab.data.batch import StageData, TrainingBatch, samples_of
from omni_lab.data.instruct.lessons import MixtureData
from omni_lab.data.instruct.mixture import Mixture
from omni_lab.data.plan import Draw
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError
from omni_lab.sequences.batch import make_batch
from omni_lab.sequences.items import SPEAK, Item, Sequence, role_token
from omni_lab.sequences.tokens import Tokens
from omni_lab.world.instruct.datasets import GUIDE, VISITOR, InstructSet
from omni_lab.world.instruct.words import draw_text


class InstructLessons(MixtureData):
    """Samples of a mixture of the gallery's datasets, over units that were encoded before.

    Parameters
    ----------
    encoded : image or audio tokens of the units of every dataset, by name

    Raises
    ------
    UsageError
        as `MixtureData`
    InputError
        a dataset has other units than were encoded
    """

    def __init__(
        self, stage: StageConfig, writing: Writing, sets: Mapping[str, InstructSet],
        mixture: Mixture, encoded: Mapping[str, Float[Tensor, "_ _ D"]], first: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(stage, writing, sets, mixture, first)
        for name, dataset in self.sources.items():
            there, needed = len(encoded.get(name, ())), len(dataset.units(range(len(dataset))))
            if there != needed:
                right = "encode this dataset again"
                raise InputError(f"{name}: {there} units, its samples have {needed}; {right}")
        self.first_unit: dict[str, int] = {}  # of a dataset, among those of its sense
        self.seen, self.heard = self._bank(encoded, "image"), self._bank(encoded, "audio")

    def _bank(
        self, encoded: Mapping[str, Float[Tensor, "_ _ D"]], sense: str
    ) -> Float[Tensor, "_ _ D"] | None:
        """Encoded units of all datasets of a sense, one after the other; None without any."""
        own = [name for name, dataset in self.sources.items() if dataset.sense == sense]
        ends = np.cumsum([len(encoded[name]) for name in own])
        self.first_unit |= {n: int(e) - len(encoded[n]) for n, e in zip(own, ends, strict=True)}
        return torch.cat([encoded[name] for name in own]) if own else None

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Rows of `step` that belong to `rank`; `seen` and `heard` index the encoded units."""
        batch = super().batch(step, rank, ranks)
        at: dict[str, list[np.ndarray]] = {"image": [], "audio": []}
        for (draw,) in self.plan.rows(step)[rank::ranks]:
            dataset = self.sources[draw.source]
            if dataset.sense in at:
                at[dataset.sense].append(
                    dataset.units([draw.number]) + self.first_unit[draw.source]
                )
        seen, heard = (
            torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *units]))
            for units in at.values()
        )
        return replace(batch, streams=replace(batch.streams, seen=seen, heard=heard))

    def _row(self, row: list[Draw]) -> Tokens:
        """Token row of a sample, which its dataset has written already."""
        (draw,) = row
        return self.sources[draw.source].rows[draw.number]

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Training batches of one rank from step `first`, with the units they index."""
        for batch in super().batches(first, rank, ranks):
            yield replace(batch, seen=self.seen, heard=self.heard)


class WordLessons(StageData):
    """Text alone, endlessly: questions on words, lore, rooms that are told."""

    def __init__(self, config: Config, stage: StageConfig) -> None:
        self.config, self.settings = config, stage
        self.vocabulary = build_vocabulary(config)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Training batch of `rank` at `step`: one question a row."""
        rows = [self._row(sample) for sample in samples_of(self.settings, step, rank, ranks)]
        config = self.config
        return TrainingBatch(
            make_batch(rows, self.vocabulary, config.sequence, config.model.image.size)
        )

    def _row(self, sample: int) -> Sequence:
        """Sequence of a question and its answer, all of it to be learned."""
        asked, answer = draw_text(self.config.seed, sample)
        items = (
            Item("control", 0, 0, role_token(VISITOR)),
            Item("text", 0, 0, " ".join(asked), VISITOR, loss=True),
            Item("control", 0, 0, SPEAK),
            Item("text", 0, 0, answer, GUIDE, loss=True),
        )
        return Sequence(f"words {sample}", items)
