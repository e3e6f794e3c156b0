"""Media probing: a file's streams, the chosen ones and the clock's zero, from headers alone.

Where a file has several tracks of a kind, the preferred language decides, then the container's
disposition, then the larger picture or finer sound, then the first; `Stream.chosen` records the
outcome. Cover art is a picture, not a film.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from omni_lab.media.clock import rescale
from omni_lab.media.errors import (
    EmptyFileError,
    MissingFileError,
    NothingDecodableError,
    NotMediaError,
)
from omni_lab.media.headers import TEXT_CODECS, codec_names, unread
from omni_lab.media.languages import language_rank

if TYPE_CHECKING:
    import av

_MICROSECOND = Fraction(1, 1_000_000)
MAX_PIXELS = 1 << 26  # of a decoded picture: twice as many as 8K has
PLAYLISTS = ("hls", "dash", "concat", "sdp", "imf")
REFUSED = "points to other files or addresses, which are not opened: name the films themselves"


@dataclass(frozen=True)
class Stream:
    """Stream description by its container; decoding corrects what the container got wrong."""

    index: int
    kind: str  # video, audio, subtitle or other
    codec: str
    start: int | None = None  # ticks on the source's clock
    duration: int | None = None  # ticks
    language: str | None = None
    title: str | None = None
    chosen: bool = False  # this stream of its kind is the one that is read
    cover: bool = False  # cover art of the album or film, not the film
    disposition: tuple[str, ...] = ()  # the stream's stated use: default, dub, forced, ...
    width: int | None = None  # pixels, as coded
    height: int | None = None  # pixels, as coded
    rotation: int = 0  # degrees counter-clockwise that players turn the picture (once decoded)
    variable_frame_rate: bool | None = None  # None before decoding
    rate: float | None = None  # frames per second (the container's average) or samples per second
    channels: int | None = None


@dataclass(frozen=True)
class Source:
    """Media source: a file's identity, streams, length, and every error met in it."""

    id: str  # hash of the file's content, 16 hex digits
    uri: str  # where it was found
    streams: tuple[Stream, ...]
    duration: int  # ticks; as the container states it until decoding has measured it
    zero: int = 0  # the container's time at the clock's zero, ticks
    text_uri: str | None = None  # the subtitle file beside it that was read, if any
    errors: tuple[str, ...] = ()

    def stream(self, kind: str) -> Stream | None:
        """Chosen stream of a kind (`video`, `audio`, `subtitle`), None where there is none."""
        return next(
            (stream for stream in self.streams if stream.kind == kind and stream.chosen), None
        )


def probe(path: str | Path, language: str = "en") -> Source:
    """Media source description from a file's headers, without decoding it.

    Parameters
    ----------
    path : a local file
    language : preferred track language, two or three letters

    Raises
    ------
    MissingFileError, EmptyFileError, NotMediaError, NothingDecodableError
    """
    with open_media(path) as container:
        return describe(container, path, language)


def content_id(path: str | Path) -> str:
    """Content hash (BLAKE2b, 16 hex digits): the same film is the same source anywhere."""
    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def open_media(path: str | Path) -> Iterator[av.container.InputContainer]:
    """Local media file, opened with PyAV (a context manager).

    FFmpeg is handed the open file and may open nothing else, neither from the network nor from the
    disk: a playlist, whose films lie elsewhere, is refused.

    Raises
    ------
    MissingFileError, EmptyFileError
    NotMediaError
        FFmpeg cannot open it, or it is a playlist, a text or a still image
    """
    import av

    with open_file(path) as file:
        try:
            if _is_playlist(file):
                raise NotMediaError(path, REFUSED)
            options = {"protocol_whitelist": "none", "max_pixels": str(MAX_PIXELS)}
            container = av.open(
                file, metadata_errors="replace", options=options, buffer_size=1 << 16
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            known = "not a film or sound that can be opened, or cut off in its header"
            raise NotMediaError(path, f"{known} ({_reason(error)})") from None

        with container:
            _refuse_format(container.format.name, path)
            yield container


def _refuse_format(name: str, path: str | Path) -> None:
    """Refuse containers that FFmpeg opens but that are no film: playlists, texts, still images."""
    if name in PLAYLISTS:
        raise NotMediaError(path, REFUSED)
    if name == "webp_pipe":
        webp = "is a WebP picture; if it is animated, make a GIF or an MP4 first"
        raise NotMediaError(path, webp)
    if name in ("tty", "bin", "adf", "idf", "xbin", "image2") or name.endswith("_pipe"):
        raise NotMediaError(path, "is a text or a still picture, not a film or a sound")


def open_file(path: str | Path) -> BinaryIO:
    """Regular local file, opened for reading in bytes.

    Anything else (a folder, a pipe, a device) is refused unopened: a pipe would block for ever.

    Raises
    ------
    MissingFileError, EmptyFileError
    """
    file = Path(path)
    try:
        found = file.stat()
        if stat.S_ISDIR(found.st_mode):
            raise MissingFileError(path, "is a folder, not a file")
        if not stat.S_ISREG(found.st_mode):
            raise MissingFileError(path, "is no ordinary file")
        if found.st_size == 0:
            raise EmptyFileError(path, "is empty (0 bytes)")
        return file.open("rb")

    except PermissionError:
        raise MissingFileError(path, "may not be read (permission denied)") from None
    except (OSError, ValueError) as error:
        if "://" in str(path):
            raise MissingFileError(path, "is an address, and only local files are opened") from None
        if "\0" in str(path):
            raise MissingFileError(path, "has a null byte in its name") from None
        known = "no such file" if isinstance(error, FileNotFoundError) else _reason(error)
        raise MissingFileError(path, known) from None


def _reason(error: Exception) -> str:
    """Reason of an error in a few words, without its number where it has one."""
    return getattr(error, "strerror", None) or str(error)


def _is_playlist(file: BinaryIO) -> bool:
    """Playlist test: are a file's first bytes those of a list of films or addresses?"""
    head = file.read(1024).lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    file.seek(0)
    if head.startswith(b"<"):
        return b"<mpd" in head or b"<asx" in head or b"<smil" in head
    return head.startswith((b"#extm3u", b"ffconcat", b"v=0", b"[internetshortcut]", b"[playlist]"))


def describe(
    container: av.container.InputContainer,
    path: str | Path,
    language: str,
    source_id: str | None = None,
) -> Source:
    """Media source description of an open container, with the clock's zero and the chosen streams.

    Zero is the earliest start of any picture or sound stream of the programme, read or not:
    subtracted once for all streams, it keeps a real offset between picture and sound.

    Parameters
    ----------
    container : as `open_media` gives it
    path : the file
    language : preferred track language, two or three letters
    source_id : the file's `content_id`, where that is known

    Raises
    ------
    NothingDecodableError
        the container holds neither pictures nor sound, or none that has a decoder
    MissingFileError
        reading the file fails before its end
    """
    timed = [s for s in container.streams if s.type in ("video", "audio") and not _is_cover(s)]
    if not timed:
        raise NothingDecodableError(path, "holds no film and no sound")
    picture = choose(container, "video", language)
    sound = choose(container, "audio", language, picture)
    text = choose(container, "subtitle", language, picture)
    programme = _programme(picture or sound or timed[0])
    whole = [s for s in container.streams if _programme(s) == programme and not _is_cover(s)]
    codecs = codec_names(container)
    errors = unread(whole, codecs)
    if picture is None and sound is None:
        raise NothingDecodableError(path, f"nothing in it can be decoded: {'; '.join(errors)}")

    # Other programmes of a broadcast run on separate clocks: only this one sets the zero.
    beside = [s for s in timed if _programme(s) == programme]
    starts = [rescale(s.start_time, s.time_base) for s in beside if s.start_time is not None]
    zero = min(starts, default=0)
    taken = (picture, sound, text)
    streams = tuple(
        _stream(s, codec, zero, any(s is chosen for chosen in taken))
        for s, codec in zip(container.streams, codecs, strict=True)
    )

    stated = rescale(container.duration, _MICROSECOND) if container.duration else 0
    described = [streams[s.index] for s in beside]
    ends = [s.start + s.duration for s in described if s.start is not None and s.duration]
    try:
        source_id = source_id or content_id(path)
    except OSError as error:
        raise MissingFileError(path, f"cannot be read to its end ({_reason(error)})") from None
    length = max(ends, default=stated)
    return Source(source_id, str(path), streams, length, zero, errors=errors)


def choose(
    container: av.container.InputContainer,
    kind: str,
    language: str,
    picture: av.stream.Stream | None = None,
) -> av.stream.Stream | None:
    """Track selection: the stream of a kind that a viewer of this language would get, or None.

    Order: the programme of `picture` (a broadcast may hold several), language (preferred, then
    unknown, then another), tracks for all viewers before special ones (commentary, hearing or
    visually impaired, forced), the container's default, the larger picture or the finer sound, the
    lower index.

    Parameters
    ----------
    kind : `video`, `audio` or `subtitle`
    language : preferred, two or three letters
    """
    from av.stream import Disposition

    impaired = Disposition.hearing_impaired | Disposition.visual_impaired
    special = Disposition.comment | impaired | Disposition.forced

    def rank(stream: av.stream.Stream) -> tuple:
        return (
            picture is not None and _programme(stream) != _programme(picture),
            language_rank(stream.language, language),
            bool(stream.disposition & special),
            not stream.disposition & Disposition.default,
            -_fineness(stream),
        )

    candidates = [
        s
        for s in container.streams
        if s.type == kind and s.codec_context is not None and not _is_cover(s)
    ]
    # Subtitles that are pictures (DVD, Blu-ray) hold no text.
    if kind == "subtitle":
        candidates = [s for s in candidates if s.codec_context.name in TEXT_CODECS]
    return min(candidates, key=rank, default=None)


def _fineness(stream: av.stream.Stream) -> int:
    """Pixels of a picture, samples per second of a sound."""
    if stream.type == "video":
        return stream.width * stream.height
    return stream.rate if stream.type == "audio" else 0


def _is_cover(stream: av.stream.Stream) -> bool:
    """Cover art test: a still image or thumbnails in a video stream."""
    from av.stream import Disposition

    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    return stream.type == "video" and bool(stream.disposition & stills)


def _programme(stream: av.stream.Stream) -> tuple[int | None, ...]:
    """Programme of a stream: FFmpeg's best picture and best sound beside it, as indices."""
    best = (stream.container.streams.best(kind, related=stream) for kind in ("video", "audio"))
    return tuple(None if other is None else other.index for other in best)


def _stream(stream: av.stream.Stream, name: str, zero: int, chosen: bool) -> Stream:
    """Stream description from one stream's header."""
    codec = stream.codec_context
    start, duration = stream.start_time, stream.duration
    common = {
        "index": stream.index,
        "kind": stream.type if stream.type in ("video", "audio", "subtitle") else "other",
        "codec": name,
        "start": None if start is None else rescale(start, stream.time_base) - zero,
        "duration": rescale(duration, stream.time_base) if duration else None,
        "language": stream.language,
        "title": stream.metadata.get("title"),
        "chosen": chosen,
        "cover": _is_cover(stream),
        "disposition": tuple(flag.name for flag in stream.disposition),
    }

    if codec is None:
        return Stream(**common)
    if stream.type == "video":
        rate = float(stream.average_rate) if stream.average_rate else None
        return Stream(**common, width=stream.width, height=stream.height, rate=rate)
    if stream.type == "audio":
        return Stream(**common, rate=float(stream.rate), channels=stream.channels)
    return Stream(**common)
