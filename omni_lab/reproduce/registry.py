"""The registry of experiments: what `omni-lab reproduce --list` shows."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from omni_lab.errors import UsageError

# id: what is asked, which claims of the source documents it bears on
EXPERIMENTS: dict[str, tuple[str, str]] = {
    "demo": (
        "does the whole way give a model that sees, hears, reads and combines?",
        "O1 O4 O8 O19 O20",
    ),
    "context": (
        "is a context that grows in stages, with θ, read at every depth, where others are not?",
        "C3 C4 C5 C11 C12",
    ),
    "formats": (
        "which way to write many images is told apart best, and do many teach more than one?",
        "C13 C14",
    ),
}


def experiment(name: str) -> Callable:
    """The `reproduce` function of an experiment.

    Raises
    ------
    UsageError : there is no such experiment; the message lists those that exist.
    """
    if name not in EXPERIMENTS:
        raise UsageError(f"experiment {name!r}: there are {', '.join(EXPERIMENTS)}")
    return import_module(f"omni_lab.reproduce.{name}").reproduce
