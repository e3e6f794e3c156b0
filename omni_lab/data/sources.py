"""Data sources, by name: the core names the gallery and never imports it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from omni_lab.config import Config
from omni_lab.triplets.record import Triplet

GALLERY = "omni_lab.world.lessons"
GALLERY_STAGES = ("vision", "audio", "omni")


def lessons(config: Config, films: list[Triplet] | None = None) -> list[Any]:
    """The gallery's lessons, one per stage; `films` are clips of shards mixed into the omni stage."""
    return [import_module(GALLERY).GalleryLessons(config, stage, films) for stage in GALLERY_STAGES]
