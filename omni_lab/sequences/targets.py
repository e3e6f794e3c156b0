"""Targets by group: what every supervised token states, and the modalities that carry it.

A loss per fact and per sense needs to know which tokens belong to which. Where the truth of a
document is known, its answers count, each under the fact that it states; elsewhere all supervised
text counts, under the modalities that its document shows. What else is known of a token beforehand,
such as its loss under a reference model, stands beside them by name.

Glossary: B batch · T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, TEXT_KIND, Tokens

SENSES = ("image", "audio", "text", "both")  # what carries an answer; both: image and audio
NO_GROUP = -1
_SHOWN = {IMAGE_KIND: "image", AUDIO_KIND: "audio"}


@dataclass(frozen=True)
class Targets:
    """Fact and sense of the label at every place of a batch, NO_GROUP where there is none.

    Parameters
    ----------
    known : numbers of labels by name, NaN where there is none
    """

    fact: Int64[Tensor, "B T"]  # index into `facts`
    sense: Int64[Tensor, "B T"]  # index into SENSES
    facts: tuple[str, ...]
    known: dict[str, Float[Tensor, "B T"]] = field(default_factory=dict)

    def to(self, device, non_blocking: bool = False) -> Targets:
        """The same on another device."""
        moved = (part.to(device, non_blocking=non_blocking) for part in (self.fact, self.sense))
        known = {n: v.to(device, non_blocking=non_blocking) for n, v in self.known.items()}
        return Targets(*moved, self.facts, known)


def sense_of(modalities: tuple[str, ...] | set[str]) -> int:
    """Number of the sense that these modalities are, an index into SENSES.

    >>> SENSES[sense_of(("image", "audio"))], SENSES[sense_of(("text", "audio"))]
    ('both', 'audio')
    """
    seen, heard = "image" in modalities, "audio" in modalities
    name = "both" if seen and heard else "image" if seen else "audio" if heard else "text"
    return SENSES.index(name)


def targets_of(rows: list[Tokens]) -> Targets:
    """Targets of token rows, padded to the longest; a label is the token after its place."""
    known = [fact for row in rows for fact in row.facts if fact]
    facts = tuple(sorted({fact.name for fact in known}))
    longest = max(len(row.ids) for row in rows)
    fact, sense = (np.full((len(rows), longest), NO_GROUP) for _ in range(2))

    names = dict.fromkeys(name for row in rows for name in row.known)
    known = {name: np.full((len(rows), longest), np.nan, np.float32) for name in names}

    for number, row in enumerate(rows):
        own_fact, own_sense = _by_token(row, facts)
        fact[number, : len(row.ids) - 1] = own_fact[1:]
        sense[number, : len(row.ids) - 1] = own_sense[1:]
        for name, values in row.known.items():
            known[name][number, : len(row.ids) - 1] = values[1:]
    by_name = {name: torch.from_numpy(values) for name, values in known.items()}
    return Targets(torch.from_numpy(fact), torch.from_numpy(sense), facts, by_name)


def _by_token(
    row: Tokens, facts: tuple[str, ...]
) -> tuple[Int64[np.ndarray, " T"], Int64[np.ndarray, " T"]]:
    """Fact and sense of every token of a row."""
    fact, sense = (np.full(len(row.ids), NO_GROUP) for _ in range(2))
    if row.facts:
        number = {name: place for place, name in enumerate(facts)}
        fact = np.array([number[one.name] if one else NO_GROUP for one in row.facts])[row.item]
        sense = np.array([sense_of(one.carriers) if one else NO_GROUP for one in row.facts])
        sense = sense[row.item]

    text = row.loss & (row.kind == TEXT_KIND)
    edges = np.flatnonzero(np.diff(row.document)) + 1
    for first, last in pairwise((0, *edges, len(row.ids))):
        here = slice(first, last)
        if (fact[here] == NO_GROUP).all():  # nobody knows what its text states
            kinds = row.kind[here]
            shown = {name for kind, name in _SHOWN.items() if (kinds == kind).any()}
            sense[here] = np.where(text[here], sense_of(shown), NO_GROUP)
    return fact, sense
