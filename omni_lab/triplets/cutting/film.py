"""One film, from file to clips: the one place where decoding and cutting come together, in whatever process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from omni_lab.config import TripletConfig
from omni_lab.media.decode import decode
from omni_lab.media.probe import Source
from omni_lab.triplets.cutting.clips import clips_of
from omni_lab.triplets.record import EncodedClip

# a film's path, the settings and the film's id → what it is, and its clips
Work = Callable[[Path, TripletConfig, str | None], tuple[Source, Iterator[EncodedClip]]]


def clips_of_film(
    path: Path, config: TripletConfig, source_id: str | None = None
) -> tuple[Source, Iterator[EncodedClip]]:
    """Build one film: what it is, and its clips in order of time. `source_id`: see `decode`.

    Raises
    ------
    MediaError
        the film gives no clip
    UsageError
        the settings ask for what is not installed
    """
    film = decode(
        path, config, threads=1, source_id=source_id
    )  # who has more cores builds more films at once
    return film.source, clips_of(film, config)


def content_settings(config: TripletConfig) -> TripletConfig:
    """The settings that decide what the clips are: limits on time and memory stand at their defaults.

    >>> content_settings(TripletConfig(file_timeout_s=5.0)) == TripletConfig()
    True
    """
    usual = TripletConfig()
    return replace(config, file_timeout_s=usual.file_timeout_s, file_memory_mb=usual.file_memory_mb)
