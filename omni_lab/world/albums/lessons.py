"""Training batches of albums, for the comparison of multi-image prompt formats.

A batch is a function of (seed, step, rank) and of the album settings, not of the format
(`sequence.layout`): every format learns from the same pictures, questions and answers in the same
order.
"""

from __future__ import annotations

from dataclasses import replace

from omni_lab.config import AlbumConfig, Config, StageConfig
from omni_lab.data.batch import StageData, TrainingBatch, samples_of
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.sequences.batch import make_batch
from omni_lab.sequences.formats import lay_out
from omni_lab.world.albums.album import write_album
from omni_lab.world.albums.documents import as_album_document

# curriculum: a stage begins short, as which of two is learned sooner than which of five
SHORT = AlbumConfig(most=2, frames=3)
SAMPLES = 1_000_000_000  # more than any run draws, so that two seeds have no album in common


class AlbumLessons(StageData):
    """Training data of albums: pictures and short videos with questions, in one format."""

    def __init__(self, config: Config, stage: StageConfig) -> None:
        self.config, self.settings = config, stage
        self.vocabulary = build_vocabulary(config)

    def lesson(self, step: int) -> str:
        """Name of the albums of a step, where they change during the stage."""
        names = {True: "short albums", False: "all albums"}
        return names[self._short(step)] if self.settings.curriculum_fraction else ""

    def _short(self, step: int) -> bool:
        """Whether a step is of the stage's beginning, with short albums."""
        return step < self.settings.curriculum_fraction * self.settings.steps

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Training batch of `rank` at `step`: one row an album."""
        config, asked = self.config, self.config.albums
        samples = samples_of(self.settings, step, rank, ranks)
        if self._short(step):
            most = min(asked.most, max(asked.fewest, SHORT.most))
            asked = replace(asked, most=most, frames=SHORT.frames)
        first = config.seed * SAMPLES
        albums = [write_album(first + sample, asked, config.world) for sample in samples]

        size, noise = config.model.image.size, config.world.image_noise
        documents = [as_album_document(album, size, noise) for album in albums]
        rows = [lay_out(document, config, supervised=False) for document in documents]
        return TrainingBatch(make_batch(rows, self.vocabulary, config.sequence, size), None)
