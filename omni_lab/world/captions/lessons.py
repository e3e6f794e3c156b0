"""Training data of the stage `captions`: a finite set of pictures, read epoch by epoch.

The image encoder and its connector are frozen: pictures are encoded once, as the stage begins, and
batches index into them. What the world knows of every word travels along: its type, and whether it
is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni_lab.config import Config, StageConfig
from omni_lab.data.batch import StageData, TrainingBatch, samples_of
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.sequences.batch import Batch, collate
from omni_lab.sequences.items import SPEAK, Item, Sequence
from omni_lab.sequences.tokens import TEXT_KIND, Tokens, tokenize
from omni_lab.world.captions.pictures import WRONG, Word, caption_of, draw_room, drawn
from omni_lab.world.haystack.lessons import still_units


class CaptionSet:
    """Pictures of a split with their captions, as token rows and pixels.

    Parameters
    ----------
    split : `train` or `test`
    first, count : numbers of its pictures
    wrong : fraction of colours and shapes that are wrong
    """

    def __init__(self, config: Config, split: str, first: int, count: int, wrong: float) -> None:
        self.config = config
        self.rooms = [draw_room(split, number) for number in range(first, first + count)]
        self.captions = [caption_of(room, first + at, wrong) for at, room in enumerate(self.rooms)]
        vocabulary = build_vocabulary(config)
        self.rows = [self._row(words, vocabulary) for words in self.captions]
        size = config.model.image.size
        self.pictures = drawn(self.rooms, split, first, size, config.world.image_noise)

    def _row(self, words: list[Word], vocabulary) -> Tokens:
        """Token row: the picture, and its caption to be written."""
        text = " ".join(word.text for word in words)
        items = (
            Item("image", 0, 0), Item("control", 0, 0, SPEAK), Item("text", 0, 0, text, loss=True),
        )  # fmt: skip
        row = tokenize(Sequence("picture", items), vocabulary, self.config.sequence)
        types = np.full(len(row.ids), np.nan, np.float32)
        types[row.kind == TEXT_KIND] = [word.type for word in words]
        right = np.where(np.isnan(types), np.nan, types != WRONG).astype(np.float32)
        return replace(row, known={"type": types, "right": right})

    def batch(self, numbers: list[int]) -> Batch:
        """Batch of some rows, whose `seen` indexes the encoded pictures of the set."""
        rows = [self.rows[number] for number in numbers]
        batch = collate(rows, self.config.sequence, self.config.model.image.size)
        return replace(batch, seen=torch.tensor(numbers))

    @torch.no_grad()
    def see(self, model: nn.Module) -> Float[Tensor, "pictures image_tokens D"]:
        """Image tokens of all pictures."""
        frames = torch.from_numpy(still_units(self.pictures, self.config.sequence))
        return torch.cat([model.see(some.to(model.device)) for some in frames.split(256)])


class CaptionLessons(StageData):
    """Captions of a finite set of pictures, as `config.world.captions` describes it."""

    def __init__(self, config: Config, stage: StageConfig) -> None:
        own = config.world.captions
        self.settings, self.seed, self.grey = stage, config.seed, own.grey
        self.set = CaptionSet(config, "train", own.first, own.count, own.wrong)
        self.seen: Float[Tensor, "pictures image_tokens D"] | None = None

    def enter(self, model: nn.Module) -> None:
        """Cache the image tokens, encoded by the model as it is when the stage begins."""
        self.seen = self.set.see(model)
        if self.grey:
            self.seen = torch.zeros_like(self.seen)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Training batch of `rank` at `step`: every picture once before any comes again."""
        count, numbers = len(self.set.rows), []
        for sample in samples_of(self.settings, step, rank, ranks):
            epoch, place = divmod(sample, count)
            order = np.random.default_rng([self.seed, epoch]).permutation(count)
            numbers.append(int(order[place]))
        return TrainingBatch(self.set.batch(numbers))

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Training batches of one rank from step `first`, with the image tokens they index."""
        for batch in super().batches(first, rank, ranks):
            yield replace(batch, seen=self.seen)
