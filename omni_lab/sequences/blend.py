"""Data mixture of document streams in a fixed ratio, such as image : text : audio = 8 : 1 : 1.

The ratio is claim O18 of source document O, which leaves its unit open. Both units are offered:
`clips` counts documents and is exact over every window as long as the ratio's sum; `tokens` counts
their tokens, and no stream is ever ahead of its due by more than one of its documents (nor behind
by more than the others are ahead).
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
    """Tokenized documents by number, deterministic; IndexError after the last."""

    def __getitem__(self, number: int) -> Tokens:
        """Document `number`."""


def furthest_behind(taken: Mapping[str, int], ratio: Mapping[str, int]) -> str:
    """Divisor method (Webster): least (taken + 1/2) / weight comes next, the first of equals.

    Whole numbers throughout, so that the choice is the same on every machine.

    >>> furthest_behind({"image": 8, "text": 0}, {"image": 8, "text": 1})
    'text'
    """
    common = math.lcm(*ratio.values())
    return min(ratio, key=lambda name: (2 * taken[name] + 1) * (common // ratio[name]))


class Blend:
    """Interleaved document streams in a ratio; ends where a stream that is due has ended.

    The stream furthest behind its due comes next (Webster's divisor method), so that the order is
    even and depends only on what came before: image 8, text 1, audio 1 in clips begins
    i i i i t a i i i i.

    Parameters
    ----------
    streams : documents by name
    ratio : weight of every stream by name, whole numbers; without it all weigh the same
    unit : `clips` or `tokens`, what the ratio counts

    Raises
    ------
    UsageError
        the ratio names other streams, a weight is no whole number, or the unit is unknown
    """

    def __init__(
        self,
        streams: Mapping[str, Documents],
        ratio: Mapping[str, int] | None = None,
        unit: str = "clips",
    ) -> None:
        ratio = dict(ratio or dict.fromkeys(streams, 1))
        if set(ratio) != set(streams) or not streams:
            named, right = ", ".join(ratio), ", ".join(streams) or "none"
            raise UsageError(f"ratio of {named}: the streams are {right}; name each once")
        whole = all(isinstance(weight, int) and weight >= 1 for weight in ratio.values())
        if not whole or unit not in UNITS:
            right = f"weights are whole numbers, 1 or more, the unit is one of {', '.join(UNITS)}"
            raise UsageError(f"ratio {ratio} in {unit!r}: {right}")

        self.streams, self.ratio, self.unit = streams, ratio, unit
        self._drawn = dict.fromkeys(ratio, 0)  # documents of each stream
        self._taken = dict.fromkeys(ratio, 0)  # of the unit

    def __iter__(self) -> Iterator[tuple[tuple[str, int], Tokens]]:
        """Iterate over ((stream, number), document)."""
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
        """Name of the stream that is due next."""
        return furthest_behind(self._taken, self.ratio)

    def read(self, stream: str, number: int) -> Tokens:
        """Document `number` of a stream, drawn before or not."""
        return self.streams[stream][number]

    def state_dict(self) -> dict[str, Any]:
        """Resume state in plain JSON: documents drawn and units taken of every stream."""
        return {
            "ratio": dict(self.ratio),
            "unit": self.unit,
            "drawn": dict(self._drawn),
            "taken": dict(self._taken),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a `state_dict`.

        Raises
        ------
        UsageError
            the state was taken with another ratio or unit
        """
        if (state["ratio"], state["unit"]) != (self.ratio, self.unit):
            other, own = f"{state['ratio']} in {state['unit']}", f"{self.ratio} in {self.unit}"
            raise UsageError(
                f"resume state of ratio {other}, but this blend has {own}; resume with the same"
            )
        self._drawn, self._taken = dict(state["drawn"]), dict(state["taken"])
