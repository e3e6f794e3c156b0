"""Progress of long work: a bar on a terminal, a line now and then into a file or a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")

EVERY_S = 20.0  # between lines where there is no terminal


class Progress:
    """Progress bar with figures beside it; use it in a `with` statement.

    Parameters
    ----------
    total : units of work in all; 0 where that is not known
    name : of the work
    unit : of what is counted
    initial : units that are done already
    shown : False says nothing at all
    """

    def __init__(
        self, total: int, name: str, unit: str, initial: int = 0, shown: bool = True
    ) -> None:
        self.total, self.name, self.unit, self.done = total, name, unit, initial
        self._initial, self._shown, self._bar = initial, shown, None
        self._began = self._told = time.monotonic()
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total or None, initial=initial, desc=name, unit=unit)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._shown and self.done > self._initial:
            self._line({}, f"in {time.monotonic() - self._began:.0f} s")

    def update(self, units: int = 1, **figures: Any) -> None:
        """Count units as done; figures stand beside the bar, in the order in which they come."""
        self.done += units
        if self._bar is not None:
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update(units)
        elif self._shown and time.monotonic() - self._told >= EVERY_S:
            self._line(figures, f"{self._left_s() / 60:.1f} min left" if self.total else "so far")

    def _left_s(self) -> float:
        spent = time.monotonic() - self._began
        return spent / max(1, self.done - self._initial) * (self.total - self.done)

    def _line(self, figures: dict[str, Any], end: str) -> None:
        said = [f"{name} {value}" for name, value in figures.items()]
        count = (
            f"{self.name} {self.done}/{self.total}" if self.total else f"{self.name} {self.done}"
        )
        print(" · ".join([count, *said, end]), file=sys.stderr, flush=True)
        self._told = time.monotonic()


def tracked(
    items: Iterable[Item], name: str, unit: str, total: int = 0, shown: bool = True
) -> Iterator[Item]:
    """Items one by one, with their progress."""
    with Progress(total, name, unit, shown=shown) as bar:
        for item in items:
            yield item
            bar.update()


@contextmanager
def library_bars_off() -> Iterator[None]:
    """No bars of the model library's own: what they count takes less than a second here."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
