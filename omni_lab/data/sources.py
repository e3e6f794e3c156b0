"""Data sources, by name: what a stage's `sources` stand for.

The core names the gallery and never imports it.
"""

from __future__ import annotations

from importlib import import_module

from omni_lab.config import Config, StageConfig
from omni_lab.data.batch import StageData
from omni_lab.triplets.record import Triplet

GALLERY = "omni_lab.world.source"


def training_data(
    config: Config, stage: StageConfig, films: list[Triplet] | None = None
) -> StageData:
    """Training data of a stage, from the sources that it names.

    Parameters
    ----------
    films : clips mixed into the gallery's omni lessons
    """
    return import_module(GALLERY).lessons(config, stage, films)
