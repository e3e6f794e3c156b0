"""Checker of the RoPE base: the right formula passes, and every usual mistake is explained."""

import numpy as np
import pytest
from attempts import unfilled

from omni_lab import check
from omni_lab.check import NOT_YET


def base(length, head_dim, theta, trained):
    return theta * (length / trained) ** (head_dim / (head_dim - 2))


def power(exponent):
    """θ raised by another power of s = length / trained that depends on K."""
    return lambda length, head_dim, theta, trained: theta * (length / trained) ** exponent(head_dim)


def slowed(length, head_dim, theta, trained):
    """Speeds of all pairs with position interpolation."""
    return theta ** (-np.arange(0, head_dim, 2) / head_dim) * trained / length


@pytest.mark.parametrize("kind", [float, np.float64])
def test_the_right_base_passes_as_any_number(kind):
    verdict = check.raised_base(lambda *given: kind(base(*given)))
    assert verdict.right is True and "1,024 take θ 438.7 in place of 100" in verdict.message, (
        verdict.message
    )


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (power(lambda width: 1), "θ · s, with s"),
        (power(lambda width: width / 2), "s^(K/2) is far too much"),
        (power(lambda width: (width - 2) / width), "upside down"),
        (power(lambda width: width / (width - 4)), "off by one pair"),
        (power(lambda width: -width / (width - 2)), "have changed places"),
        (power(lambda width: 32 / 30), "holds for one K or one s only"),
        (
            power(lambda width: 2),
            "grows by s^2, where s is length / trained, and the slowest pair makes 0.6",
        ),
        (power(lambda width: 2), "more than needed"),
        (power(lambda width: 0.5), "raise θ further"),
        (power(lambda width: -0.5), "your base falls from 100 to 50: a smaller"),
        (lambda length, head_dim, theta, trained: theta, "stays as it was"),
        (
            lambda length, head_dim, theta, trained: length / trained,
            "factor of position interpolation",
        ),
        (lambda length, head_dim, theta, trained: theta * trained / length, "turn *faster*"),
        (slowed, "slows all pairs by the same factor"),
        (lambda *given: slowed(*given).tolist(), "slows all pairs by the same factor"),
        (lambda *given: [base(*given)] * 2, "return one number"),
        (lambda *given: ["a"] * (given[1] // 2), "return one number"),
        (lambda *given: round(base(*given)), "439 is rounded: a base is a real number"),
        (lambda *given: int(base(*given)), "438 is rounded"),
        (lambda *given: round(base(*given), 1), "438.7 is rounded"),
        (
            lambda length, head_dim, theta, trained: base(length // trained, head_dim, theta, 1),
            "drops what is left over",
        ),
        (
            lambda length, head_dim, theta, trained: base(length - 1, head_dim, theta, trained - 1),
            "counts the steps between tokens",
        ),
        (lambda *given: "439", "the speeds of all pairs follow from it; yours is '439'"),
        (lambda *given: True, "yours is True"),
        (lambda *given: float("nan"), "yours is nan"),
        (lambda *given: 10**400, "yours is 1000"),
        (lambda *given: -base(*given), "a base is above 0"),
        (lambda *given: 1 / 0, "your function stopped with ZeroDivisionError"),
    ],
)
def test_usual_mistakes_are_named(attempt, message):
    verdict = check.raised_base(attempt)
    assert verdict.right is False and message in verdict.message, verdict.message


@pytest.mark.parametrize("attempt", [unfilled, lambda *given: ...])
def test_an_empty_function_is_not_attempted(attempt):
    assert check.raised_base(attempt) == NOT_YET
