"""Tar members of one clip: names, order, bytes, headers and padding.

A member is a header of 512 bytes, the data, and zeros up to the next multiple of 512. Headers carry
no time and no owner, so that the same clip is the same bytes wherever and whenever it is written.
They follow from names and sizes alone, so that a clip is read by its offset and a damaged header is
located to the byte.
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

BLOCK = tarfile.BLOCKSIZE  # 512 bytes: the size of a header, and the unit of padding


def members_of(clip: EncodedClip) -> Iterator[tuple[str, bytes]]:
    """Members of one clip in order: suffix and bytes."""
    yield "json", canonical_json(clip.record)
    for i, jpeg in enumerate(clip.jpegs):
        yield f"{i:03d}.jpg", jpeg
    if clip.audio is not None:
        yield "flac", to_flac(clip.audio)


def suffixes(frames: int, audio: bool) -> list[str]:
    """Suffixes of a clip's members, given its number of frames.

    >>> suffixes(2, True)
    ['json', '000.jpg', '001.jpg', 'flac']
    """
    return ["json", *(f"{i:03d}.jpg" for i in range(frames)), *(["flac"] if audio else [])]


def clip_from(clip_id: str, members: Sequence[bytes], audio: bool) -> EncodedClip:
    """Encoded clip from the bytes of its members.

    Parameters
    ----------
    clip_id : of the clip
    members : bytes of each member, in order
    audio : whether the last member is FLAC audio

    Raises
    ------
    ValueError
        the record is no JSON, or the audio no FLAC; the message begins with the member's suffix
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
    """Clips of one film from its tar, each with the bytes of its members."""
    with tarfile.open(path, "r:") as tar:
        for clip_id, found in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            files = [(member.name, tar.extractfile(member).read()) for member in found]
            data = [data for _, data in files]
            yield clip_from(clip_id, data, audio=files[-1][0].endswith(".flac")), data


def header(name: str, size: int) -> bytes:
    """Tar header of a member: 512 bytes, without time and owner.

    >>> len(header("a.json", 7))
    512
    """
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)


def filled(size: int) -> int:
    """Padded size of data in a tar, bytes.

    >>> filled(1), filled(512), filled(513)
    (512, 512, 1024)
    """
    return -(-size // BLOCK) * BLOCK


def write_clip(tar: tarfile.TarFile, clip: EncodedClip) -> None:
    """Append of one clip to a tar, member by member."""
    for suffix, data in members_of(clip):
        write_member(tar, f"{clip.clip_id}.{suffix}", data)


def write_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append of one member to a tar, without time and owner."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def to_flac(audio: Int16[np.ndarray, " samples"]) -> bytes:
    """Lossless FLAC encoding of 16 kHz mono audio, as bytes."""
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, audio, TICKS_PER_SECOND, format="FLAC", subtype="PCM_16")
    return data.getvalue()


def _from_flac(data: bytes) -> Int16[np.ndarray, " samples"]:
    import soundfile

    audio, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    if rate != TICKS_PER_SECOND or audio.ndim != 1:
        raise ValueError(
            f"audio at {rate} Hz of shape {audio.shape}, not {TICKS_PER_SECOND} Hz mono"
        )
    return audio
