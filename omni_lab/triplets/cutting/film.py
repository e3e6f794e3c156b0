"""Per-film pipeline: decoding and clip segmentation of one file, in whichever process runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import decode
from omni_lab.media.probe import Source
from omni_lab.triplets.cutting.clips import clips_of
from omni_lab.triplets.record import EncodedClip

# (path of the film, settings, content hash if known) → (source, clips in order of time)
Work = Callable[[Path, TripletConfig, str | None], tuple[Source, Iterator[EncodedClip]]]


def clips_of_film(
    path: Path, config: TripletConfig, source_id: str | None = None
) -> tuple[Source, Iterator[EncodedClip]]:
    """Source and encoded clips of one film, the clips lazily and in order of time.

    Parameters
    ----------
    path : of the film
    config : decoding, cutting and quality settings
    source_id : content hash, where it is known already (see `decode`)

    Raises
    ------
    MediaError
        the film gives no clip
    UsageError
        the settings ask for a package or checkpoint that is not installed
    """
    # one decoding thread: further cores build further films
    film = decode(path, config, threads=1, source_id=source_id)
    return film.source, clips_of(film, config)


def content_settings(config: TripletConfig) -> TripletConfig:
    """Settings that decide what clips contain: limits on time and memory are at their defaults.

    >>> content_settings(TripletConfig(file_timeout_s=5.0)) == TripletConfig()
    True
    """
    usual = TripletConfig()
    return replace(config, file_timeout_s=usual.file_timeout_s, file_memory_mb=usual.file_memory_mb)
