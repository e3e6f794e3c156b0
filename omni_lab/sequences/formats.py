"""Multi-image prompt formats F0–F4 (OmChat, claim C13), with the omni stream beside them.

======  =====================================  ================================================
format  before and around an image's tokens    source
======  =====================================  ================================================
F0      nothing                                OmChat: image tokens concatenated
F1      <im_start> … <im_end>                  ours: the paper does not spell it out
F2      image 1 …                              ours: the paper does not spell it out
F3      image 1 <im_start> … <im_end>          OmChat
F4      as F3, and frame 1 … for video         OmChat's best, trained with video instructions
======  =====================================  ================================================
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from omni_lab.config import Config, SequenceConfig
from omni_lab.media.subtitles.reader import Cue
from omni_lab.sequences.documents import Document, Picture, as_document
from omni_lab.sequences.items import IMAGE_END, IMAGE_START, Item, Sequence, SequenceError
from omni_lab.sequences.stream import omni_stream, spoken
from omni_lab.sequences.tiling import OMCHAT_GRIDS, Grid, Tiling, cut, grids
from omni_lab.sequences.tokens import IMAGE_KIND, Tokens, tokenize
from omni_lab.sequences.vocabulary import Vocabulary
from omni_lab.triplets.record import Triplet


@dataclass(frozen=True)
class Written:
    """Lazily tokenized documents by number, for packing.

    Parameters
    ----------
    clip : number → clip or other content: `ClipStream(folder).at`, or a list's `__getitem__`
    """

    clip: Callable[[int], Any]
    config: Config
    vocabulary: Vocabulary

    def __getitem__(self, number: int) -> Tokens:
        """Tokens of document `number`; one without text is kept, as context to look at or hear.

        Raises
        ------
        IndexError
            there is no such clip
        SequenceError
            its layout does not apply, or it is longer than the context
        """
        sequence = lay_out(self.clip(number), self.config, supervised=False)
        return tokenize(sequence, self.vocabulary, self.config.sequence)


class Format(NamedTuple):
    """Prompt format of images: the text and marks written beside an image's tokens."""

    marks: bool  # <im_start> and <im_end> around them
    prompt: bool  # `image 1` before them
    frames: bool  # `frame 1` instead, where the image is a frame of a video


FORMATS = {
    "F0": Format(marks=False, prompt=False, frames=False),
    "F1": Format(marks=True, prompt=False, frames=False),
    "F2": Format(marks=False, prompt=True, frames=False),
    "F3": Format(marks=True, prompt=True, frames=False),
    "F4": Format(marks=True, prompt=True, frames=True),
}


def lay_out(content: Any, config: Config, supervised: bool = True) -> Sequence:
    """Sequence layout by `config.sequence.layout`: a clip as omni stream, any content as F0–F4.

    Parameters
    ----------
    content : a clip, a document, or anything that `as_document` takes
    supervised : refuse content without text; False lays it out as context, to be asked about

    Raises
    ------
    SequenceError
        the layout is unknown, the content has no text, or the omni stream gets no clip
    """
    layout = config.sequence.layout
    if layout == "stream" and isinstance(content, Triplet):
        return omni_stream(content, config.sequence, supervised)

    document = (
        content if isinstance(content, Document) else as_document(content, cutting=config.triplets)
    )
    if layout not in FORMATS:
        has = (
            "the omni stream needs a clip, with times"
            if layout == "stream"
            else f"there is no format {layout!r}"
        )
        raise SequenceError(
            f"clip {document.name}: {has}; set sequence.layout to one of {', '.join(FORMATS)}"
        )
    if supervised and not any(isinstance(part, Cue) for part in document.parts):
        wrong = "no text in it, so that no token is supervised"
        raise SequenceError(f"clip {document.name}: {wrong}; give it text")
    return _written(document, FORMATS[layout], config.sequence, config.model.image.size)


def _written(document: Document, written: Format, settings: SequenceConfig, size: int) -> Sequence:
    """Sequence of a document in one format; every part of the document is a unit."""
    items: list[Item] = []
    frames: list[np.ndarray] = []
    tilings: list[tuple[Tiling, int]] = []
    numbers: Counter[str] = Counter()  # images, and frames in a format that counts them apart

    for unit, part in enumerate(document.parts):
        if isinstance(part, Cue):
            items.extend(_text(part, unit, settings))
            continue

        name = "frame" if part.frame and written.frames else "image"
        numbers[name] += 1
        tiling = cut(part.pixels, size, _grids(part, settings))
        frames += [np.stack([picture] * settings.frames_per_unit) for picture in tiling.pictures]
        tilings += [(tiling, piece) for piece in range(len(tiling.pictures))]
        items.extend(_image(f"{name} {numbers[name]}", part, len(tiling.pictures), unit, written))

    return Sequence(
        document.name, tuple(items), tuple(frames), (), tuple(tilings), document.missing
    )


def seen_by(
    sequence: Sequence, tokens: Tokens, place: int, config: Config
) -> tuple[int, tuple[float, ...]] | None:
    """Receptive field of the image token at `place`: (picture of the document, box).

    Pictures count from 0; the box is (left, top, right, bottom) in pixels of the original picture.
    None for a token of another modality, or one that sees nothing but the letterbox margin.
    """
    run = np.flatnonzero(tokens.kind == IMAGE_KIND)
    at = int(np.searchsorted(run, place))
    if at == len(run) or run[at] != place:
        return None
    item, token = divmod(at, config.sequence.image_tokens)
    tiling, piece = sequence.tilings[item]
    box = tiling.box(
        piece, token, math.isqrt(config.sequence.image_tokens), config.model.image.patch
    )
    picture = sum(first == 0 for _, first in sequence.tilings[: item + 1]) - 1
    return None if box is None else (picture, box)


def _grids(picture: Picture, config: SequenceConfig) -> tuple[Grid, ...]:
    """Grids that a picture may be tiled in."""
    if picture.frame:
        return grids(1)  # a video has its detail in time, so a frame takes no tiles
    return OMCHAT_GRIDS if config.grids == "omchat" else grids(config.tiles)


def _image(
    prompt: str, picture: Picture, pictures: int, unit: int, written: Format
) -> Iterator[Item]:
    """Items of one image, thumbnail and tiles, with the prompt and marks of the format."""
    at = picture.time
    if written.prompt:
        yield Item("text", at, at, prompt, unit=unit)
    if written.marks:
        yield Item("control", at, at, IMAGE_START, unit=unit)
    for _ in range(pictures):
        yield Item("image", at, at, unit=unit)
    if written.marks:
        yield Item("control", at, at, IMAGE_END, unit=unit)


def _text(cue: Cue, unit: int, settings: SequenceConfig) -> Iterator[Item]:
    """Items of a text: a dialogue turn where it has a role, else supervised text."""
    if cue.role is None:
        yield Item("text", cue.start, cue.end, cue.text, loss=True, unit=unit)
    else:
        yield from spoken(cue, unit, settings)
