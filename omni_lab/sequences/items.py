"""Sequence items, the form before tokens: modality, time, role and loss mask of every piece.

Every format, exporter, picture and model input is made from it: the omni stream (`stream.py`) and
the multi-image formats (`formats.py`) give a `Sequence`, `tokens.py` turns any `Sequence` into
tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omni_lab.errors import InputError
from omni_lab.sequences.tiling import Tiling

UNIT, LISTEN, SPEAK = "<unit>", "<listen>", "<speak>"  # of the omni stream
IMAGE_START, IMAGE_END = "<im_start>", "<im_end>"  # around an image, in formats F1, F3 and F4
TEXT_END = "<end>"  # after supervised text without a role, where the vocabulary has such a token
KINDS = ("image", "audio", "text", "speech", "control")  # a token's modality number is its index
# control tokens of other meaning: a role of such a name speaks as `<someone>`
_RESERVED = (
    "unit", "listen", "speak", "im_start", "im_end", "end", "image", "audio", "pad", "unknown",
)  # fmt: skip


class SequenceError(InputError):
    """Invalid input to sequence construction; the message names the clip."""


class Fact(NamedTuple):
    """Fact that an answer states, with the modalities that carry it."""

    name: str
    carriers: tuple[str, ...]


class Item(NamedTuple):
    """Sequence item: one image, sound, text or control token, with its time span in ticks.

    `text` holds the words of a `text`, the token's name of a `control`, and is empty for others.
    """

    kind: str  # one of KINDS
    start: int  # ticks from the clip's start
    end: int  # ticks
    text: str = ""
    role: str | None = None
    loss: bool = False  # supervised or not
    unit: int = 0  # number of the stream's unit, or of the document's part
    fact: Fact | None = None  # what supervised text states, where the truth is known


@dataclass(frozen=True)
class Sequence:
    """Ordered items with their media: the k-th image item shows `frames[k]`, likewise `waves`."""

    name: str  # of the clip or document, for error messages
    items: tuple[Item, ...]
    frames: tuple[np.ndarray, ...] = ()  # F × height × width × 3, uint8
    waves: tuple[np.ndarray, ...] = ()  # samples, float32 at 16 kHz
    # of every image item of a document: its picture's tiling, and which piece of it
    tilings: tuple[tuple[Tiling, int], ...] = ()
    missing: tuple[str, ...] = ()  # what the source lacks or the layout leaves out, in words
    whole: bool = True  # False: its text goes on in another sequence, and has no end mark here


def role_token(role: str | None) -> str:
    """Role token: the control token that opens another role's text; `<someone>` without a role."""
    return f"<{role}>" if role and role not in _RESERVED else "<someone>"
