"""What a checker answers, and how an attempt is run so that nothing in it stops the notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What a checker thinks of an attempt; it shows itself as one line."""

    right: bool | None  # None: not attempted yet
    message: str

    def __repr__(self) -> str:
        mark = {True: "✓", False: "✗", None: "○"}[self.right]
        return f"{mark} {self.message}"


NOT_YET = Verdict(None, "not attempted yet: fill the function in, then run this cell again")


def tried(attempt: Callable, *arguments: object) -> object:
    """What the attempt returns (a list of it if it yields), or a verdict where it returns nothing or breaks."""
    try:
        value = attempt(*arguments)
        value = (
            list(value) if isinstance(value, Iterator) else value
        )  # a generator works, and breaks, only now
    except NotImplementedError:
        return NOT_YET
    except Exception as error:  # noqa: BLE001 - whatever a learner's function does, the notebook goes on
        return Verdict(False, f"your function stopped with {type(error).__name__}: {error}")
    return NOT_YET if value is None or value is Ellipsis else value
