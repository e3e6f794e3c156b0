"""Typed errors of media files: each message names the file and the reason in one line."""

from __future__ import annotations

from pathlib import Path

from omni_lab.errors import InputError


class MediaError(InputError):
    """Unusable media file; the message names the file and the reason.

    Parameters
    ----------
    path : the file, as it was given
    reason : what is wrong with it and, where there is a remedy, what would be right; one line
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class MissingFileError(MediaError):
    """Missing file, or one without read permission."""


class EmptyFileError(MediaError):
    """Empty file: zero bytes."""


class NotMediaError(MediaError):
    """Unknown or unsupported container: the bytes are neither a film nor a sound file."""


class NothingDecodableError(MediaError):
    """Container without decodable media: it opens, but yields no frame and no sample."""


class NotPictureError(MediaError):
    """Unreadable still image: bytes, or array values, that are not one complete picture."""


class HugePictureError(MediaError):
    """Oversized still image: it has, or claims to have, more pixels than are decoded."""


class SubtitleError(MediaError):
    """Unreadable subtitle file: it fails to open, or has no known format."""
