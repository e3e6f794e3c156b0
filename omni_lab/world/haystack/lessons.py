"""Growing the context: first single pictures, then rows that get longer from stage to stage while θ is raised.

OmChat grows its context 4K → 32K → 128K → 512K with θ up to 5e7 (claims C3 and C4), and makes long rows of short
samples where long data lack (C5). Here a row is a real long sample, with needles all over it, or is packed of samples
as short as those of an early stage, their boundaries kept.

The image encoder and its connector learn from single pictures, then stay as they are: the pictures of a stage's films
are encoded once, as the stage begins, and batches point into them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from omni_lab.config import Config, StageConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.loader import prefetch
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.sequences.batch import Batch, collate, make_batch
from omni_lab.sequences.items import SPEAK, Item, Sequence
from omni_lab.sequences.packing import join
from omni_lab.world.haystack.bank import Bank, draw_bank
from omni_lab.world.haystack.rows import Haystack, HaystackWriter
from omni_lab.world.script import COLOURS, SHAPES

SIGHT = "sight"


def context_stages(config: Config) -> list[SightLessons | HaystackLessons]:
    """Every stage of `config.context`, in order."""
    return [
        SightLessons(config),
        *(HaystackLessons(config, number) for number in range(len(config.context.lengths))),
    ]


def stage_names(config: Config) -> tuple[str, ...]:
    """The names of `context_stages`.

    >>> from omni_lab.config import tiny
    >>> stage_names(tiny())[:3]
    ('sight', 'context-32', 'context-64')
    """
    return (SIGHT, *(f"context-{length}" for length in config.context.lengths))


def stage_settings(config: Config, number: int) -> StageConfig:
    """The settings of a stage that grows the context: as many steps as its tokens take, the decoder alone trains.

    The learning rate falls at the end of the last stage alone (as in MiniCPM's warmup, stable, decay; Hu et al. 2024):
    every stage before hands on a model that still moves.
    """
    context = config.context
    last = number == len(context.lengths) - 1
    steps = context.tokens[number] // (context.rows[number] * context.lengths[number])
    return StageConfig(
        steps=steps, batch=context.rows[number], train=("decoder",), lr_scale=context.lr_scales[number],
        decay=context.decay if last else 0.0,
    )  # fmt: skip


class SightLessons:
    """Single pictures, each named in two words: its thing's colour and shape."""

    stage = SIGHT

    def __init__(self, config: Config) -> None:
        self.config, self.settings = config, config.context.sight
        self.vocabulary = build_vocabulary(config)

    @cached_property
    def bank(self) -> Bank:
        """Its pictures, drawn when they are first wanted: a run that goes on behind this stage never does."""
        return _bank(self.config, 0)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """The pictures of `step` that belong to `rank`."""
        rng = np.random.default_rng([self.config.seed, 0, step])
        mine = rng.integers(len(self.bank.shape), size=self.settings.batch)[rank::ranks]
        return TrainingBatch(
            make_batch([self._named(int(which)) for which in mine], self.vocabulary, self.config),
            None,
        )

    def _named(self, which: int) -> Sequence:
        message = f"{tuple(COLOURS)[self.bank.colour[which]]} {SHAPES[self.bank.shape[which]]}"
        items = (
            Item("image", 0, 0),
            Item("control", 0, 0, SPEAK),
            Item("text", 0, 0, message, loss=True),
        )
        return Sequence(
            f"picture {which}", items, (units(self.bank.frames[which, None], self.config)[0],)
        )

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Batches from step `first` to the stage's end."""
        yield from prefetch(self.batch, range(first, self.settings.steps), rank, ranks)


class HaystackLessons:
    """Rows of one length under one θ.

    Parameters
    ----------
    number : of the stage, from 0
    """

    def __init__(self, config: Config, number: int) -> None:
        self.config, self.number = config, number
        self.stage = stage_names(config)[1 + number]
        self.settings = stage_settings(config, number)
        self.rope_theta = config.context.thetas[number]
        self.seen: Float[Tensor, "U image_tokens D"] | None = (
            None  # the bank's pictures, once a model has seen them
        )

    @cached_property
    def writer(self) -> HaystackWriter:
        """Writes its rows, out of a bank of its own that is drawn when it is first wanted."""
        return HaystackWriter(
            self.config, build_vocabulary(self.config), _bank(self.config, 1 + self.number)
        )

    def enter(self, model: nn.Module) -> None:
        """Let the model see the pictures of its films."""
        self.seen = see_bank(model, self.writer.bank)

    def row(self, step: int, row: int) -> Haystack:
        """One row of a step: a real sample as long as the stage's rows, or short ones side by side."""
        context, number = self.config.context, self.number
        rng = np.random.default_rng([self.config.seed, 1 + number, step, row])
        length, short = context.lengths[number], context.lengths[context.short]
        film = rng.random() < context.films[number]
        if rng.random() < context.real[number]:
            return self._sample(rng, film, length, number)
        packed = [self._sample(rng, film, short, context.short) for _ in range(length // short)]
        return Haystack(
            join([one.tokens for one in packed]), np.concatenate([one.shows for one in packed])
        )

    def _sample(self, rng: np.random.Generator, film: bool, length: int, number: int) -> Haystack:
        """One sample; how much is asked about a film varies, so that questions begin at various places."""
        context = self.config.context
        if not film:
            return self.writer.text(rng, length, context.needles[number])
        asked = (("what", "when"), ("what", "when"), ("what",), ("when",))[rng.integers(4)]
        return self.writer.film(
            rng, length, int(rng.integers(1, context.things[number], endpoint=True)), asked
        )

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """The rows of `step` that belong to `rank`."""
        rows = [self.row(step, row) for row in range(rank, self.settings.batch, ranks)]
        return TrainingBatch(haystack_batch(rows, self.config), None)

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Batches from step `first` to the stage's end, with the pictures that they point into."""
        for batch in prefetch(self.batch, range(first, self.settings.steps), rank, ranks):
            yield replace(batch, seen=self.seen)


def haystack_batch(rows: list[Haystack], config: Config) -> Batch:
    """Collate haystacks of one bank: the batch has no pictures of its own and points into the bank's."""
    shows = np.concatenate([row.shows for row in rows])
    return replace(collate([row.tokens for row in rows], config), seen=torch.from_numpy(shows))


@torch.no_grad()
def see_bank(model: nn.Module, bank: Bank) -> Float[Tensor, "U image_tokens D"]:
    """Encode a bank's pictures as they are seen in films, without gradients."""
    frames = torch.from_numpy(units(bank.frames, model.settings)).to(model.device)
    return torch.cat([model.connector["image"](model.image(some)) for some in frames.split(256)])


def units(pictures: UInt8[np.ndarray, "N S S 3"], config: Config) -> UInt8[np.ndarray, "N F S S 3"]:
    """Pictures as units of frames: each stands still for as many as a unit has."""
    return np.repeat(pictures[:, None], config.sequence.frames_per_unit, axis=1)


def _bank(config: Config, number: int) -> Bank:
    """A bank of its own for every stage of every seed."""
    stages = 1 + len(config.context.lengths)
    return draw_bank(
        config.seed * stages + number,
        config.context.pictures,
        config.model.image.size,
        config.world,
    )
