"""Rule for "three phases" of a training loss: drop, plateau, second drop, with every margin stated.

The margins were written down before the first run was looked at; what was tuned afterwards, on simulated curves only,
is named in the docstring of `omni_lab/reproduce/experiments/phases.py`. Steepness is minus the slope of log loss over log
step, and zero where the loss rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    depth: float = 0.1  # fall of log loss in each of the two drops, at least
    independent: float = 40.0  # points divided by the time that noise is correlated over, at least
    slope_error: float = 0.25  # 95 % half-width of a slope over the last e-fold of steps, at most
    full_rate: float = 0.9  # of the highest rate so far: below it, decay may cause a drop
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
    fall: float  # of log loss, from its start to its end

    @property
    def steepness(self) -> float:
        """Minus the slope; zero where the loss rises."""
        return max(0.0, -self.slope)


def is_plateau_after(drop: Segment, plateau: Segment, rule: Rule = RULE) -> bool:
    """Whether a drop is followed by a plateau: at most half as steep, intervals apart, and lasting.

    >>> falls = Segment(1, 100, -0.5, -0.6, -0.4, 2.3)
    >>> is_plateau_after(falls, Segment(100, 400, -0.1, -0.2, 0.0, 0.14))
    True
    >>> is_plateau_after(falls, Segment(100, 400, -0.1, -0.5, 0.3, 0.14))  # too uncertain
    False
    """
    return (
        drop.fall >= rule.depth
        and plateau.steepness <= rule.shallower * drop.steepness
        and drop.high < plateau.low
        and plateau.end + 1 >= rule.lasts * (plateau.start + 1)
    )


def is_drop_after(plateau: Segment, drop: Segment, rule: Rule = RULE) -> bool:
    """Whether a plateau is followed by a second drop: twice as steep, intervals apart, and deep."""
    return (
        drop.fall >= rule.depth
        and drop.steepness >= rule.steeper * plateau.steepness
        and drop.high < plateau.low
    )


def judge(
    segments: Sequence[Segment], causes: Sequence[str], rule: Rule = RULE
) -> tuple[str, str, int | None]:
    """Verdict on the segments of one curve, its reason, and the index of the plateau if there is one.

    Three phases are any three neighbouring segments that are a drop, a plateau and a second drop, provided that neither
    of the two breaks between them has a logged cause. Segments before (a flat start) and after (a floor) are free.

    Parameters
    ----------
    causes : logged cause of each break, empty where there is none; one fewer than segments
    """
    explained = None
    plateau = None
    for i in range(1, len(segments)):
        if not is_plateau_after(segments[i - 1], segments[i], rule):
            continue
        plateau = i if plateau is None else plateau
        if i + 1 < len(segments) and is_drop_after(segments[i], segments[i + 1], rule):
            cause = causes[i] or causes[i - 1]
            if not cause:
                return THREE, _three(*segments[i - 1 : i + 2]), i
            explained = (cause, i)

    if explained:
        return OPEN, f"drop, plateau and second drop, but with a logged cause: {explained[0]}", explained[1]
    if plateau is not None:
        words = f"a drop, then a plateau from step {segments[plateau].start:.0f}, and no second drop"
        return TWO, words, plateau
    return NONE, "bends, but no stretch at most half as steep as the drop before it", None


def _three(first: Segment, plateau: Segment, second: Segment) -> str:
    slopes = ", ".join(f"{part.slope:.2f}" for part in (first, plateau, second))
    return (
        f"drop, plateau from step {plateau.start:.0f}, second drop from step {second.start:.0f} "
        f"(slopes {slopes})"
    )


def as_json(segment: Segment) -> dict[str, Any]:
    """Segment as plain JSON, rounded to what does not depend on the processor."""
    return {name: float(f"{value:.6g}") for name, value in asdict(segment).items()}
