"""Prediction reveal: a guess beside the truth, and why a usual wrong guess is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping

from omni_lab.check.verdict import Verdict


def guess(
    mine: object,
    true: object,
    why: Mapping[object, str] | None = None,
    within: float = 0.0,
    unit: str = "",
) -> Verdict:
    """Verdict on a prediction that a reader wrote down before a cell was run.

    Parameters
    ----------
    mine : the guess; None where the reader made none
    true : what came out: a number, a word, True or False, or a list or tuple of these
    why : usual wrong guesses → why each is wrong
    within : relative error of a number that still counts as right
    unit : of a number

    >>> guess(288, 24, {288: "288 are all pictures of the film"}, unit="pictures")
    ✗ you guessed 288, it is 24 pictures: 288 are all pictures of the film
    >>> guess(None, 24), guess(25.0, 24, within=0.1)
    (○ no guess: it is 24, ✓ you guessed 25: it is 24)
    """
    truth = f"it is {_written(true)}{f' {unit}' if unit else ''}"
    if mine is None or mine is Ellipsis:
        return Verdict(None, f"no guess: {truth}")
    if _agree(mine, true, within):
        return Verdict(True, f"you guessed {_written(mine)}: {truth}")

    known = [reason for wrong, reason in (why or {}).items() if _agree(mine, wrong, 1e-3)]
    return Verdict(False, f"you guessed {_written(mine)}, {': '.join([truth, *known[:1]])}")


def _agree(mine: object, true: object, within: float) -> bool:
    """Whether a guess is the truth: numbers up to a relative error, words in any case."""
    if isinstance(true, list | tuple):
        if not isinstance(mine, list | tuple) or len(mine) != len(true):
            return False
        return all(_agree(a, b, within) for a, b in zip(mine, true, strict=True))
    if isinstance(true, str):
        return isinstance(mine, str) and mine.strip().casefold() == true.strip().casefold()
    try:
        return math.isclose(float(mine), float(true), rel_tol=within, abs_tol=1e-9)
    except (TypeError, ValueError, OverflowError):
        return False


def _written(value: object) -> str:
    """Value as a reader would write it: long fractions are rounded."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value)) or "nothing at all"
    if isinstance(value, float) and not value.is_integer() and abs(value) < 1000:
        return f"{value:.3g}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.0f}"
    return str(value)
