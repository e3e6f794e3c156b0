"""Exercise of the RoPE base: the θ that keeps the slowest pair's angles on a longer row.

Glossary: K head width · θ RoPE base · s = length / trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from omni_lab.check.verdict import Verdict, tried
from omni_lab.model.rope import theta_for, turns

# length in tokens, K, θ, length in training
_ASKED = (
    (4096, 32, 100.0, 1024),
    (1536, 64, 10_000.0, 1024),
    (32_768, 128, 1e6, 4096),
)
_CLOSE = 1e-6  # relative error of a base that counts as right


def raised_base(attempt: Callable[[int, int, float, int], float]) -> Verdict:
    """Checker of the RoPE base with which the slowest pair turns no further on a longer row.

    Over `length` tokens it has to turn as far as it did over `trained` tokens before.

    Parameters
    ----------
    attempt : takes the length in tokens, the head width K, the base θ, and the length in tokens
        that the model was trained on; returns the new base
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
        abs(answer / theta_for(*asked) - 1) < _CLOSE
        for answer, asked in zip(answers, _ASKED, strict=True)
    ]
    if not all(right):
        return Verdict(False, _wrong(answers, right))

    # show the learner that the number does what was asked
    length, head_dim, theta, trained = _ASKED[0]
    change = f"{length:,} tokens after {trained:,} take θ {answers[0]:.1f} in place of {theta:g}"
    ends = turns(head_dim, answers[0], length)[-1], turns(head_dim, theta, trained)[-1]
    turned = f"the slowest pair makes {ends[0]:.3f} turns, as before ({ends[1]:.3f})"
    return Verdict(True, f"right: {change}; {turned}")


def _no_base(value: object, length: int, head_dim: int, theta: float, trained: int) -> str | None:
    """Wrong kind of value: why it is no base at all, or None."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array(np.nan)
    if numbers.ndim or isinstance(value, bool | str) or not np.isfinite(numbers):
        slowed = 2 * np.pi * turns(head_dim, theta, trained) / length  # per token
        if numbers.shape == slowed.shape and np.allclose(numbers, slowed):
            return _INTERPOLATION
        asked = "return one number, the base: the speeds of all pairs follow from it"
        return f"{asked}; yours is {value!r:.60}"
    return None if numbers > 0 else f"a base is above 0; yours is {float(numbers):g}"


_INTERPOLATION = (
    "your answer slows all pairs by the same factor, which is position interpolation. The fastest "
    "pair has to keep its speed (θ⁰ = 1 for every θ), since it tells neighbours apart; change only "
    "the base"
)


def _wrong(answers: list[float], right: list[bool]) -> str:
    """Explanation of three wrong bases, the usual mistakes first."""
    true = [theta_for(*asked) for asked in _ASKED]
    length, head_dim, theta, trained = _ASKED[0]
    given = answers[0]

    if any(
        np.array_equal(answers, np.round(true, digits)) for digits in range(-2, 6)
    ) or np.array_equal(answers, np.trunc(true)):
        return f"{given:g} is rounded: a base is a real number ({true[0]:.4f})"
    for mistake, message in _MISTAKES:
        known = [mistake(*asked) for asked in _ASKED]
        if np.allclose(answers, known, rtol=_CLOSE, atol=0):
            return message
    if any(right):
        length, head_dim, theta, trained = _ASKED[right.index(False)]
        at = f"length {length:,}, K {head_dim}, θ {theta:,.0f}, trained {trained:,}"
        return (
            f"right for some, wrong for {at}: what in your formula holds for one K or one s only?"
        )

    # no usual formula: describe what the number does
    if given < theta:
        falls = f"your base falls from {theta:g} to {given:.4g}"
        return f"{falls}: a smaller base turns faster, and a longer row needs slower pairs"
    if given == theta:
        return "your base stays as it was: the slowest pair then reaches angles unseen in training"
    far, goal = turns(head_dim, given, length)[-1], turns(head_dim, theta, trained)[-1]
    grown = math.log(given / theta) / math.log(length / trained)
    return (
        f"your θ grows by s^{grown:.3g}, where s is length / trained, and the slowest pair makes "
        f"{far:.3f} turns over the row, not {goal:.3f}; "
        f"{'raise θ further' if far > goal else 'that is more than needed'}"
    )


def _power(exponent: Callable[[int], float]) -> Callable[[int, int, float, int], float]:
    """Formula that raises θ by a power of s = length / trained that depends on K."""
    return lambda length, head_dim, theta, trained: theta * (length / trained) ** exponent(head_dim)


# a usual formula, and what to answer to it
_MISTAKES = (
    (
        lambda length, head_dim, theta, trained: (
            theta * (length // trained) ** (head_dim / (head_dim - 2))
        ),
        "length // trained drops what is left over: 1,536 tokens after 1,024 are 1.5 times as many",
    ),
    (
        lambda length, head_dim, theta, trained: (
            theta * ((length - 1) / (trained - 1)) ** (head_dim / (head_dim - 2))
        ),
        "(length − 1) / (trained − 1) counts the steps between tokens; a pair turns `length` times "
        "over a row of `length` tokens, as `turns` counts it: s = length / trained",
    ),
    (
        _power(lambda width: 1),
        "θ · s, with s = length / trained, falls a little short: it would be right if the slowest "
        "pair turned by 1/θ per token, but of K/2 pairs the last is number K/2 − 1, and turns by "
        "θ^(−(K−2)/K)",
    ),
    (
        _power(lambda width: width / 2),
        "s^(K/2) is far too much: the slowest pair turns by θ^(−(K−2)/K) per token, so solve "
        "θ'^((K−2)/K) = s · θ^((K−2)/K)",
    ),
    (
        _power(lambda width: (width - 2) / width),
        "your exponent is upside down: the slowest pair slows down by s^((K−2)/K) where θ grows by "
        "s; which θ slows it down by s itself?",
    ),
    (
        _power(lambda width: width / (width - 4)),
        "off by one pair: your θ keeps the last pair but one. The K/2 pairs are numbered from 0, "
        "so the last is K/2 − 1, and turns by θ^(−(K−2)/K)",
    ),
    (
        _power(lambda width: -width / (width - 2)),
        "length and trained have changed places, or θ is divided where it should grow: your base "
        "falls, and all pairs but the first turn faster",
    ),
    *(
        (
            _power(lambda width, wrong=wrong: width / (width - wrong)),
            f"off by one: your exponent fits a last pair that turns by θ^(−(K−{wrong})/K). The "
            "pairs are numbered 0 … K/2 − 1, and pair i turns by θ^(−2i/K)",
        )
        for wrong in (-2, 1, 3)
    ),
    (
        lambda length, head_dim, theta, trained: (
            theta * length / trained * head_dim / (head_dim - 2)
        ),
        "θ is multiplied by s and by K/(K−2): the second is an exponent, since speeds are powers",
    ),
    (
        lambda length, head_dim, theta, trained: (
            theta * (length * trained) ** (head_dim / (head_dim - 2))
        ),
        "length · trained: what counts is how many times as long the row is, s = length / trained",
    ),
    (
        lambda length, head_dim, theta, trained: (
            trained * (length / trained) ** (head_dim / (head_dim - 2))
        ),
        "your base grows from `trained`, a number of tokens, not from θ",
    ),
    (
        _power(lambda width: 2 * width / (width - 2)),
        "s is squared: the slowest pair slows down by s, not by s²",
    ),
    (
        lambda length, head_dim, theta, trained: length / trained,
        "this is s, the factor of position interpolation, which divides positions and so slows the "
        "fastest pair too; the exercise asks for a base",
    ),
    (
        lambda length, head_dim, theta, trained: theta * trained / length,
        "θ / s: it is position interpolation that divides, and it divides positions; dividing the "
        "base makes pairs turn *faster*",
    ),
)
