"""Tokenization of sequences: ids with modality, loss mask, unit, time, item, role and document.

Items are encoded one by one, and their text reads as one all the same: what follows other text of
its role begins with a space, text without a role (of a document, or a prompt) with a new line,
unless white space stands there already. Supervised text without a role closes with an end mark:
text of a role has the control token after it.

Glossary: T tokens · F frames per unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Int64

from omni_lab.config import SequenceConfig
from omni_lab.sequences.items import KINDS, TEXT_END, Fact, Item, Sequence, SequenceError
from omni_lab.sequences.vocabulary import AUDIO, IMAGE, Vocabulary, encode_after, has_control

IMAGE_KIND, AUDIO_KIND, TEXT_KIND, SPEECH_KIND, CONTROL_KIND = range(len(KINDS))
NO_ROLE = -1


@dataclass
class Tokens:
    """Token row: arrays of length T, with the pixels and samples behind them in order."""

    name: str  # of the clip or document, or of a packed row
    ids: Int64[np.ndarray, " T"]
    kind: Int64[np.ndarray, " T"]  # index into KINDS
    loss: Bool[np.ndarray, " T"]  # supervised or not
    unit: Int64[np.ndarray, " T"]
    time: Int64[np.ndarray, " T"]  # ticks from the clip's start
    item: Int64[np.ndarray, " T"]  # index into the sequence's items
    role: Int64[np.ndarray, " T"]  # index into `roles`, NO_ROLE for items without a role
    document: Int64[np.ndarray, " T"]  # number of the document in a packed row, else 0
    roles: tuple[str, ...]
    frames: list[np.ndarray]  # per image item: F × height × width × 3
    waves: list[np.ndarray]  # per audio item: samples of one unit
    vocabulary: int  # ids are below it
    facts: tuple[Fact | None, ...] = ()  # per item, where any is known
    known: dict[str, Float32[np.ndarray, " T"]] = field(default_factory=dict)  # of tokens, by name


def tokenize(sequence: Sequence, vocabulary: Vocabulary, settings: SequenceConfig) -> Tokens:
    """Token arrays of one sequence.

    Token times are ticks at 16 kHz: audio tokens divide their unit evenly, any other token has the
    start of its item.

    Raises
    ------
    SequenceError
        the stream has no items or an unknown kind of item, or is longer than `settings.max_tokens`
    """
    media = {
        "image": (vocabulary.control(IMAGE),) * settings.image_tokens,
        "audio": (vocabulary.control(AUDIO),) * settings.audio_tokens,
    }
    items = sequence.items
    leads, ends = _leads(items), _ends(sequence) if has_control(vocabulary, TEXT_END) else set()
    ids: list[int] = []
    lengths: list[int] = []
    closing: list[int] = []  # places of end marks

    for number, item in enumerate(items):
        if item.kind == "text":
            lead = leads[number]
            encode = vocabulary.encode if lead is None else partial(encode_after, vocabulary)
            piece = encode((lead or "") + item.text)
            if number in ends:
                closing.append(len(ids) + len(piece))
                piece = (*piece, vocabulary.control(TEXT_END))
        elif item.kind == "control":
            piece = (vocabulary.control(item.text),)
        elif item.kind in media:
            piece = media[item.kind]
        else:
            wrong = f"no tokens for an item of kind {item.kind!r}"
            right = f"use one of {', '.join(('text', 'control', *media))}"
            raise SequenceError(f"clip {sequence.name}: {wrong}; {right}")
        ids.extend(piece)
        lengths.append(len(piece))

    units = np.array([item.unit for item in items], np.int64)
    _check_length(sequence.name, np.array(lengths, np.int64), units, settings)

    # what an item has, each of its tokens has
    index = np.repeat(np.arange(len(items)), lengths)
    kinds = np.array([KINDS.index(item.kind) for item in items])
    kind = kinds[index]
    kind[closing] = CONTROL_KIND
    starts, ends = (
        np.array([getattr(item, edge) for item in items], np.int64) for edge in ("start", "end")
    )
    first = np.cumsum(lengths) - lengths  # of every item's tokens
    spread = np.where(kinds == AUDIO_KIND, (ends - starts) / np.maximum(lengths, 1), 0.0)
    offset = (spread[index] * (np.arange(len(ids)) - first[index])).astype(np.int64)
    roles = tuple(dict.fromkeys(item.role for item in items if item.role is not None))
    number = {role: place for place, role in enumerate(roles)}

    return Tokens(
        name=sequence.name,
        ids=np.array(ids, np.int64),
        kind=kind,
        loss=np.array([item.loss for item in items], bool)[index],
        unit=units[index],
        time=starts[index] + offset,
        item=index,
        role=np.array([number.get(item.role, NO_ROLE) for item in items], np.int64)[index],
        document=np.zeros(len(ids), np.int64),
        roles=roles,
        frames=list(sequence.frames),
        waves=list(sequence.waves),
        vocabulary=len(vocabulary),
        facts=tuple(item.fact for item in items) if any(item.fact for item in items) else (),
    )


def _leads(items: tuple[Item, ...]) -> list[str | None]:
    """What stands before the text of every item: None where no text precedes it, or white space."""
    leads: list[str | None] = []
    said: dict[str | None, str] = {}  # role → its last text, None → the last text of all
    before = ""  # text of the item before, if it is one
    for item in items:
        text = item.text if item.kind == "text" else ""
        earlier = before or said.get(item.role, "")
        lead = None
        if text and earlier:
            apart = text[0].isspace() or earlier[-1].isspace()
            lead = "" if apart else "\n" if item.role is None else " "
        leads.append(lead)
        if text:
            said[item.role] = said[None] = text
        before = text
    return leads


def _ends(sequence: Sequence) -> set[int]:
    """Items whose text an end mark closes: the last of every run that is supervised without role."""
    plain = [
        item.kind == "text" and item.role is None and item.loss and bool(item.text)
        for item in sequence.items
    ]
    ends = {
        number
        for number, (one, after) in enumerate(zip(plain, [*plain[1:], False], strict=True))
        if one and not after
    }
    return ends if sequence.whole else ends - {len(plain) - 1}


def _check_length(
    name: str, lengths: np.ndarray, units: np.ndarray, settings: SequenceConfig
) -> None:
    """Refuse an empty stream, and one longer than `settings.max_tokens`."""
    most = settings.max_tokens
    if not len(lengths) or not lengths.sum():
        raise SequenceError(f"clip {name}: an empty stream, without a single token; add items")

    per_unit = np.bincount(units, weights=lengths).astype(int)
    if (longest := int(per_unit.max())) > most:
        stream = settings.layout == "stream"
        part, shorten = ("unit", "shorten sequence.unit_s, ") if stream else ("part", "")
        wrong = f"{part} {int(per_unit.argmax())} alone takes {longest} tokens"
        right = f"{shorten}take fewer tokens, or raise max_tokens"
        raise SequenceError(f"clip {name}: {wrong}, but sequence.max_tokens is {most}; {right}")

    if (total := int(lengths.sum())) > most:
        wrong = f"{total} tokens, but sequence.max_tokens is {most}"
        right = "cut it into shorter clips or raise the setting"
        raise SequenceError(f"clip {name}: {wrong}; {right}")
