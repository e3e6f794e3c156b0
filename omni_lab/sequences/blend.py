"""Streams of documents in a fixed ratio, such as image : text : audio = 8 : 1 : 1 (source document O, claim O18).

The source does not say in which unit. Both are offered: `clips` counts documents and is exact over every window as long
as the ratio's sum; `tokens` counts their tokens, and no stream is ever ahead of its share by more than one of its own
documents (nor behind it by more than the others are ahead).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from omni_lab.errors import UsageError
from omni_lab.sequences.tokens import Tokens

UNITS = ("clips", "tokens")


@runtime_checkable
class Documents(Protocol):
    """Documents by number, the same one each time: a list, or whatever makes them; IndexError after the last."""

    def __getitem__(self, number: int) -> Tokens:
        """Document `number`."""


def furthest_behind(taken: Mapping[str, int], ratio: Mapping[str, int]) -> str:
    """Divisor method: the name with the least (taken + 1/2) / weight, the first where several are.

    Whole numbers throughout, so that the choice is the same on every machine.

    >>> furthest_behind({"image": 8, "text": 0}, {"image": 8, "text": 1})
    'text'
    """
    common = math.lcm(*ratio.values())
    return min(ratio, key=lambda name: (2 * taken[name] + 1) * (common // ratio[name]))


class Blend:
    """Documents of several streams in a ratio; it ends where a stream that is due has ended.

    The stream that is furthest behind its share comes next (the divisor method of Webster for clips), so that the order
    is even and depends on nothing but what came before: image 8, text 1, audio 1, in clips, begins i i i i t a i i i i.

    Parameters
    ----------
    streams : documents by name
    ratio : weight of every stream by name, whole numbers; without it all are equally heavy
    unit : `clips` or `tokens`
    """

    def __init__(
        self,
        streams: Mapping[str, Documents],
        ratio: Mapping[str, int] | None = None,
        unit: str = "clips",
    ) -> None:
        ratio = dict(ratio or dict.fromkeys(streams, 1))
        if set(ratio) != set(streams) or not streams:
            raise UsageError(
                f"ratio of {', '.join(ratio)}: the streams are {', '.join(streams) or 'none'}"
            )
        if (
            any(not isinstance(weight, int) or weight < 1 for weight in ratio.values())
            or unit not in UNITS
        ):
            right = f"weights are whole numbers, 1 or more, the unit is one of {', '.join(UNITS)}"
            raise UsageError(f"ratio {ratio} in {unit!r}: {right}")
        self.streams, self.ratio, self.unit = streams, ratio, unit
        self._drawn = dict.fromkeys(ratio, 0)  # documents of each stream
        self._taken = dict.fromkeys(ratio, 0)  # of the unit

    def __iter__(self) -> Iterator[tuple[tuple[str, int], Tokens]]:
        """Give (stream, number) and document, one after the other."""
        while True:
            name = self._next()
            address = (name, self._drawn[name])
            try:
                document = self.read(*address)
            except IndexError:
                return
            self._drawn[name] += 1
            self._taken[name] += 1 if self.unit == "clips" else len(document.ids)
            yield address, document

    def _next(self) -> str:
        """The stream furthest behind."""
        return furthest_behind(self._taken, self.ratio)

    def read(self, stream: str, number: int) -> Tokens:
        """One document, which may have been drawn before."""
        return self.streams[stream][number]

    def state_dict(self) -> dict[str, Any]:
        """Say where to go on, in plain JSON."""
        return {
            "ratio": dict(self.ratio),
            "unit": self.unit,
            "drawn": dict(self._drawn),
            "taken": dict(self._taken),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises
        ------
        UsageError
            the state is of another ratio or unit
        """
        if (state["ratio"], state["unit"]) != (self.ratio, self.unit):
            own = f"{self.ratio} in {self.unit}"
            raise UsageError(
                f"the state is of the ratio {state['ratio']} in {state['unit']}, this blend keeps {own}"
            )
        self._drawn, self._taken = dict(state["drawn"]), dict(state["taken"])
