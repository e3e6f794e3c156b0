"""Differences between two configurations: dotted keys with both values, in one line."""

from __future__ import annotations

from typing import Any, NamedTuple

from omni_lab.config.overrides import leaves, written

MOST = 3  # differences that a line names; the others are counted


class Difference(NamedTuple):
    """A setting that has two values."""

    key: str
    there: Any
    here: Any

    def __str__(self) -> str:
        return f"{self.key}: {_told(self.there)} there, {_told(self.here)} here"


def differences(there: Any, here: Any) -> list[Difference]:
    """Settings whose values differ between two dataclasses of one type, in order of declaration.

    A stage that only one of them has shows in the list of stages, not in each of its settings.

    >>> from omni_lab.config import override, tiny
    >>> slow = override(tiny(), ["training.muon_lr=0.002", "training.stages.omni.steps=8"])
    >>> [str(one) for one in differences(tiny(), slow)][1]
    'training.muon_lr: 0.004 there, 0.002 here'
    """
    known = {key: value for key, _, value in leaves(there)}
    return [
        Difference(key, known[key], value)
        for key, _, value in leaves(here)
        if key in known and known[key] != value
    ]


def one_line(found: list[Difference]) -> str:
    """The first differences in words, and how many more there are.

    >>> one_line([Difference("seed", 0, 7)])
    'seed: 0 there, 7 here'
    """
    rest = [f"{len(found) - MOST} more"] if len(found) > MOST else []
    return "; ".join([*map(str, found[:MOST]), *rest])


def _told(value: Any) -> str:
    return written(value) or "nothing"  # an empty list or text
