"""Data source of the gallery: training data of a stage, by its name."""

from __future__ import annotations

from omni_lab.config import Config, StageConfig
from omni_lab.data.batch import StageData
from omni_lab.errors import UsageError
from omni_lab.triplets.record import Triplet
from omni_lab.world.albums.lessons import AlbumLessons
from omni_lab.world.captions.lessons import CaptionLessons
from omni_lab.world.gallery_lessons import MODALITIES_OF, GalleryLessons
from omni_lab.world.haystack.lessons import HaystackLessons, SightLessons


def lessons(config: Config, stage: StageConfig, films: list[Triplet] | None = None) -> StageData:
    """Training data of the gallery for a stage.

    Parameters
    ----------
    films : clips from shards, of which the omni stage takes one row of every batch

    Raises
    ------
    UsageError
        the gallery has no stage of that name
    """
    if stage.name in MODALITIES_OF:
        return GalleryLessons(config, stage, films)
    if stage.name == "albums":
        return AlbumLessons(config, stage)
    if stage.name == "captions":
        return CaptionLessons(config, stage)
    if stage.name == "sight":
        return SightLessons(config, stage)
    if stage.name in {level.name for level in config.world.haystack.levels}:
        return HaystackLessons(config, stage)
    known = ", ".join(
        (
            *MODALITIES_OF,
            "albums",
            "captions",
            "sight",
            *(x.name for x in config.world.haystack.levels),
        )
    )
    raise UsageError(f"the gallery has no lessons for stage {stage.name!r}; it has {known}")
