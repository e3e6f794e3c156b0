"""What an evaluation of needles asks of a model, whatever the model is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Trial(NamedTuple):
    """One sequence with one question about something that stands at one place in it; the fields name it exactly."""

    kind: str  # of needle, one of its reader's `kinds`
    length: int  # tokens of the whole sequence, answer included
    depth: float  # of the needle: 0 at the very beginning, 1 right before the question
    seed: int  # of the filler, the needle and its place in the world
    present: bool = True  # False: the same question without its needle, which can only be guessed


@runtime_checkable
class NeedleModel(Protocol):
    """A model that trials can be laid before."""

    name: str  # names the model and all that changes its answers
    kinds: tuple[str, ...]  # of needles that it can be asked about
    trained: int | None  # the longest sequence it was trained on, tokens; None where nobody knows

    def chance(self, kind: str) -> float:
        """The share of answers that an even guess among the possible ones gets right."""

    def shortest(self, kind: str) -> int:
        """The fewest tokens that a trial takes: needle, question and answer, and no filler."""

    def read(self, trials: Sequence[Trial]) -> list[bool]:
        """Which trials are answered right: every token of the answer is the likeliest, given the true ones before."""
