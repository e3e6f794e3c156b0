"""Ctrl-C as a flag, so that a step is finished and saved before the program ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruption() -> Iterator[list[bool]]:
    """Flag that Ctrl-C raises inside the block."""
    asked = [False]
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may set handlers
        return

    def note(*_: object) -> None:
        asked[0] = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
