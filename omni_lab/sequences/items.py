"""The neutral form of a sequence: items in order, each with its modality, time, role and whether it is supervised.

Every format, exporter, picture and model input is made from it: the omni stream (`stream.py`) and the formats for many
images (`formats.py`) give a `Sequence`, `tokens.py` turns any `Sequence` into tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omni_lab.errors import InputError
from omni_lab.sequences.tiling import Tiling

UNIT, LISTEN, SPEAK = "<unit>", "<listen>", "<speak>"  # of the omni stream
IMAGE_START, IMAGE_END = "<im_start>", "<im_end>"  # around an image, in formats F1, F3 and F4
KINDS = (
    "image",
    "audio",
    "text",
    "speech",
    "control",
)  # the order and the numbers of a token's modality
_RESERVED = (
    "unit",
    "listen",
    "speak",
    "im_start",
    "im_end",
    "image",
    "audio",
    "pad",
    "unknown",
)  # no role's tokens


class SequenceError(InputError):
    """A clip that cannot become a sequence; the message names the clip."""


class Item(NamedTuple):
    """One piece of a sequence. `text` is words for `text`, a token's name for `control`, empty for the senses."""

    kind: str  # one of KINDS
    start: int  # ticks from the clip's start
    end: int
    text: str = ""
    role: str | None = None
    loss: bool = False
    unit: int = 0  # which unit of the stream, or which part of the document, it stands in


@dataclass(frozen=True)
class Sequence:
    """Items in order, and what they show and sound like: the k-th image item shows `frames[k]`, and so for sound."""

    name: str  # of the clip or document: every fault says it
    items: tuple[Item, ...]
    frames: tuple[np.ndarray, ...] = ()  # F × H × W × 3, uint8
    waves: tuple[np.ndarray, ...] = ()  # samples, float32 at 16 kHz
    tilings: tuple[
        tuple[Tiling, int], ...
    ] = ()  # of every image item of a document: how it was cut, and which piece
    missing: tuple[
        str, ...
    ] = ()  # what the source lacks, or this layout has no place for, in words


def role_token(role: str | None) -> str:
    """The control token that opens the text of a role which is not the model's, whatever a film calls its roles."""
    return f"<{role}>" if role and role not in _RESERVED else "<someone>"
