"""Verdict of an exercise checker, and the safe run of an attempt, which never stops a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Verdict on an attempt: right, wrong or not attempted, with a message; shown as one line."""

    right: bool | None  # None: not attempted yet
    message: str

    def __repr__(self) -> str:
        mark = {True: "✓", False: "✗", None: "○"}[self.right]
        return f"{mark} {self.message}"


NOT_YET = Verdict(None, "not attempted yet: fill the function in, then run this cell again")
NO_RETURN = Verdict(False, "your function returns None: does it end without `return`?")


def tried(attempt: Callable, *arguments: object) -> object:
    """Safe run of an attempt: what it returns (a list if it yields), or a verdict if it stops.

    A function that raises NotImplementedError, or returns `...`, is not attempted yet.
    """
    try:
        value = attempt(*arguments)
        # a generator runs, and fails, only when it is read
        value = list(value) if isinstance(value, Iterator) else value
    except NotImplementedError:
        return NOT_YET
    except Exception as error:  # noqa: BLE001 - a learner's error must not stop the notebook
        return Verdict(False, f"your function stopped with {type(error).__name__}: {error}")
    if value is Ellipsis:
        return NOT_YET
    return NO_RETURN if value is None else value
