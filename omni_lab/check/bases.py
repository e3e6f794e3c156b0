"""The exercise of the rotary base: which θ slows the slowest pair so that a longer row brings it no new angle."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from omni_lab.check.verdict import Verdict, tried
from omni_lab.model.rope import theta_for, turns

_ASKED = (
    (4096, 32, 100.0, 1024),
    (2048, 32, 100.0, 1024),
    (32_768, 128, 1e6, 4096),
)  # length, K, θ, trained
_CLOSE = 1e-6  # relative


def raised_base(attempt: Callable[[int, int, float, int], float]) -> Verdict:
    """Check an attempt at: with which base does the slowest pair turn as far over `length` as before over `trained`?

    Parameters
    ----------
    attempt : takes the length in tokens, the width K of a head, the base θ, and the length that the model was trained
        on; returns the new base
    """
    answers = []
    for asked in _ASKED:
        value = tried(attempt, *asked)
        if isinstance(value, Verdict):
            return value
        if wrong := _no_base(value, *asked):
            return Verdict(False, wrong)
        answers.append(float(value))
    right = [
        abs(mine / theta_for(*asked) - 1) < _CLOSE
        for mine, asked in zip(answers, _ASKED, strict=True)
    ]
    if not all(right):
        return Verdict(False, _wrong(answers, right))
    length, head_dim, theta, trained = _ASKED[0]
    message = f"{length:,} tokens after {trained:,} take θ {answers[0]:.1f} in place of {theta:g}"
    ends = turns(head_dim, answers[0], length)[-1], turns(head_dim, theta, trained)[-1]
    return Verdict(
        True,
        f"right: {message}; the slowest pair makes {ends[0]:.3f} turns, as before ({ends[1]:.3f})",
    )


def _no_base(value: object, length: int, head_dim: int, theta: float, trained: int) -> str | None:
    """Why a value cannot be a base at all."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array(np.nan)
    if numbers.ndim or isinstance(value, bool | str) or not np.isfinite(numbers):
        slowed = 2 * np.pi * turns(head_dim, theta, trained) / length  # per token
        if numbers.shape == slowed.shape and np.allclose(numbers, slowed):
            return _INTERPOLATION
        return f"return one number, the base, from which the speeds of all pairs follow; this is {value!r:.60}"
    return None if numbers > 0 else f"a base is above 0; this is {float(numbers):g}"


_INTERPOLATION = (
    "this slows all pairs by the same factor: position interpolation. The fastest pair must keep its turn "
    "(θ⁰ = 1 whatever θ is), for it tells neighbours apart; change the base alone"
)


def _wrong(answers: list[float], right: list[bool]) -> str:
    """What is wrong with three bases, the usual mistakes first."""
    true = [theta_for(*asked) for asked in _ASKED]
    if np.allclose(answers, true, rtol=0.01):
        return f"{answers[0]:g} is nearly right: the base is a real number, do not round it ({true[0]:.4f})"
    if any(right):
        length, head_dim, theta, trained = _ASKED[right.index(False)]
        at = f"length {length:,}, K {head_dim}, θ {theta:,.0f}, trained {trained:,}"
        return f"right for some, wrong for {at}: what in your formula holds for one K or one factor only?"
    for mistake, message in _MISTAKES:
        if all(
            abs(mine / mistake(*asked) - 1) < _CLOSE
            for mine, asked in zip(answers, _ASKED, strict=True)
        ):
            return message
    length, head_dim, theta, trained = _ASKED[0]
    mine = answers[0]
    if mine < theta:
        return f"your base falls from {theta:g} to {mine:.4g}: a smaller base turns faster, a longer row wants slower"
    if mine == theta:
        return "your base stays as it was: then the slowest pair goes on to angles that training has never shown"
    far, goal = turns(head_dim, mine, length)[-1], turns(head_dim, theta, trained)[-1]
    grown = math.log(mine / theta) / math.log(length / trained)
    return (
        f"your θ grows by s^{grown:.3g}, where s is length / trained, and the slowest pair makes {far:.3f} turns over "
        f"the row, not {goal:.3f}; {'raise θ further' if far > goal else 'that is more than needed'}"
    )


def _power(exponent: Callable[[int], float]) -> Callable[[int, int, float, int], float]:
    """A formula that raises θ by a power of length / trained, which depends on K."""
    return lambda length, head_dim, theta, trained: theta * (length / trained) ** exponent(head_dim)


# formula: what to say of it
_MISTAKES = (
    (
        _power(lambda width: 1),
        "θ · s, with s = length / trained, falls a little short: it would be right if the slowest pair turned by 1/θ a "
        "token, but of K/2 pairs the last is number K/2 − 1, and turns by θ^(−(K−2)/K)",
    ),
    (
        _power(lambda width: width / 2),
        "s^(K/2) is far too much: the slowest pair turns by θ^(−(K−2)/K) a token, so solve "
        "θ'^((K−2)/K) = s · θ^((K−2)/K)",
    ),
    (
        _power(lambda width: (width - 2) / width),
        "the exponent is upside down: the slowest pair slows down by s^((K−2)/K) where θ grows by s; which θ slows it "
        "down by s itself?",
    ),
    (
        _power(lambda width: width / (width - 4)),
        "off by one pair: this holds the last pair but one. The K/2 pairs are numbered from 0, so the last is K/2 − 1, "
        "and turns by θ^(−(K−2)/K)",
    ),
    (
        _power(lambda width: -width / (width - 2)),
        "length and trained have changed places: your base falls, and all pairs but the first turn faster",
    ),
    (
        lambda length, head_dim, theta, trained: length / trained,
        "this is the factor of position interpolation, which divides positions and so slows the fastest pair too; "
        "asked for is a base",
    ),
    (
        lambda length, head_dim, theta, trained: theta * trained / length,
        "θ / s: position interpolation divides positions; a base that is divided makes pairs turn *faster*",
    ),
)
