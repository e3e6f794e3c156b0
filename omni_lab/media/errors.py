"""What can be wrong with a media file: typed, and each message names the file and the reason in one line."""

from __future__ import annotations

from pathlib import Path

from omni_lab.errors import InputError


class MediaError(InputError):
    """A media file cannot be used; the message names the file and says why."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class MissingFileError(MediaError):
    """There is no such file, or it may not be read."""


class EmptyFileError(MediaError):
    """The file has no bytes."""


class NotMediaError(MediaError):
    """The bytes are no film and no sound that can be opened."""


class NothingDecodableError(MediaError):
    """The container opens, but not one frame and not one sample comes out of it."""


class NotPictureError(MediaError):
    """The bytes, or the values of an array, are no still picture that can be read whole."""


class HugePictureError(MediaError):
    """A still picture has, or claims to have, more pixels than are decoded."""


class SubtitleError(MediaError):
    """A subtitle file cannot be read as any known form."""
