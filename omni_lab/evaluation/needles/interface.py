"""Interface between the needle-in-a-haystack evaluation and a model: trials in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Trial(NamedTuple):
    """Needle trial: one sequence with one needle and one question, determined by its fields."""

    kind: str  # of needle, one of the reader's `kinds`
    length: int  # tokens of the whole sequence, answer included
    depth: float  # of the needle: 0 at the very beginning, 1 right before the question
    seed: int  # of the filler, the needle and its place in the world
    present: bool = True  # False is the control: the same question, without the needle


@runtime_checkable
class NeedleModel(Protocol):
    """Needle reader: a model that answers needle trials."""

    name: str  # of the model, with every change that affects its answers
    kinds: tuple[str, ...]  # of needles that the reader supports
    trained: int | None  # longest training sequence, tokens; None where it is unknown

    def chance(self, kind: str) -> float:
        """Accuracy of a uniform guess among the possible answers."""

    def shortest(self, kind: str) -> int:
        """Minimum length of a trial, tokens: needle, question and answer, without filler."""

    def contents(self) -> dict[str, str]:
        """Digests of all that the answers depend on, such as weights; equal names may hide others."""

    def vet(self, trials: Sequence[Trial]) -> None:
        """Premises of a measurement, checked before its first cell on its longest trials.

        Raises
        ------
        OmniLabError
            answers of this model would mean nothing, or it cannot read the trials
        """

    def read(self, trials: Sequence[Trial]) -> list[bool]:
        """Correctness of every trial: each answer token is the likeliest, given the true ones."""
