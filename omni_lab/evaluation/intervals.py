"""95 % confidence interval of a proportion, Wilson's; `analysis.resampling` has the bootstrap."""

from __future__ import annotations

_Z = 1.959964


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927): holds at 0, at 1 and for few trials.

    >>> low, high = wilson(10, 10)
    >>> round(low, 3), high
    (0.722, 1.0)
    """
    if total == 0:
        return 0.0, 1.0
    rate = right / total
    centre = (rate + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    half = _Z / (1 + _Z**2 / total) * (rate * (1 - rate) / total + _Z**2 / (4 * total**2)) ** 0.5
    low, high = centre - half, centre + half
    # rounding must not leave a rate of 0 or 1 outside its own interval
    return max(0.0, low) if right else 0.0, min(1.0, high) if right < total else 1.0
