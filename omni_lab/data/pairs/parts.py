"""Parts of a pair or a chat: pictures, sounds and texts in order, as a clip or as a document.

Sizes and durations are read from headers; pixels and samples are decoded when a row is due.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.data.writing import Writing
from omni_lab.media.downmix import Downmix
from omni_lab.media.errors import MediaError, NotMediaError, NotPictureError
from omni_lab.media.images.stills import BROKEN, FORMATS, READABLE, open_still
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.documents import Document, Picture
from omni_lab.sequences.items import Sequence
from omni_lab.triplets.record import Triplet

if TYPE_CHECKING:
    import PIL.Image

TURNED = range(5, 9)  # EXIF orientations that swap width and height


class Media(NamedTuple):
    """Bytes of a picture or a sound: their name for messages, and how they are opened."""

    name: str
    open: Callable[[], BinaryIO]


class Part(NamedTuple):
    """One picture, sound or text."""

    kind: str  # image, audio or text
    text: str = ""
    role: str | None = None  # of a text
    media: Media | None = None


@dataclass
class _Clip:
    """A clip in the making: one unit after the other."""

    at: int = 0  # ticks
    frames: list[np.ndarray] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    waves: list[np.ndarray] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)


def written(name: str, parts: list[Part], writing: Writing, blank: bool = False) -> Sequence:
    """Parts in the stage's layout.

    Parameters
    ----------
    blank : with blank pictures and silence of the same sizes, which tells the length in tokens

    Raises
    ------
    MediaError
        a picture or a sound is missing or broken
    """
    made = _as_clip if writing.streams else _as_document
    return writing.lay_out(made(name, parts, writing, blank))


def _as_clip(name: str, parts: list[Part], writing: Writing, blank: bool) -> Triplet:
    """Parts as a clip: every picture in the next unit, sounds in the next whole units.

    Text stands in the unit of the picture before it, or in the last unit of the sound.
    """
    clip, unit, side = _Clip(), writing.unit, writing.config.model.image.size
    for part in parts:
        if part.kind == "text":
            clip.at = max(clip.at, unit)
            clip.cues.append(Cue(clip.at - unit, clip.at - unit, part.text, part.role))
        elif part.kind == "image":
            clip.frames.append(_blank(1, 1) if blank else square(pixels(part.media), side))
            clip.times.append(clip.at)
            clip.at += unit
        else:
            wave = silence(part.media) if blank else samples(part.media)
            clip.waves.append(wave)
            clip.spans.append([clip.at, clip.at + len(wave)])
            clip.at += -(-len(wave) // unit) * unit

    audio = _on_the_clock(clip, blank) if clip.waves else np.zeros(0, np.float32)
    has = {"image": clip.frames, "audio": clip.waves, "text": clip.cues}
    return Triplet(
        source_id=name, start=0, end=clip.at,
        frames=np.stack(clip.frames) if clip.frames else np.zeros((0, 0, 0, 3), np.uint8),
        frame_times=np.array(clip.times, np.int64), audio=audio, cues=tuple(clip.cues),
        has=frozenset(kind for kind, content in has.items() if content),
        quality={"audio_spans": clip.spans},
    )  # fmt: skip


def _as_document(name: str, parts: list[Part], writing: Writing, blank: bool) -> Document:
    """Parts as a document of pictures and texts; sounds have no place in it."""
    out: list[Picture | Cue] = []
    for part in parts:
        if part.kind == "text":
            out.append(Cue(0, 0, part.text, part.role))
        elif part.kind == "image":
            out.append(Picture(_sized(part.media, writing) if blank else pixels(part.media)))
    return Document(name, tuple(out))


def _sized(media: Media, writing: Writing) -> UInt8[np.ndarray, "height width 3"]:
    """Blank picture that is tiled as the picture of these bytes is."""
    sequence = writing.config.sequence
    if sequence.tiles == 1 and sequence.grids == "budget":
        return _blank(1, 1)  # one tile, whatever its shape
    with _opened(media) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112) in TURNED
    return _blank(width, height) if turned else _blank(height, width)


def _on_the_clock(clip: _Clip, blank: bool) -> Float32[np.ndarray, " samples"]:
    """All sounds of a clip at their places, with zeros between."""
    if blank:
        return np.broadcast_to(np.float32(0), (clip.at,))
    audio = np.zeros(clip.at, np.float32)
    for (start, end), wave in zip(clip.spans, clip.waves, strict=True):
        audio[start:end] = wave
    return audio


def _blank(height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    return np.zeros((height, width, 3), np.uint8)


def square(picture: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "S S 3"]:
    """Picture at the encoder's size, by area averaging, or bilinear where it must grow.

    Pillow does it in a tenth of the time that torch takes in `collate`.
    """
    from PIL import Image

    shrinks = min(picture.shape[:2]) >= side
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(picture).resize((side, side), how))


@contextmanager
def _opened(media: Media) -> Iterator[PIL.Image.Image]:
    """PIL image of a medium, its header read, until the block ends.

    Raises
    ------
    NotPictureError
        the bytes are no picture in a known format
    """
    import PIL.Image

    PIL.Image.init()
    known = [name for name in FORMATS if name in PIL.Image.OPEN]
    with media.open() as file:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = PIL.Image.open(file, formats=known)
            except PIL.UnidentifiedImageError:
                message = f"is not a picture in a known format; give it as {READABLE}"
                raise NotPictureError(media.name, message) from None
            except PIL.Image.DecompressionBombError:
                raise NotPictureError(media.name, "claims far too many pixels") from None
            except BROKEN as error:
                why = str(error) or type(error).__name__
                raise NotPictureError(media.name, f"is a broken picture ({why})") from None
        with image:
            yield image


def pixels(media: Media) -> UInt8[np.ndarray, "height width 3"]:
    """Picture as upright sRGB.

    Raises
    ------
    MediaError
        the bytes are missing, or no complete picture
    """
    with _opened(media) as image:
        try:
            return open_still(image)
        except MediaError as error:
            raise type(error)(media.name, error.reason) from None


def silence(media: Media) -> Float32[np.ndarray, " samples"]:
    """Silence as long as a sound, by its header alone."""
    import soundfile

    try:
        with media.open() as file:
            info = soundfile.info(file)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise NotMediaError(media.name, f"is no WAV, FLAC, MP3 or Ogg sound ({error})") from None
    return np.broadcast_to(np.float32(0), (_ticks(info.frames, info.samplerate, media),))


def samples(media: Media) -> Float32[np.ndarray, " samples"]:
    """Sound at 16 kHz, mono, as many samples as its header says.

    Raises
    ------
    MediaError
        the bytes are missing, or no sound
    """
    import soundfile
    from scipy.signal import resample_poly

    length = len(silence(media))
    try:
        with media.open() as file:
            wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise NotMediaError(media.name, f"is a broken sound ({error})") from None

    wave, divisor = Downmix().mean(wave, rate), math.gcd(rate, TICKS_PER_SECOND)
    if rate != TICKS_PER_SECOND:
        wave = resample_poly(wave, TICKS_PER_SECOND // divisor, rate // divisor)
    out = np.zeros(length, np.float32)
    out[: len(wave)] = wave[:length]
    return out


def _ticks(frames: int, rate: int, media: Media) -> int:
    """Duration of a sound, ticks."""
    ticks = round(frames * TICKS_PER_SECOND / rate) if rate > 0 else 0
    if not 0 < ticks < 1 << 40:
        raise NotMediaError(media.name, "is a sound without samples, or one of unknown length")
    return ticks


class Span(io.RawIOBase):
    """Bytes of a file from `start`, `size` of them, as a file: a member of a tar."""

    def __init__(self, path: str, start: int, size: int) -> None:
        super().__init__()
        self._file = open(path, "rb")  # noqa: SIM115 - closed in close()
        self._start, self._size, self._at = start, size, 0

    def readable(self) -> bool:
        """True: it is read."""
        return True

    def seekable(self) -> bool:
        """True: a header may stand anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset in the span."""
        base = (0, self._at, self._size)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Offset in the span."""
        return self._at

    def readinto(self, buffer) -> int:
        """Fill a buffer, up to the span's end."""
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
