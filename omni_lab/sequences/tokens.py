"""From items to tokens: every token knows its modality, its role, its item, its time, and whether it is supervised.

Glossary: T tokens · F frames per unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from omni_lab.config import SequenceConfig
from omni_lab.sequences.items import KINDS, Sequence, SequenceError
from omni_lab.sequences.vocabulary import AUDIO, IMAGE, Vocabulary

IMAGE_KIND, AUDIO_KIND, TEXT_KIND, SPEECH_KIND, CONTROL_KIND = range(len(KINDS))
NO_ROLE = -1


@dataclass
class Tokens:
    """One row of tokens as arrays of length T, with the pixels and samples behind them in order."""

    name: str  # of the clip or document, or of the row that several of them are packed in
    ids: Int64[np.ndarray, " T"]
    kind: Int64[np.ndarray, " T"]  # index into KINDS
    loss: Bool[np.ndarray, " T"]  # supervised or not
    unit: Int64[np.ndarray, " T"]
    time: Int64[np.ndarray, " T"]  # ticks from the clip's start
    item: Int64[np.ndarray, " T"]  # index into the sequence's items
    role: Int64[np.ndarray, " T"]  # index into `roles`, NO_ROLE where nobody speaks
    document: Int64[
        np.ndarray, " T"
    ]  # which of the documents packed in this row; 0 where there is one
    roles: tuple[str, ...]
    frames: list[np.ndarray]  # per image item: F × H × W × 3
    waves: list[np.ndarray]  # per audio item: samples of one unit
    vocabulary: int  # ids are below it


def tokenize(sequence: Sequence, vocabulary: Vocabulary, settings: SequenceConfig) -> Tokens:
    """Turn the items of one sequence into token arrays.

    The tokens of a sound divide its unit evenly, any other token has the time at which its item begins.

    Raises
    ------
    SequenceError
        the stream has no items or an unknown kind of item, or is longer than `settings.max_tokens`
    """
    sense = {
        "image": (vocabulary.control(IMAGE),) * settings.image_tokens,
        "audio": (vocabulary.control(AUDIO),) * settings.audio_tokens,
    }
    items = sequence.items
    ids: list[int] = []
    lengths: list[int] = []
    for item in items:
        if item.kind == "text":
            piece = vocabulary.encode(item.text)
        elif item.kind == "control":
            piece = (vocabulary.control(item.text),)
        elif item.kind in sense:
            piece = sense[item.kind]
        else:
            raise SequenceError(
                f"clip {sequence.name}: no tokens for an item of kind {item.kind!r}"
            )
        ids.extend(piece)
        lengths.append(len(piece))
    units = np.array([item.unit for item in items], np.int64)
    _check_length(sequence.name, np.array(lengths, np.int64), units, settings)
    index = np.repeat(np.arange(len(items)), lengths)
    kinds = np.array([KINDS.index(item.kind) for item in items])
    starts, ends = (
        np.array([getattr(item, edge) for item in items], np.int64) for edge in ("start", "end")
    )
    first = np.cumsum(lengths) - lengths  # of every item's tokens
    spread = np.where(kinds == AUDIO_KIND, (ends - starts) / np.maximum(lengths, 1), 0.0)
    roles = tuple(dict.fromkeys(item.role for item in items if item.role is not None))
    number = {role: place for place, role in enumerate(roles)}
    return Tokens(
        name=sequence.name,
        ids=np.array(ids, np.int64),
        kind=kinds[index],
        loss=np.array([item.loss for item in items], bool)[index],
        unit=units[index],
        time=starts[index]
        + (spread[index] * (np.arange(len(ids)) - first[index])).astype(np.int64),
        item=index,
        role=np.array([number.get(item.role, NO_ROLE) for item in items], np.int64)[index],
        document=np.zeros(len(ids), np.int64),
        roles=roles,
        frames=list(sequence.frames),
        waves=list(sequence.waves),
        vocabulary=len(vocabulary),
    )


def _check_length(
    name: str, lengths: np.ndarray, units: np.ndarray, settings: SequenceConfig
) -> None:
    """Refuse an empty stream, and one that is longer than the context."""
    most = settings.max_tokens
    if not len(lengths) or not lengths.sum():
        raise SequenceError(f"clip {name}: an empty stream, without a single token")
    per_unit = np.bincount(units, weights=lengths).astype(int)
    if (longest := int(per_unit.max())) > most:
        part, right = (
            ("unit", "shorten sequence.unit_s, ") if settings.layout == "stream" else ("part", "")
        )
        message = f"{part} {int(per_unit.argmax())} alone takes {longest} tokens, but sequence.max_tokens is {most}"
        raise SequenceError(
            f"clip {name}: {message}; {right}take fewer tokens, or raise max_tokens"
        )
    if (total := int(lengths.sum())) > most:
        message = f"{total} tokens, but sequence.max_tokens is {most}"
        raise SequenceError(
            f"clip {name}: {message}; cut it into shorter clips or raise the setting"
        )
