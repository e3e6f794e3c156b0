"""Small exercise: a function of a few lines, checked on cases against the right one.

A wrong attempt is recognised by what it computes: if on every case it gives what a catalogued
mistake gives, the reader is told why that is one; else what all its answers have in common.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni_lab.check.verdict import Verdict, tried

_CLOSE = 1e-6  # relative error of a number that counts as right


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """Small exercise; called with an attempt, it gives a `Verdict`.

    Parameters
    ----------
    right : the right function, which asks the package
    cases : arguments on which an attempt is run, the plainest first
    rule : what is right, in one sentence, said where no mistake is recognised
    mistakes : functions that are wrong in a usual way, each with the reason why
    inputs : random arguments, for the measure of diagnostic power
    shows : what a right attempt has shown, in a few words
    """

    right: Callable[..., Any]
    cases: Sequence[tuple]
    rule: str
    mistakes: Sequence[tuple[Callable[..., Any], str]]
    inputs: Callable[[random.Random], tuple]
    shows: str = ""

    def __call__(self, attempt: Callable[..., Any]) -> Verdict:
        """Verdict on an attempt, by what it computes on every case."""
        answers, truths = [], [plain(self.right(*copy.deepcopy(case))) for case in self.cases]
        for case in self.cases:
            given = copy.deepcopy(case)
            value = tried(attempt, *given)
            if isinstance(value, Verdict):
                return value
            if not _equal(plain(given), plain(case)):
                return Verdict(False, "your function changes what it is given; make a new value")
            answers.append(plain(value))

        if _equal(answers, truths):
            return Verdict(True, f"right{f': {self.shows}' if self.shows else ''}")
        for mistake, why in self.mistakes:
            if _equal(answers, self._of(mistake)):
                return Verdict(False, why)
        common = in_common(answers, truths)
        return Verdict(False, f"{common}: {self.rule}" if common else self._first(answers, truths))

    def _of(self, mistake: Callable[..., Any]) -> list:
        """What a mistake gives on every case."""
        return [plain(tried(mistake, *copy.deepcopy(case))) for case in self.cases]

    def _first(self, answers: list, truths: list) -> str:
        """First case that is wrong, in words."""
        pairs = zip(self.cases, answers, truths, strict=True)
        case, mine, true = next(one for one in pairs if not _equal(*one[1:]))
        asked = ", ".join(map(_shown, case))
        told = f"for ({asked}) it gives {_shown(mine)}, and right is {_shown(true)}"
        place = _first_apart(mine, true)
        return f"{told}{f'; place {place} differs first' if place else ''}: {self.rule}"


def in_common(answers: Sequence, truths: Sequence) -> str | None:
    """What all wrong answers have in common, in words; None where it is nothing that has a name.

    >>> in_common([2, 4, 6], [1, 2, 3]), in_common([2, 3], [1, 2])
    ('every answer is 2 times the right one', 'every answer is 1 too large')
    """
    kinds = {(_kind(mine), _kind(true)) for mine, true in zip(answers, truths, strict=True)}
    if len(kinds) == 1 and len(set(*kinds)) > 1:
        (mine, true), *_ = kinds
        return f"it returns {mine}, where {true} is asked for"
    if all(_kind(true) == "a list" for true in truths) and kinds == {("a list", "a list")}:
        return _lists(answers, truths)
    if kinds != {("a number", "a number")}:
        return None

    return _numbers(np.array(answers, float), np.array(truths, float))


def _numbers(answers: np.ndarray, truths: np.ndarray) -> str | None:
    """What several wrong numbers have in common, in words."""
    if len(answers) < 2 or not np.isfinite([answers, truths]).all():
        return None
    factor = answers @ truths / (truths @ truths or 1)
    apart = (answers - truths)[0]
    if np.allclose(answers, factor * truths, rtol=_CLOSE, atol=0) and factor:
        times = f"is {_shown(float(factor))} times the right one"
        return f"every answer {'has the wrong sign' if factor == -1 else times}"
    if np.allclose(answers - truths, apart, rtol=_CLOSE, atol=0):
        size = abs(float(apart))
        shown = _shown(int(size) if size.is_integer() else size)
        return f"every answer is {shown} too {'large' if apart > 0 else 'small'}"
    return None


def _lists(answers: Sequence[list], truths: Sequence[list]) -> str | None:
    """What all wrong lists have in common, in words."""
    pairs = list(zip(answers, truths, strict=True))
    if all(not mine for mine, _ in pairs):
        return "every list is empty"
    off = {len(mine) - len(true) for mine, true in pairs}
    if off != {0}:
        few = all(length < 0 for length in off if length)
        many = all(length > 0 for length in off if length)
        return f"lists come out too {'short' if few else 'long'}" if few or many else None
    if all(_equal(mine, true[::-1]) for mine, true in pairs):
        return "every list is in the reverse order"
    if all(_flags(true) and _equal(mine, [not flag for flag in true]) for mine, true in pairs):
        return "every True is a False, and the other way round"
    if all(_equal(sorted(map(str, mine)), sorted(map(str, true))) for mine, true in pairs):
        return "the right things, in the wrong order"
    return None


def _flags(values: list) -> bool:
    """Whether a list holds nothing but True and False."""
    return all(isinstance(value, bool) for value in values)


def plain(value: Any) -> Any:
    """Value without its type's accents: arrays and tuples as lists, NumPy's numbers as Python's."""
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def _kind(value: Any) -> str:
    """Kind of a plain value, in words."""
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, int | float):
        return "a number"
    return {list: "a list", str: "a text", dict: "a dict"}.get(type(value), type(value).__name__)


def _equal(one: Any, other: Any) -> bool:
    """Equality of plain values: numbers up to rounding, True as 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, int | float) and isinstance(other, int | float):
        same_nan = one != one and other != other
        return same_nan or math.isclose(one, other, rel_tol=_CLOSE, abs_tol=1e-9)
    return type(one) is type(other) and one == other


def _first_apart(mine: Any, true: Any) -> int:
    """First place at which two equally long lists differ, counted from 0; 0 for what is no list."""
    if not isinstance(mine, list) or not isinstance(true, list) or len(mine) != len(true):
        return 0
    return next(at for at, pair in enumerate(zip(mine, true, strict=True)) if not _equal(*pair))


def _shown(value: Any) -> str:
    """Value in a message, short."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        inside = ", ".join(map(_shown, value[:12]))
        return f"[{inside}{', …' if len(value) > 12 else ''}]"
    if hasattr(value, "shape"):
        return (
            f"an array of shape {tuple(value.shape)}" if value.size > 12 else _shown(plain(value))
        )
    return f"{value!r:.80}"
