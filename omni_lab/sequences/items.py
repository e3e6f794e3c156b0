"""The neutral form of a sequence: items in order, each with its modality, time, role and whether it is supervised.

The omni stream is the time-division stream of MiniCPM-o: for every second of film `<unit>`, that second's image
tokens, its audio tokens, then its text. `<listen>` says that the model is silent, `<speak>` that it writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND, SequenceConfig
from omni_lab.errors import InputFault
from omni_lab.triplets.record import Triplet

UNIT, LISTEN, SPEAK = "<unit>", "<listen>", "<speak>"
KINDS = ("image", "audio", "text", "speech", "control")  # the order and the numbers of a token's modality
_RESERVED = ("unit", "listen", "speak", "image", "audio", "pad", "unknown")  # tokens that are no role's


class SequenceFault(InputFault):
    """A clip that cannot become a sequence; the message names the clip."""


class Item(NamedTuple):
    """One piece of a sequence. `text` is words for `text`, a token's name for `control`, empty for the senses."""

    kind: str  # one of KINDS
    start: int  # ticks from the clip's start
    end: int
    text: str = ""
    role: str | None = None
    loss: bool = False
    unit: int = 0  # which unit of the stream it stands in


@dataclass(frozen=True)
class Sequence:
    """A clip's items, with the clip that image and audio items point into (by their times)."""

    triplet: Triplet
    items: tuple[Item, ...]


def role_token(role: str | None) -> str:
    """The control token that opens the text of a role which is not the model's, whatever a film calls its roles."""
    return f"<{role}>" if role and role not in _RESERVED else "<someone>"


def unit_count(triplet: Triplet, config: SequenceConfig) -> int:
    """Units of a clip's stream: a last one shorter than half a unit does not count, but there is always one."""
    unit_ticks = round(config.unit_s * TICKS_PER_SECOND)
    return max(1, (triplet.duration + unit_ticks // 2) // unit_ticks)


def omni_stream(triplet: Triplet, config: SequenceConfig) -> Sequence:
    """Lay a clip out as the omni stream.

    A sense that the clip lacks has no items in the stream; a last unit shorter than half a unit is left out.
    The text of `config.model_role` is supervised, with the `<speak>` before and the `<listen>` after it.
    """
    unit_ticks = round(config.unit_s * TICKS_PER_SECOND)
    units = unit_count(triplet, config)
    if not triplet.has:
        raise SequenceFault(f"clip {triplet.clip_id}: nothing to see, hear or read in it")
    for sense, content in (("image", triplet.frames), ("audio", triplet.audio)):
        if sense in triplet.has and not len(content):
            raise SequenceFault(f"clip {triplet.clip_id}: it is said to have {sense}, but there is none in it")
    cues_of: list[list] = [[] for _ in range(units)]
    for cue in triplet.cues:
        cues_of[min(max(cue.start, 0) // unit_ticks, units - 1)].append(cue)
    items: list[Item] = []
    for unit in range(units):
        start, end = unit * unit_ticks, (unit + 1) * unit_ticks
        items.append(Item("control", start, start, UNIT, unit=unit))
        if "image" in triplet.has:
            items.append(Item("image", start, end, unit=unit))
        if "audio" in triplet.has:
            items.append(Item("audio", start, end, unit=unit))
        items.append(Item("control", end, end, LISTEN, config.model_role, True, unit))
        for cue in cues_of[unit]:
            speaks = cue.role == config.model_role
            opening = SPEAK if speaks else role_token(cue.role)
            items.append(Item("control", cue.start, cue.start, opening, cue.role, speaks, unit))
            items.append(Item("text", cue.start, cue.end, cue.text, cue.role, speaks, unit))
            if speaks:
                items.append(Item("control", cue.end, cue.end, LISTEN, cue.role, True, unit))
    return Sequence(triplet, tuple(items))
