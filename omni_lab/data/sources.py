"""Data sources, by name: what a stage's `sources` stand for, and the ratio between them.

The core names the gallery and never imports it.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path

from omni_lab.config import Config, DataConfig, StageConfig
from omni_lab.data.batch import StageData
from omni_lab.data.documents import Documents
from omni_lab.data.mixed import SourceData
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import Writing, writing_of
from omni_lab.errors import ConfigError, UsageError
from omni_lab.triplets.record import Triplet

GALLERY = "gallery"
LESSONS = "omni_lab.world.source"  # named, not imported: the core does not know the gallery
# clips of the gallery with one modality only, or with all, to be mixed with each other
GALLERY_PARTS = ("gallery.image", "gallery.audio", "gallery.text", "gallery.omni")
ON_DISK = ("shards", "image_text", "audio_text", "chat", "text")
SOURCES = (GALLERY, *ON_DISK, *GALLERY_PARTS)


def training_data(
    config: Config, stage: StageConfig, films: list[Triplet] | None = None,
    tables: Path | None = None,
) -> StageData:  # fmt: skip
    """Training data of a stage, from the sources that it names.

    Parameters
    ----------
    films : clips mixed into the gallery's omni lessons
    tables : folder where lengths of documents are kept between runs; None counts them again

    Raises
    ------
    ConfigError
        an unknown source, a ratio that is no positive whole number, or a source without its path
    UsageError
        the gallery stands beside other sources, or the stage's layout has no place for its data
    InputError
        a source's data are missing, damaged, or of no use to the stage
    """
    ratio = ratio_of(stage)
    own = [name for name in ratio if name.split(".")[0] == GALLERY]
    if not own:
        return SourceData(stage, *open_sources(config, stage, tables), ratio)
    if len(ratio) > len(own) or (GALLERY in ratio and len(ratio) > 1):
        others = ", ".join(name for name in ratio if name != GALLERY)
        message = "the gallery does not mix with other sources; give them stages of their own"
        raise UsageError(f"stage {stage.name}: sources gallery and {others}: {message}")
    if stage.selection.table:
        raise no_table(stage)
    return import_module(LESSONS).lessons(config, stage, films)


def open_sources(
    config: Config, stage: StageConfig, tables: Path | None = None
) -> tuple[Writing, dict[str, Documents]]:
    """Format of a stage, and its sources on disk by name.

    Raises
    ------
    UsageError, InputError
        as `training_data`; a source is not on disk
    """
    ratio = ratio_of(stage)
    if not set(ratio) <= set(ON_DISK):
        raise no_table(stage)
    writing = writing_of(config, stage, build_vocabulary(config))
    paths = {name: _path(config.data, stage, name) for name in ratio}
    return writing, {name: open_source(name, paths[name], writing, tables) for name in ratio}


def no_table(stage: StageConfig) -> UsageError:
    """Refusal of a table of losses for samples that are no documents on disk."""
    wrong = (
        f"no table has their losses: samples ({', '.join(stage.sources)}) are made at every step"
    )
    right = f"name sources on disk ({', '.join(ON_DISK)}), or leave selection.table empty"
    return UsageError(f"stage {stage.name}: {wrong}; {right}")


def ratio_of(stage: StageConfig) -> dict[str, int]:
    """Weights of a stage's sources, such as `shards=3,text=1`; 1 where none is given.

    >>> ratio_of(StageConfig(sources=("shards=3", "text")))
    {'shards': 3, 'text': 1}

    Raises
    ------
    ConfigError
        none, an unknown one or one twice, or a weight that is no positive whole number
    """
    key = f"stages.{stage.name}.sources"
    ratio: dict[str, int] = {}
    for spec in stage.sources:
        name, given, weight = (part.strip() for part in spec.partition("="))
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SOURCES)}"
            raise ConfigError(f"{key}: unknown source {name!r}; {hint}")
        if name in ratio:
            raise ConfigError(f"{key}: {name} stands there twice; give it one weight")
        if given and not (weight.isascii() and weight.isdigit() and int(weight)):
            right = "a weight is a whole number, 1 or more, as in shards=3"
            raise ConfigError(f"{key}: impossible ratio {spec!r}; {right}")
        ratio[name] = int(weight) if given else 1
    if not ratio:
        raise ConfigError(f"{key} is empty; name one or more of {', '.join(SOURCES)}")
    return ratio


def _path(data: DataConfig, stage: StageConfig, name: str) -> str:
    """Where a source lies."""
    path = getattr(data, name)
    if not path:
        needs = f"stage {stage.name} has the source {name}"
        raise ConfigError(f"data.{name} is empty, but {needs}; set data.{name}=PATH")
    return path


def open_source(
    name: str, path: str | Path, writing: Writing, tables: Path | None = None
) -> Documents:
    """Documents of a source of that name, at a path.

    Parameters
    ----------
    name : shards, image_text, audio_text, chat or text
    tables : folder where lengths of documents are kept between runs; None counts them again

    Raises
    ------
    UsageError
        there is no source of that name on disk
    InputError
        its data are missing, damaged, or of no use to the stage
    """
    if name not in ON_DISK:
        raise UsageError(f"unknown source {name!r}; on disk there are {', '.join(ON_DISK)}")
    if name == "shards":
        from omni_lab.data.shards import ShardDocuments

        return ShardDocuments(path, writing, tables)
    if name == "text":
        from omni_lab.data.text import TextDocuments

        return TextDocuments(path, writing, tables)
    from omni_lab.data.pairs.source import PairDocuments

    return PairDocuments(path, name, writing, tables)
