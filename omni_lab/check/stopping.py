"""Small exercise whose usual mistakes stop with an error: the reader is told why it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_lab.check.step import Step
from omni_lab.check.verdict import Verdict


@dataclass(frozen=True, eq=False, repr=False)
class Stopping(Step):
    """Small exercise that explains an attempt's error; other parameters as `Step` has them.

    Parameters
    ----------
    stops : part of an error's message → why it came
    """

    stops: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, attempt: Callable[..., Any]) -> Verdict:
        """Verdict on an attempt; where it stopped, with the reason."""
        verdict = super().__call__(attempt)
        if verdict.right is False and verdict.message.startswith("your function stopped with"):
            for part, why in self.stops.items():
                if part in verdict.message:
                    return Verdict(False, why)
        return verdict
