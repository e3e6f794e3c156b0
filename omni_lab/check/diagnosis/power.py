"""Diagnostic power of a checker: which machine-made mistakes it refuses, and which it names.

A mutant that computes the same as the right answer, on random inputs that the checker has never
seen, is no mistake and does not count. Of the others every one has to be refused, and the message
should name the line that was changed. Right answers in other styles have to pass.
"""

from __future__ import annotations

import inspect
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from omni_lab import check
from omni_lab.check.diagnosis.mutants import mutants
from omni_lab.check.step import Step
from omni_lab.check.verdict import tried

_PROBES = 40  # random inputs that tell a mutant from the right answer


@dataclass(frozen=True)
class Exercise:
    """Exercise: its checker, right answers, random inputs, and what its lines are about.

    Parameters
    ----------
    inputs : arguments of an attempt, from a source of random numbers
    meant : word behind `#:` → parts of messages that name a slip on such a line; empty for a small
        exercise, whose message names a mistake unless it only shows the first wrong case
    """

    checker: Callable[[Callable], check.Verdict]
    answers: Sequence[Callable]
    inputs: Callable[[random.Random], tuple]
    meant: dict[str, tuple[str, ...]]


@dataclass
class Power:
    """What a checker did with mutants and with right answers."""

    same: int = 0  # mutants that compute the same
    wrong: int = 0
    passed: list[str] = field(default_factory=list)  # wrong ones that pass
    misnamed: list[str] = field(
        default_factory=list
    )  # refused, with a message about something else
    refused: list[str] = field(default_factory=list)  # right ones that do not pass

    @property
    def named(self) -> float:
        """Fraction of the mistakes that are refused with a message about the changed line."""
        return 1 - (len(self.misnamed) + len(self.passed)) / self.wrong


def power(exercise: Exercise, seed: int = 0) -> Power:
    """Diagnostic power of an exercise's checker."""
    found = Power()
    for answer in exercise.answers:
        verdict = exercise.checker(answer)
        if not verdict.right:
            found.refused.append(f"{answer.__name__}: {verdict.message}")

    right = exercise.answers[0]
    source = inspect.getsource(right)
    lines = source.splitlines()
    for mutant in mutants(source):
        attempt = _compiled(mutant.source, right)
        if _same(right, attempt, exercise, random.Random(seed)):
            found.same += 1
            continue

        found.wrong += 1
        with _without_warnings():
            verdict = exercise.checker(attempt)
        said = f"{mutant.change}: {verdict.message}"
        if verdict.right:
            found.passed.append(said)
        elif not _named(verdict.message, lines[mutant.line - 1], exercise):
            found.misnamed.append(said)
    return found


def _compiled(source: str, right: Callable) -> Callable:
    """Mutant as a function, with the right answer's globals."""
    space = dict(right.__globals__)
    exec(source, space)
    return space[right.__name__]


def _named(message: str, line: str, exercise: Exercise) -> bool:
    """Whether a message is about the slip on a line."""
    if isinstance(exercise.checker, Step):  # recognised by what it computes, so rightly
        return not message.startswith("for (")
    return any(part in message for part in _may_say(line, exercise))


def _may_say(line: str, exercise: Exercise) -> Iterator[str]:
    """Parts of messages that name a slip on a line; Python's own errors name themselves."""
    yield from ("your function stopped with", "returns None")
    for word in line.partition("#:")[2].split():
        yield from exercise.meant[word]


def _same(one: Callable, other: Callable, exercise: Exercise, source: random.Random) -> bool:
    """Whether two attempts agree on random inputs."""
    for _ in range(_PROBES):
        given = exercise.inputs(source)
        with _without_warnings():
            values = [tried(attempt, *_copied(given)) for attempt in (one, other)]
        if not _equal(*values):
            return False
    return True


@contextmanager
def _without_warnings() -> Iterator[None]:
    """No warnings of a mutant's arithmetic: dividing by zero is what some of them do."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _copied(given: tuple) -> tuple:
    return tuple(
        value.clone()
        if isinstance(value, torch.Tensor)
        else list(value)
        if isinstance(value, list)
        else value
        for value in given
    )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        if not isinstance(other, torch.Tensor) or one.shape != other.shape:
            return False
        return torch.allclose(one, other, rtol=1e-7, atol=1e-9, equal_nan=True)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and one == other
