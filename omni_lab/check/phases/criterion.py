"""Small exercise of notebook 05: the criterion for three phases, condition by condition."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from omni_lab.check.step import Step, plain
from omni_lab.check.verdict import Verdict, tried


@dataclass(frozen=True, eq=False, repr=False)
class Conditions(Step):
    """Small exercise that returns one True or False per condition; other parameters as `Step` has.

    Parameters
    ----------
    wants : what each condition asks for, in their order; said of the first that is wrong
    """

    wants: Sequence[str] = ()

    def __call__(self, attempt: Callable[..., Any]) -> Verdict:
        """Verdict on an attempt; where nothing else names the mistake, by its first wrong condition."""
        verdict = super().__call__(attempt)
        if verdict.right is not False or not verdict.message.startswith("for ("):
            return verdict
        for case in self.cases:
            mine = plain(tried(attempt, *copy.deepcopy(case)))
            true = plain(self.right(*case))
            for place, (one, other) in enumerate(zip(mine, true, strict=False)):
                if one != other:
                    told = f"for steps {list(case[0])} and slopes {list(case[1])}"
                    return Verdict(
                        False,
                        f"condition {place + 1} should be {other} {told}: {self.wants[place]}",
                    )
        return verdict


def _conditions(steps, slopes) -> list[bool]:
    """The rule's margins, one by one, on segments without noise."""
    from omni_lab.analysis.phases import RULE
    from omni_lab.analysis.phases.rule import Segment

    first, plateau, second = (
        Segment(a, b, slope, slope, slope, span, -slope * span, math.inf)
        for a, b, slope in zip(steps, steps[1:], slopes, strict=False)
        if (span := math.log((b + 1) / (a + 1)))
    )
    level = abs(plateau.slope)
    return [
        first.fall >= RULE.depth,
        level <= RULE.shallower * first.steepness,
        plateau.span >= math.log(RULE.lasts),
        second.steepness >= RULE.steeper * level,
        second.fall >= RULE.depth,
    ]


_STEEP = "how *steep* a plateau is, rising or falling: take abs(slope) of it"
conditions = Conditions(
    right=_conditions,
    cases=[
        ([9, 99, 499, 1999], [-0.8, -0.1, -0.9]),
        ([9, 99, 499, 1999], [-0.8, -0.5, -0.9]),
        ([9, 99, 499, 1999], [-0.8, -0.3, -0.5]),
        ([9, 99, 499, 1999], [-0.8, -0.4, -0.8]),
        ([9, 99, 139, 1999], [-0.8, -0.1, -0.9]),
        ([9, 11, 499, 1999], [-0.3, 0.0, -0.9]),
        ([9, 99, 499, 524], [-0.8, -0.1, -0.9]),
        ([9, 99, 499, 1999], [-0.8, 0.6, -0.9]),
        ([9, 99, 499, 1999], [-0.8, 0.3, -0.9]),
        ([9, 99, 499, 1999], [0.5, -0.1, 0.4]),
        # margins that are met by one step, or missed by one
        ([0, 2, 4, 9], [-0.5, -0.1, -0.5]),
        ([0, 3, 4, 9], [-0.5, -0.1, -0.5]),
        ([4, 8, 13, 30], [-0.171, -0.01, -0.126]),
        ([4, 8, 13, 30], [-0.17, -0.01, -0.125]),
    ],
    rule="each margin as it is written, with a plateau's steepness abs(slope)",
    mistakes=[
        (
            lambda steps, slopes: all(_conditions(steps, slopes)),
            "this is the verdict alone: return the five conditions, so that one sees which one fails",
        ),
        (
            lambda steps, slopes: [not flag for flag in _conditions(steps, slopes)],
            "every True is a False: a condition is True where it is met",
        ),
    ],
    inputs=lambda source: _random_segments(source),
    wants=(
        "the first drop has to be deep: −slope · log((flat + 1) / (start + 1)) ≥ 0.1",
        f"the plateau is at most half as steep as the drop before it; {_STEEP}",
        "the plateau lasts until 1.5 times the step at which it began, both counted from 1",
        f"the second drop is at least twice as steep as the plateau; {_STEEP}",
        "the second drop has to be deep: −slope · log((end + 1) / (again + 1)) ≥ 0.1",
    ),
    shows="five margins, each of which can fail by itself: this is the rule that judges every curve here",
)  # fmt: skip


def _random_segments(source: random.Random) -> tuple:
    steps = [source.randrange(0, 20)]
    for _ in range(3):
        longer = round((steps[-1] + 1) * source.choice([1.2, 1.5, 2.0, 6.0])) + 1
        # exactly 1.5 times would be a matter of rounding
        steps.append(longer + (2 * (longer + 1) == 3 * (steps[-1] + 1)))
    first, second = (source.choice([0.4, -0.05, -0.1, -0.3, -0.6, -1.0]) for _ in range(2))
    return steps, [first, source.choice([0.2, -0.025, -0.05, -0.15, -0.3]), second]
