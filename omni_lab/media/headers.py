"""Container headers in FFmpeg's description: unknown codecs, unread streams, declared cropping.

PyAV names no codec for a stream that has no decoder, and tells nothing about cropping; FFmpeg's own
description of a container (`av_dump_format`) has both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from omni_lab.media.images.cropping import Borders

if TYPE_CHECKING:
    import av

TEXT_CODECS = ("mov_text", "subrip", "srt", "webvtt", "ass", "ssa", "text")
TEXT_AS_DATA = ("wvtt",)  # WebVTT in MP4, which FFmpeg takes for data
# A stream's number, codec and, where the container has one, its code of four letters
_STREAM = re.compile(r"  Stream #0:(\d+)[^:]*: \w+: (\w+)(?:.*?\((\S+) / 0x[\dA-F]+\))?")
# Left, right, top and bottom, in pixels
_CROP = re.compile(r" +frame cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)


def codec_names(container: av.container.InputContainer) -> list[str]:
    """Codec of every stream, also where no decoder knows it; "unknown" where FFmpeg has no name.

    The canonical name is the same whichever decoder FFmpeg was built with.
    """
    codecs = [stream.codec_context and stream.codec_context.codec for stream in container.streams]
    names = [codec.canonical_name if codec else "unknown" for codec in codecs]
    for found in map(_STREAM.match, [] if all(codecs) else _description(container)):
        if found and not codecs[int(found[1])]:
            names[int(found[1])] = found[2] if found[2] != "none" else found[3] or "unknown"
    return names


def unread(streams: Iterable[av.stream.Stream], codecs: list[str]) -> tuple[str, ...]:
    """Streams of pictures, sound or text that cannot be read: a line per kind, codec and reason.

    Parameters
    ----------
    streams : some of a container's
    codecs : of all its streams, as `codec_names` gives them
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for stream in streams:
        codec = codecs[stream.index]
        kind = "subtitle" if codec in TEXT_AS_DATA else stream.type
        if kind in ("video", "audio", "subtitle") and (why := _obstacle(stream)):
            groups.setdefault((kind, codec, why), []).append(str(stream.index))

    return tuple(
        f"{kind} stream{'s' * (len(numbers) > 1)} {', '.join(numbers)} ({codec}) not read: {why}"
        for (kind, codec, why), numbers in groups.items()
    )


def cropping(stream: av.stream.Stream) -> Borders:
    """Borders of a video stream that its container says are not to be displayed."""
    number = None
    for line in _description(stream.container):
        if found := _STREAM.match(line):
            number = int(found[1])
        elif number == stream.index and (found := _CROP.fullmatch(line)):
            return Borders(*map(int, found.groups()))
    return Borders()


def _obstacle(stream: av.stream.Stream) -> str | None:
    """Reason why a stream cannot be read, None where it can."""
    if stream.codec_context is None:
        return "no decoder for it"
    if stream.type != "subtitle" or stream.codec_context.name in TEXT_CODECS:
        return None
    return "pictures, not text" if stream.codec_context.codec.bitmap_sub else "no reader for it"


def _description(container: av.container.InputContainer) -> list[str]:
    """Lines of FFmpeg's description of a container, which it writes into its log."""
    from av import logging

    level = logging.get_level()
    logging.set_level(logging.INFO)
    try:
        return container.dumps_format().splitlines()
    finally:
        logging.set_level(level)
