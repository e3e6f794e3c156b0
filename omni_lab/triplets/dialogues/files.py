"""Files of an export: media under plain paths, and one step from nothing to a whole file.

No name from a film, its subtitles or its records ever becomes part of a path.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omni_lab.errors import InputError
from omni_lab.storage import rename_into_place
from omni_lab.triplets.dialogues.roleplay import Dialogue, Part
from omni_lab.triplets.record import EncodedClip
from omni_lab.triplets.shards.members import to_flac

Add = Callable[[EncodedClip, Dialogue], None]  # of a writer: one dialogue more


class ExportError(InputError):
    """Clip that does not export, or unreadable export; the message names the clip or the line."""


def media_path(part: Part, clip_id: str) -> str:
    """Relative path of a picture or a span of audio, made of the clip's id and numbers alone.

    >>> media_path(Part("image", 8000, 8000, index=3), "a1b2_0_160000")
    'images/a1b2_0_160000/003.jpg'

    Raises
    ------
    ExportError
        the id holds characters other than letters, digits, `_`, `-` and `.`, or begins with a
        sign
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", clip_id):
        raise ExportError(
            f"{clip_id!r}: unsafe as a file name; a clip_id has letters, digits, _, - and ., "
            "and begins with a letter or digit"
        )
    if part.kind == "image":
        return f"images/{clip_id}/{part.index:03d}.jpg"
    return f"audio/{clip_id}/{part.start}_{part.end}.flac"


def media_bytes(part: Part, clip: EncodedClip) -> bytes:
    """Bytes of a part: a picture as the JPEG of the shard, a span of audio as FLAC."""
    if part.kind == "image":
        return clip.jpegs[part.index]
    return to_flac(clip.audio[part.start : part.end])


@contextmanager
def in_one_step(final: Path) -> Iterator[Path]:
    """Temporary path, renamed to `final` if the block succeeds, else removed."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{final.name}.tmp")
    try:
        yield temporary
        rename_into_place(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def lead_with(path: Path, rows: list[tuple[int, int]]) -> None:
    """Move rows of a JSON-lines file to its front, the others in their order behind them.

    Parameters
    ----------
    rows : first byte and length of each, ascending
    """
    with in_one_step(path) as moved, open(path, "rb") as old, open(moved, "wb") as new:
        for start, length in rows:
            old.seek(start)
            new.write(old.read(length))
        at = 0
        for start, length in [*rows, (path.stat().st_size, 0)]:
            old.seek(at)
            left = start - at
            while data := old.read(min(left, shutil.COPY_BUFSIZE)):
                new.write(data)
                left -= len(data)
            at = start + length
