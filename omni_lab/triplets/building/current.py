"""Up-to-date check of built films: a film's clips come from its bytes and from the text beside it.

A film is known by the hash of its bytes, wherever it lies. Its entry in the ledger also holds a
digest of its subtitle files and its truth file: when one of them is mended, the film is built again
and its new clips take the place of the old ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from omni_lab.media.probe import content_id
from omni_lab.media.subtitles.beside import sidecars
from omni_lab.triplets.shards.index import FilmEntry

ORPHANED = "built again, since clips that its clips were copies of are gone"
REMADE = "built again, since the text beside it has changed"
CHANGED = "built anew, since its content has changed"
_COPY_OF = re.compile(r"near-duplicate of (\S+)")


def identify(path: Path) -> str | None:
    """Content hash of a file; None where it is unreadable, which the worker will report."""
    try:
        return content_id(path) if path.is_file() else None
    except OSError:
        return None


def text_digest(path: Path, language: str) -> str:
    """Digest (32 hex digits) of the subtitle files and the truth file of a film; empty without any.

    It does not depend on the film's own name, so that a film may be renamed with its text.

    Parameters
    ----------
    path : the film
    language : preferred one of subtitles, two or three letters
    """
    found = hashlib.blake2b(digest_size=16)
    try:
        files = sorted({*sidecars(path, language).files, path.with_suffix(".truth.json")})
        there = [file for file in files if file.is_file()]
        for file in there:
            data = file.read_bytes()
            found.update(f"{file.name[len(path.stem) :]}\0{len(data)}\0".encode(errors="replace"))
            found.update(data)
    except OSError:  # unreadable now as when it was built: the worker reports it
        return ""
    return found.hexdigest() if there else ""


def is_current(film: FilmEntry, uri: str, text: str, folder: Path) -> bool:
    """Whether a film of known content need not be built again.

    Its text is as it was, or it is a twin: another file with the same content is still there, and
    its clips have that one's text.

    Parameters
    ----------
    film : entry of the film with the same content
    uri : path of the file at hand
    text : digest of the text beside it
    folder : base of relative paths
    """
    if film.text == text:
        return True
    return film.uri != uri and identify(folder / film.uri) == film.source_id


def replaced_by(found: Mapping[str, str], films: Iterable[FilmEntry]) -> list[FilmEntry]:
    """Films whose files have another content now, and which lie nowhere else.

    Parameters
    ----------
    found : content hash of every file of this run, by its path
    films : entries of the ledger
    """
    present = set(found.values())
    return [
        film
        for film in films
        if found.get(film.uri, film.source_id) != film.source_id and film.source_id not in present
    ]


def orphans(films: Iterable[FilmEntry], clip_ids: Iterable[str]) -> list[FilmEntry]:
    """Films with a clip that was dropped as a copy of one that is in no shard any more.

    Parameters
    ----------
    films : entries of the ledger
    clip_ids : of the clips in the shards
    """
    there = set(clip_ids)
    return [
        film
        for film in films
        if any((of := _COPY_OF.match(why)) and of[1] not in there for why in film.dropped.values())
    ]
