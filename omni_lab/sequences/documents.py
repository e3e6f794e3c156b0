"""Image-text documents: picture, pictures, video, clip or interleaved row in one form.

OmChat decomposes every visual input into images and treats them alike (claim C1): after this module
the one difference left is whether a picture is a frame, and so has a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from omni_lab.config import TICKS_PER_SECOND, TripletConfig
from omni_lab.media.images.stills import more_pictures, open_still
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.items import SequenceError
from omni_lab.triplets.building.search import EXTENSIONS
from omni_lab.triplets.cutting.film import clips_of_film
from omni_lab.triplets.record import EncodedClip, Triplet


class Picture(NamedTuple):
    """One still image, or one frame of a video."""

    pixels: UInt8[np.ndarray, "height width 3"]
    frame: bool = False
    time: int = 0  # ticks from the document's start; 0 for what has no time


@dataclass(frozen=True)
class Document:
    """Interleaved pictures and texts in reading order; a text is a cue (role, time)."""

    name: str
    parts: tuple[Picture | Cue, ...]
    missing: tuple[str, ...] = ()  # what of the source a document has no place for, in words


def as_document(
    content: Any, name: str | None = None, cutting: TripletConfig | None = None
) -> Document:
    """Interleaved document from images, video, a clip, text, or a list or row of them.

    Parameters
    ----------
    content : a picture (file, PIL image, or array of height × width × 3), a video (file, or array
        of frames × height × width × 3), a clip (`Triplet`: its frames and cues in the order of
        time), a list of these and of texts (`str`), or an OBELICS-style row of `images` and
        `texts`. A file is a `Path`: a `str` is text
    name : the document's name in error messages; a clip brings its clip_id
    cutting : how a film file is cut into clips

    Raises
    ------
    SequenceError
        the document is empty, or holds something that is neither picture nor text
    MediaError
        a picture or a film is unreadable
    """
    if isinstance(content, Mapping):
        content = _interleaved(content, name or "document")
    if name is None:
        name = (
            content.clip_id
            if isinstance(content, Triplet)
            else getattr(content, "name", "document")
        )

    several = isinstance(content, list | tuple) and not isinstance(content, Picture)
    pieces: list[Any] = []
    damage: list[str] = []
    for piece in content if several else [content]:
        if isinstance(piece, Path) and is_film(piece):
            source, clips = clips_of_film(piece, cutting or TripletConfig())
            pieces += map(_on_the_films_clock, clips)
            damage += [f"{piece.name} is damaged: {error}" for error in source.errors]
        else:
            pieces.append(piece)
            damage += _unread(piece)
    parts = [part for piece in pieces for part in _parts(piece, name)]

    # sound has no place in a document: that is reported, never dropped in silence
    sound = sum(len(piece.audio) for piece in pieces if isinstance(piece, Triplet))
    unheard = (
        [f"{sound / TICKS_PER_SECOND:.2f} s of sound, for which a document has no place"]
        if sound
        else []
    )
    if not parts:
        there = f"; it has {unheard[0]}: lay it out as the omni stream" if sound else ""
        raise SequenceError(f"clip {name}: an empty document, without a picture or a word{there}")
    return Document(name, tuple(parts), (*unheard, *damage))


def is_film(path: Path) -> bool:
    """Whether a file is a film or a sound; a GIF is one if it moves."""
    suffix = path.suffix.lower()
    return suffix in EXTENSIONS and (suffix != ".gif" or more_pictures(path) > 0)


def _unread(piece: Any) -> list[str]:
    """Pages or frames of an image beside the one that a document holds, in words."""
    if not isinstance(piece, Path) and not _is_image(piece):
        return []
    count = more_pictures(piece)
    name = getattr(piece, "name", None) or f"the given {type(piece).__name__}"
    left = f"{count} more pages or frames of {name}, of which a document holds the first"
    return [f"{left}; give each as a picture of its own"] if count else []


def _on_the_films_clock(encoded: EncodedClip) -> Triplet:
    """Clip of a film file with its times in ticks from the film's start."""
    clip = encoded.decode()
    cues = tuple(cue.moved(clip.start) for cue in clip.cues)
    return replace(clip, frame_times=clip.frame_times + clip.start, cues=cues)


def _parts(piece: Any, name: str) -> Iterable[Picture | Cue]:
    """Pictures and texts of one piece of a document, in reading order."""
    if isinstance(piece, str):
        if _is_file(piece):
            wrong = f"{piece!r} is the name of a file, and would be read as text"
            raise SequenceError(f"clip {name}: {wrong}; give a Path")
        return [Cue(0, 0, piece)]

    if isinstance(piece, Cue | Picture):
        return [piece]

    if isinstance(piece, Triplet):
        frames = [
            Picture(pixels, True, int(t))
            for pixels, t in zip(piece.frames, piece.frame_times, strict=True)
        ]
        return sorted(
            [*frames, *piece.cues],
            key=lambda part: part.time if isinstance(part, Picture) else part.start,
        )

    if isinstance(piece, np.ndarray) and piece.ndim == 4:
        return [Picture(open_still(pixels), True) for pixels in piece]
    if isinstance(piece, Path | np.ndarray) or _is_image(piece):
        return [Picture(open_still(piece))]

    kinds = "a picture (Path, PIL image, array), a video (array of frames), a clip, nor text"
    raise SequenceError(f"clip {name}: {type(piece).__name__} in it is neither {kinds}")


def _is_image(piece: Any) -> bool:
    """Whether something is a PIL image, without importing PIL."""
    return hasattr(piece, "getexif")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a character that no name has
        return False


def _interleaved(row: Mapping[str, Any], name: str) -> list[Any]:
    """OBELICS-style interleaved row as a list: at every place either an image or a text."""
    images, texts = row.get("images"), row.get("texts")
    lists = isinstance(images, list | tuple) and isinstance(texts, list | tuple)
    if not lists or len(images) != len(texts):
        raise SequenceError(
            f"clip {name}: an interleaved row has lists `images` and `texts` of equal length"
        )
    places = list(zip(images, texts, strict=True))
    for place, (image, text) in enumerate(places):
        if not (
            isinstance(text, str) if image is None else text is None and not isinstance(image, str)
        ):
            right = "an image or a text, and the other as None; an image's file is a Path"
            raise SequenceError(f"clip {name}: place {place} must hold {right}")
    return [Cue(0, 0, text) if image is None else image for image, text in places]
