"""Context extension curriculum: single pictures, then longer rows from stage to stage as θ grows.

OmChat grows its context 4K → 32K → 128K → 512K with θ up to 5e7 (claims C3 and C4), and packs
short samples into long rows where long data lack (C5). Here a row is a real long sample, with
needles all over it, or is packed of samples as short as those of an early stage, their boundaries
kept.

The image encoder and its connector learn from single pictures and are then frozen: the pictures of
a stage's films are encoded once, as the stage begins, and batches index into them.

Glossary: D width · F frames per unit · S picture side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from omni_lab.config import Config, SequenceConfig, StageConfig
from omni_lab.data.batch import StageData, TrainingBatch
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.sequences.batch import Batch, collate, make_batch
from omni_lab.sequences.items import SPEAK, Item, Sequence
from omni_lab.sequences.packing import join
from omni_lab.world.haystack.bank import Bank, draw_bank
from omni_lab.world.haystack.rows import Haystack, HaystackWriter
from omni_lab.world.script import COLOURS, SHAPES


def haystack_lessons(config: Config) -> list[StageData]:
    """Training data of every stage of `config.context`, in order."""
    kinds = {True: HaystackLessons, False: SightLessons}
    return [kinds[stage.max_tokens > 0](config, stage) for stage in config.context.stages]


class SightLessons(StageData):
    """Captioned single pictures: the colour and shape of one thing, in two words."""

    def __init__(self, config: Config, stage: StageConfig) -> None:
        self.config, self.settings = config, stage
        self.vocabulary = build_vocabulary(config)

    @cached_property
    def bank(self) -> Bank:
        """Bank of pictures, drawn on first use: a run resumed in a later stage never draws it."""
        return _bank(self.config, 0)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Training batch of `rank` at `step`: one row a picture."""
        rng = np.random.default_rng([self.config.seed, 0, step])
        drawn = rng.integers(len(self.bank.shape), size=self.settings.batch_size)[rank::ranks]
        rows = [self._named(int(which)) for which in drawn]
        size = self.config.model.image.size
        return TrainingBatch(make_batch(rows, self.vocabulary, self.config.sequence, size))

    def _named(self, which: int) -> Sequence:
        """Sequence of picture `which` of the bank and its caption."""
        name = f"{tuple(COLOURS)[self.bank.colour[which]]} {SHAPES[self.bank.shape[which]]}"
        items = (
            Item("image", 0, 0),
            Item("control", 0, 0, SPEAK),
            Item("text", 0, 0, name, loss=True),
        )
        frames = still_units(self.bank.frames[which, None], self.config.sequence)
        return Sequence(f"picture {which}", items, (frames[0],))


class HaystackLessons(StageData):
    """Long-context rows of one length and RoPE base: real long samples, or packed short ones."""

    def __init__(self, config: Config, stage: StageConfig) -> None:
        self.config, self.settings = config, stage
        self.number = [other.name for other in config.context.stages].index(stage.name)
        self.lengths = {other.name: other.max_tokens for other in config.context.stages}
        self.levels = {level.name: level for level in config.world.haystack.levels}
        self.seen: Float[Tensor, "pictures image_tokens D"] | None = None  # encoded bank

    @cached_property
    def writer(self) -> HaystackWriter:
        """Row writer of the stage, over a bank of pictures that is drawn on first use."""
        haystack, tokens = self.config.world.haystack, self.config.sequence.image_tokens
        bank = _bank(self.config, self.number)
        return HaystackWriter(haystack, tokens, build_vocabulary(self.config), bank)

    def enter(self, model: nn.Module) -> None:
        """Cache the bank's image tokens, encoded by the model as it is when the stage begins."""
        self.seen = see_bank(model, self.writer.bank, self.config.sequence)

    def row(self, step: int, row: int) -> Haystack:
        """Haystack of row `row` of a step: one sample of full length, or short ones packed."""
        rng = np.random.default_rng([self.config.seed, self.number, step, row])
        own, short = self.settings.name, self.config.world.haystack.short
        level = self.levels[own]
        film = rng.random() < level.films
        if rng.random() < level.real:
            return self._sample(rng, film, own)

        count = self.lengths[own] // self.lengths[short]
        packed = [self._sample(rng, film, short) for _ in range(count)]
        shows = np.concatenate([one.shows for one in packed])
        return Haystack(join([one.tokens for one in packed]), shows)

    def _sample(self, rng: np.random.Generator, film: bool, stage: str) -> Haystack:
        """Random sample of a stage's length; the number of questions about a film varies."""
        level, length = self.levels[stage], self.lengths[stage]
        if not film:
            return self.writer.text(rng, length, level.needles)
        asked = (("what", "when"), ("what", "when"), ("what",), ("when",))[rng.integers(4)]
        things = int(rng.integers(1, level.things, endpoint=True))
        return self.writer.film(rng, length, things, asked)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Training batch of `rank` at `step`."""
        rows = [self.row(step, row) for row in range(rank, self.settings.batch_size, ranks)]
        size = self.config.model.image.size
        return TrainingBatch(haystack_batch(rows, self.config.sequence, size))

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Training batches of one rank from step `first`, with the image tokens they index."""
        for batch in super().batches(first, rank, ranks):
            yield replace(batch, seen=self.seen)


def haystack_batch(rows: list[Haystack], config: SequenceConfig, image_size: int) -> Batch:
    """Batch of haystacks of one bank: without pictures, its `seen` indexes the bank's."""
    shows = np.concatenate([row.shows for row in rows])
    batch = collate([row.tokens for row in rows], config, image_size)
    return replace(batch, seen=torch.from_numpy(shows))


@torch.no_grad()
def see_bank(
    model: nn.Module, bank: Bank, config: SequenceConfig
) -> Float[Tensor, "pictures image_tokens D"]:
    """Image tokens of a bank's pictures, each as a still unit, without gradients."""
    frames = torch.from_numpy(still_units(bank.frames, config)).to(model.device)
    return torch.cat([model.see(some) for some in frames.split(256)])


def still_units(
    pictures: UInt8[np.ndarray, "pictures S S 3"], config: SequenceConfig
) -> UInt8[np.ndarray, "pictures F S S 3"]:
    """Still pictures as units of F frames, each picture repeated."""
    return np.repeat(pictures[:, None], config.frames_per_unit, axis=1)


def _bank(config: Config, number: int) -> Bank:
    """Bank of pictures of one stage, a different one for every stage of every seed."""
    seed = config.seed * len(config.context.stages) + number
    return draw_bank(seed, config.world.haystack.pictures, config.model.image.size, config.world)
