"""The files of one clip inside a tar: their names, their order, their bytes, and the blocks around them.

A member is a header of 512 bytes, the data, and zeros up to the next multiple of 512. Headers carry no time and no
owner, so that the same clip is the same bytes wherever and whenever it is written; and they can be told from names and
sizes alone, so that a clip is read by its place and a broken header is found to the byte.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.storage import canonical_json
from omni_lab.triplets.record import EncodedClip

BLOCK = tarfile.BLOCKSIZE  # bytes: headers, and what data is filled up to


def members_of(clip: EncodedClip) -> Iterator[tuple[str, bytes]]:
    """Give the files of one clip in their order: suffix and bytes."""
    yield "json", canonical_json(clip.record)
    for i, jpeg in enumerate(clip.jpegs):
        yield f"{i:03d}.jpg", jpeg
    if clip.audio is not None:
        yield "flac", to_flac(clip.audio)


def suffixes(frames: int, audio: bool) -> list[str]:
    """Name the files of a clip with so many pictures.

    >>> suffixes(2, True)
    ['json', '000.jpg', '001.jpg', 'flac']
    """
    return ["json", *(f"{i:03d}.jpg" for i in range(frames)), *(["flac"] if audio else [])]


def clip_from(clip_id: str, members: Sequence[bytes], audio: bool) -> EncodedClip:
    """Put a clip together from the bytes of its files, in their order; `audio`: the last of them is sound.

    Raises
    ------
    ValueError
        the record or the sound cannot be read; the message begins with the file's suffix
    """
    import soundfile

    try:
        record = json.loads(members[0])
    except ValueError as error:
        raise ValueError(f"json is broken ({error})") from None
    try:
        sound = _from_flac(members[-1]) if audio else None
    except (ValueError, soundfile.LibsndfileError) as error:
        raise ValueError(f"flac is broken ({error})") from None
    return EncodedClip(clip_id, record, tuple(members[1 : len(members) - audio]), sound)


def read_spool(path: Path) -> Iterator[tuple[EncodedClip, list[bytes]]]:
    """Read the clips of one film from a tar of their files, each with the bytes of its files."""
    with tarfile.open(path, "r:") as tar:
        for clip_id, found in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            files = [(member.name, tar.extractfile(member).read()) for member in found]
            data = [data for _, data in files]
            yield clip_from(clip_id, data, audio=files[-1][0].endswith(".flac")), data


def header(name: str, size: int) -> bytes:
    """Give the 512 bytes that stand before a member.

    >>> len(header("a.json", 7))
    512
    """
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)


def filled(size: int) -> int:
    """Give the bytes that data takes in a tar, zeros included.

    >>> filled(1), filled(512), filled(513)
    (512, 512, 1024)
    """
    return -(-size // BLOCK) * BLOCK


def write_clip(tar: tarfile.TarFile, clip: EncodedClip) -> None:
    """Append the files of one clip."""
    for suffix, data in members_of(clip):
        write_member(tar, f"{clip.clip_id}.{suffix}", data)


def write_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append one member: no time, no owner."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def to_flac(audio: Int16[np.ndarray, " samples"]) -> bytes:
    """Give 16 kHz mono sound as the bytes of a FLAC file, without loss."""
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, audio, TICKS_PER_SECOND, format="FLAC", subtype="PCM_16")
    return data.getvalue()


def _from_flac(data: bytes) -> Int16[np.ndarray, " samples"]:
    import soundfile

    audio, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    if rate != TICKS_PER_SECOND or audio.ndim != 1:
        raise ValueError(
            f"sound at {rate} Hz with shape {audio.shape}, not {TICKS_PER_SECOND} Hz mono"
        )
    return audio
