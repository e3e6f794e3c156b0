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
from omni_lab.check.diagnosis import answers
from omni_lab.check.diagnosis.mutants import mutants
from omni_lab.check.verdict import tried
from omni_lab.media.subtitles.reader import Cue, Word

_PROBES = 40  # random inputs that tell a mutant from the right answer


@dataclass(frozen=True)
class Exercise:
    """Exercise: its checker, right answers, random inputs, and what its lines are about.

    Parameters
    ----------
    inputs : arguments of an attempt, from a source of random numbers
    meant : word behind `#:` → parts of messages that name a slip on such a line
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
        elif not any(
            part in verdict.message for part in _may_say(lines[mutant.line - 1], exercise)
        ):
            found.misnamed.append(said)
    return found


def _compiled(source: str, right: Callable) -> Callable:
    """Mutant as a function, with the right answer's globals."""
    space = dict(right.__globals__)
    exec(source, space)
    return space[right.__name__]


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


# --- random inputs


def _tokens(source: random.Random) -> tuple:
    words = ["<unit>", "<image>", "<audio>", "<listen>", "<visitor>", "<speak>", "red", "where"]
    tokens = source.choices(words, k=12)
    roles = [None if t.startswith("<") else source.choice(["guide", "visitor"]) for t in tokens]
    return tokens, roles


def _cues(source: random.Random) -> tuple:
    """Cues of a film with the times of their words, and a clip that may cut through them."""
    cues, time, number = [], 0, 0
    for _ in range(4):
        time += source.choice([0, source.randrange(30_000)])
        words = []
        for _ in range(source.randrange(1, 5)):
            length = source.randrange(2, 20_000)
            words.append(Word(time, time + length, f"w{number}"))
            time, number = time + length, number + 1
        text = " ".join(word.text for word in words)
        cues.append(Cue(words[0].start, words[-1].end, text, "guide", words=tuple(words)))

    # cuts like to fall where something begins, ends or has its middle
    places = [
        t for cue in cues for w in cue.words for t in (w.start, w.end, (w.start + w.end) // 2)
    ]
    start, end = sorted(source.sample([*sorted(set(places)), time + 9, time + 10_000], 2))
    return cues, source.choice([0, start]), end


def _seconds(source: random.Random) -> tuple:
    count = source.randrange(1, 5)
    seen, heard = ([source.random() < 0.7 for _ in range(count)] for _ in range(2))
    starts = sorted(source.choice([0.0, 0.5, 0.99]) + source.randrange(count + 2) for _ in range(5))
    return (
        seen,
        heard,
        [(t, source.choice(["guide", "visitor"]), f"text {i}") for i, t in enumerate(starts)],
    )


def _lengths(source: random.Random) -> tuple:
    trained = source.randrange(16, 4096)
    length = trained + source.randrange(1, 100_000)
    return length, 2 * source.randrange(3, 64), float(source.randrange(10, 10**6)), trained


def _blocks(source: random.Random) -> tuple:
    generator = torch.Generator().manual_seed(source.randrange(10**6))
    # as many queries as numbers a head, so that a wrong axis is no error of shapes
    size = (1, 2, 3, 3)
    out_a, out_b = (torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(2))
    lse_a, lse_b = (
        torch.randn(size[:-1], generator=generator, dtype=torch.float64) for _ in range(2)
    )
    near = source.choice([0.0, 3.0, 1000.0, -1000.0])
    lse_a, lse_b = lse_a + near, lse_b + near
    for out, lse in ((out_a, lse_a), (out_b, lse_b)):
        if source.random() < 0.3:
            lse[0, 0, 0], out[0, 0, 0] = -math.inf, 0.0
    return out_a, lse_a, out_b, lse_b


# --- the exercises of the course

_PLACE = ("is in clip", "is in no clip")
EXERCISES = {
    "loss mask (00)": Exercise(
        check.loss_mask,
        (
            answers.loss_mask, answers.loss_mask_in_one_line, answers.loss_mask_in_numpy,
            answers.loss_mask_in_torch, answers.loss_mask_yielded, answers.loss_mask_recursive,
        ),
        _tokens,
        {
            "pairs": ("nothing is supervised", "learn to be silent", "learns no answer"),
            "control": ("learn to be silent", "when it is its turn", "an image token", "everything"),
            "words": ("the visitor's", "learns no answer", "an image token"),
            "both": ("nothing is supervised", "learn to be silent", "learns no answer"),
        },
    ),
    "rebased subtitles (01)": Exercise(
        check.rebased,
        (
            answers.rebased, answers.rebased_as_a_tuple, answers.rebased_in_numpy,
            answers.rebased_yielded,
        ),
        _cues,
        {
            "home": (*_PLACE, "a cue without text"),
            "start": ("subtract the clip's start", "before its clip", "starts at the cut", "the later of"),
            "end": ("after its clip", "ends at the cut", "rebase the end", "the earlier of"),
            "words": ("other times",),
            "text": ("keep the text",),
            "cue": ("subtract the clip's start", "after its clip", "its words are", "keep the text"),
        },
    ),
    "interleaver (02)": Exercise(
        check.interleaved,
        (
            answers.interleaved, answers.interleaved_by_unit, answers.interleaved_yielded,
            answers.interleaved_as_a_tuple,
        ),
        _seconds,
        {
            "units": ("times <unit>", "lack their"),
            "unit": ("times <unit>", "is no piece", "stream begins with"),
            "senses": ("a unit without", "lack their", "is no piece", "its second lacks"),
            "listen": ("times <listen>", "is no piece"),
            "home": ("is missing", "stands there", "belongs to unit"),
            "role": ("opens with its role", "every text of the model's own"),
            "own": ("opens with its role", "times <listen>", "times <unit>", "is missing"),
            "visitor": ("opens with its role", "times <listen>", "is missing"),
        },
    ),
    "RoPE base (07)": Exercise(
        check.raised_base,
        (
            answers.raised_base, answers.raised_base_in_one_line, answers.raised_base_by_logarithms,
            answers.raised_base_in_numpy, answers.raised_base_in_torch,
        ),
        _lengths,
        {
            "ratio": ("changed places", "drops what is left over", "stays as it was", "length · trained"),
            "pair": ("off by one", "upside down", "holds for one K", "your θ grows by s^"),
            "power": (
                "upside down", "θ is divided", "θ · s, with s", "stays as it was", "is an exponent",
                "grows from `trained`", "s is squared",
            ),
        },
    ),
    "merge of two blocks (08)": Exercise(
        check.merged,
        (
            answers.merged, answers.merged_by_logaddexp, answers.merged_in_numpy,
            answers.merged_by_stacking, answers.merged_by_sigmoid,
        ),
        _blocks,
        {
            "top": ("subtract the larger lse", "largest lse of its own", "sees nothing", "has shape"),
            "nothing": ("sees nothing", "exp(−∞)", "subtract the larger lse", "add up to"),
            "weight": ("weight", "subtract the larger lse", "one number per query"),
            "total": ("weights must add up", "add up to", "the sum", "lse is"),
            "out": ("weight", "out is", "the plain sum"),
            "lse": ("lse is", "logarithm"),
        },
    ),
}  # fmt: skip
