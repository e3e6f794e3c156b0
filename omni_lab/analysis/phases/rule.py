"""Rule for "three phases" of a training loss: drop, plateau, second drop, with every margin stated.

The margins were written down before the first run was looked at; what was tuned afterwards, on simulated curves only,
is named in the docstring of `omni_lab/reproduce/experiments/phases.py`. Steepness is minus the slope of log loss over
log step, and zero where the loss rises; a plateau must not rise steeply either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement, takewhile
from typing import Any

THREE, TWO, NONE, OPEN = "three phases", "two phases", "no plateau", "cannot be decided"
VERDICTS = (THREE, TWO, NONE, OPEN)


@dataclass(frozen=True)
class Rule:
    """Margins of the rule: what counts as a plateau, and what as a drop before and after it."""

    alpha: float = 0.05  # level of every test against smooth decay, and against fewer breaks
    shallower: float = 0.5  # steepness of the plateau over that of the drop before it, at most
    steeper: float = 2.0  # steepness of the second drop over that of the plateau, at least
    lasts: float = 1.5  # factor in steps that every segment lasts, at least
    holds: float = 10.0  # independent points in a plateau, at least
    depth: float = 0.1  # fall of log loss in each of the two drops, at least
    independent: float = 40.0  # points divided by the time that noise is correlated over, at least
    slope_error: float = 0.25  # 95 % half-width of a slope over the last e-fold of steps, at most
    full_rate: float = 0.97  # of the highest rate so far: below it, decay may cause a drop
    near: float = 1.1  # factor in steps by which a switch may lie outside a break's interval

    def as_json(self) -> dict[str, float]:
        """Margins by name, as a record holds them."""
        return asdict(self)


RULE = Rule()


@dataclass(frozen=True)
class Segment:
    """Straight piece of a log-log loss: where it lies, and its slope with a 95 % interval."""

    start: float  # step
    end: float  # step
    slope: float  # log loss over log step
    low: float
    high: float
    span: float  # from its start to its end, in log steps of its own stage
    fall: float  # of log loss, over it
    independent: float  # points over the time that noise is correlated over

    @property
    def steepness(self) -> float:
        """Minus the slope; zero where the loss rises."""
        return max(0.0, -self.slope)


def is_drop_beside(drop: Sequence[Segment], plateau: Sequence[Segment], rule: Rule = RULE) -> bool:
    """Whether neighbouring segments are a drop beside a plateau: steeper, surely so, and deep.

    >>> falls, flat = Segment(1, 100, -0.5, -0.6, -0.4, 4.6, 2.3, 99), Segment(99, 399, -0.1, -0.2, 0.0, 1.4, 0.14, 300)
    >>> is_drop_beside([falls], [flat]), is_drop_beside([flat], [falls])
    (True, False)
    >>> is_drop_beside([falls], [Segment(99, 399, -0.1, -0.5, 0.3, 1.4, 0.14, 300)])  # too uncertain
    False
    """
    flattest = min(part.low for part in plateau)
    surely = any(part.high < flattest for part in drop)
    return surely and sum(part.fall for part in drop) >= rule.depth


def plateaus(
    segments: Sequence[Segment], rule: Rule = RULE
) -> list[tuple[int, int, list[Segment], list[Segment]]]:
    """Plateaus of a curve, flattest first: first and last segment, the drop before, what is steep after.

    A plateau is one or more neighbouring segments that last long enough and are level: as steep, falling or rising, as
    the margins allow beside the segments around it.
    """
    found = []
    for first, last in combinations_with_replacement(range(1, len(segments)), 2):
        part = segments[first : last + 1]
        steep = max(abs(piece.slope) for piece in part)
        before = _steep(segments[first - 1 :: -1], steep / rule.shallower)
        after = _steep(segments[last + 1 :], steep * rule.steeper)
        lasting = sum(piece.span for piece in part) >= math.log(rule.lasts)
        held = sum(piece.independent for piece in part) >= rule.holds
        if lasting and held and before and is_drop_beside(before, part, rule):
            found.append((steep, first, last, before, after))
    return [one[1:] for one in sorted(found, key=lambda one: one[:3])]


def _steep(segments: Sequence[Segment], least: float) -> list[Segment]:
    """Segments at the beginning that fall at least so steeply."""
    return list(takewhile(lambda part: part.steepness >= max(least, 1e-9), segments))


def judge(
    segments: Sequence[Segment], causes: Sequence[str], rule: Rule = RULE
) -> tuple[str, str, tuple[int, int] | None]:
    """Verdict on the segments of one curve, its reason, and the plateau's first and last segment if there is one.

    Three phases are a drop, a plateau and a second drop that are neighbours, provided that neither of the two breaks
    between them has a logged cause. A drop may bend, so that it is of several segments; what comes before the three (a
    flat start) and after them (a floor) is free.

    Parameters
    ----------
    causes : logged cause of each break, empty where there is none; one fewer than segments
    """
    alone = explained = None
    for first, last, before, after in plateaus(segments, rule):
        part = segments[first : last + 1]
        if after and is_drop_beside(after, part, rule):
            cause = causes[last] or causes[first - 1]
            if not cause:
                return THREE, _three(before[0], part, after[0]), (first, last)
            explained = explained or (cause, (first, last))
        alone = alone or (first, last)

    if explained:
        words = f"drop, plateau and second drop, but with a logged cause: {explained[0]}"
        return OPEN, words, explained[1]
    if alone:
        words = (
            f"a drop, then a plateau from step {segments[alone[0]].start:.0f}, and no second drop"
        )
        return TWO, words, alone
    return (
        NONE,
        "bends, but no plateau that is at most half as steep as the drop before it, lasts, and is sure",
        None,
    )


def _three(first: Segment, plateau: Sequence[Segment], second: Segment) -> str:
    slopes = ", ".join(f"{part.slope:.2f}" for part in (first, *plateau, second))
    return (
        f"drop, plateau from step {plateau[0].start:.0f}, second drop from step {second.start:.0f} "
        f"(slopes {slopes})"
    )


def as_json(segment: Segment) -> dict[str, Any]:
    """Segment as plain JSON, rounded to what does not depend on the processor."""
    return {name: float(f"{value:.6g}") for name, value in asdict(segment).items()}
