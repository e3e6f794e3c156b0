"""Finite instruction datasets of the gallery, one a task, of very unequal size.

A dataset is what a mixture asks for: a length, a fingerprint, samples by number. Its pictures and
sounds are encoded once by frozen encoders; its samples point into what they gave.

Glossary: D decoder width · A units with sound · S picture side.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence as Several
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn

from omni_lab.config import Config
from omni_lab.data.documents import Documents
from omni_lab.data.writing import Writing
from omni_lab.sequences.batch import Batch, collate
from omni_lab.sequences.items import SPEAK, Fact, Item, Sequence, role_token
from omni_lab.sequences.stream import unit_ticks
from omni_lab.sequences.tokens import TEXT_KIND, Tokens
from omni_lab.world.captions.pictures import drawn
from omni_lab.world.clips import hiss
from omni_lab.world.haystack.lessons import still_units
from omni_lab.world.instruct.examples import TASKS, Example, draw_example
from omni_lab.world.script import ROLES, Room, Script
from omni_lab.world.voice import soundtrack

# samples of every task, in training
SIZES = {
    "captions": 4000, "vqa": 3000, "compare": 2000, "order": 1500, "speech": 300, "text": 200,
}  # fmt: skip
POINTERS = {"image": "seen", "audio": "heard"}  # of a batch, into encoded units, by their sense
TOGETHER = 256  # units that are encoded at a time
GUIDE, VISITOR = ROLES


class InstructSet(Documents):
    """Dataset of one task: `count` examples of a split, as sequences.

    Parameters
    ----------
    count : of samples, from number 0 on
    writing : format of the stage
    """

    def __init__(self, task: str, split: str, count: int, writing: Writing) -> None:
        self.name, self.split, self.writing, self.seed = task, split, writing, writing.seed
        self.modalities = frozenset({*TASKS[task], "text"})
        self.examples = [draw_example(task, split, number) for number in range(count)]
        self.rows = [self._row(number) for number in range(count)]
        self.files, self.left_out = np.zeros(count, np.int64), {}
        self._lengths = np.array([len(row.ids) for row in self.rows], np.int64)
        # units before those of every sample: of pictures, or of sounds
        self._units = np.cumsum([0, *(max(1, len(e.rooms)) for e in self.examples)])
        told = hashlib.blake2b(repr(self.examples).encode(), digest_size=8).hexdigest()
        self.fingerprint = writing.fingerprint(task, split, told)

    def __getitem__(self, number: int) -> Sequence:
        """Sample `number` as items; its pictures and sounds are those of `units`."""
        example = self.examples[number]
        fact = Fact(self.name, TASKS[self.name])
        unit = unit_ticks(self.writing.config.sequence)
        shown = [Item("image", 0, 0) for _ in example.rooms]
        heard = [Item("audio", 0, unit)] if example.sound else []
        items = (
            *shown, *heard,
            Item("control", 0, 0, role_token(VISITOR)),
            Item("text", 0, 0, " ".join(example.asked), VISITOR),
            Item("control", 0, 0, SPEAK),
            Item("text", 0, 0, " ".join(example.answer), GUIDE, loss=True, fact=fact),
        )  # fmt: skip
        return Sequence(f"{self.name} {number}", items)

    def _row(self, number: int) -> Tokens:
        """Token row of a sample, in which `scored` marks the words that are examined."""
        row = self.writing.tokens(self[number])
        scored = np.full(len(row.ids), np.nan, np.float32)
        scored[row.loss & (row.kind == TEXT_KIND)] = self.examples[number].scored
        return replace(row, known={"scored": scored})

    def units(self, numbers: Several[int]) -> Int64[np.ndarray, " units"]:
        """Numbers of the encoded units that samples show, or let hear, in order."""
        if "text" in TASKS[self.name]:
            return np.zeros(0, np.int64)
        spans = [np.arange(self._units[n], self._units[n + 1]) for n in numbers]
        return np.concatenate([np.zeros(0, np.int64), *spans])

    def batch(self, numbers: Several[int]) -> Batch:
        """Batch of some samples, whose `seen` and `heard` index the encoded units of the set."""
        config = self.writing.config
        rows = [self.rows[number] for number in numbers]
        return pointing(
            collate(rows, config.sequence, config.model.image.size), self.sense, self.units(numbers)
        )

    @property
    def sense(self) -> str:
        """What its units are of: image, audio, or text where it has none."""
        return TASKS[self.name][0]

    @torch.no_grad()
    def encode(self, model: nn.Module) -> Float[Tensor, "units tokens D"] | None:
        """Image or audio tokens of all units, by a model's encoder and connector; None of text."""
        if self.sense == "text":
            return None
        if self.sense == "audio":
            waves = [torch.from_numpy(wave) for wave in map(self._wave, range(len(self)))]
            some = torch.stack(waves).to(model.device).split(TOGETHER)
            return torch.cat([model.hear(waves) for waves in some])
        frames = torch.from_numpy(still_units(self._pictures(), self.writing.config.sequence))
        return torch.cat([model.see(some.to(model.device)) for some in frames.split(TOGETHER)])

    def _pictures(self) -> UInt8[np.ndarray, "pictures S S 3"]:
        """Pictures of all samples, with the camera's noise."""
        config: Config = self.writing.config
        rooms = [room for example in self.examples for room in example.rooms]
        first = list(TASKS).index(self.name)  # of the noise: another one for every task
        return drawn(rooms, self.split, first, config.model.image.size, config.world.image_noise)

    def _wave(self, number: int) -> Float32[np.ndarray, " samples"]:
        """Sound of a sample, with the room's noise."""
        example: Example = self.examples[number]
        room = Room((0, 0, 0), (), (example.sound,))
        rng = random.Random(f"instruct/hiss/{self.split}/{number}")
        wave = soundtrack(Script(number, self.split, 1, (room,), ()))
        return hiss(wave, self.writing.config.world.audio_noise, rng).astype(np.float32)


def pointing(batch: Batch, sense: str, units: Int64[np.ndarray, " units"]) -> Batch:
    """Batch whose rows have their pictures, or their sounds, among encoded units."""
    at = POINTERS.get(sense)
    return replace(batch, **{at: torch.from_numpy(units)}) if at else batch


def instruct_sets(
    writing: Writing, split: str, sizes: dict[str, int] | None = None
) -> dict[str, InstructSet]:
    """Datasets of all tasks by name, in a split."""
    sizes = sizes or SIZES
    return {task: InstructSet(task, split, sizes[task], writing) for task in TASKS}
