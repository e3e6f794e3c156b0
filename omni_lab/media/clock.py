"""Clock of all media: int64 ticks at 16,000 Hz, so that a tick is also an audio sample index.

Presentation timestamps (PTS) are integers in a stream's own time base. They become ticks by exact
rational arithmetic and a single rounding, never through floats, so that an hour into a film nothing
has drifted. Seconds appear only at the edges.
"""

from __future__ import annotations

from fractions import Fraction
from numbers import Rational

from omni_lab.config import TICKS_PER_SECOND


def seconds(ticks: int) -> float:
    """Time in seconds of a number of ticks.

    >>> seconds(24_000)
    1.5
    """
    return int(ticks) / TICKS_PER_SECOND


def ticks(seconds: float | Fraction) -> int:
    """Time in ticks, the nearest to a number of seconds.

    >>> ticks(1.5)
    24000
    """
    return round(seconds * TICKS_PER_SECOND)


def rescale(pts: int, time_base: Rational) -> int:
    """Presentation timestamp in ticks: exact integer arithmetic, rounded half up once.

    Parameters
    ----------
    pts : timestamp in units of `time_base`
    time_base : seconds per unit, as the container states it

    >>> rescale(90_000, Fraction(1, 90_000)), rescale(1, Fraction(1001, 30_000))
    (16000, 534)
    """
    numerator = pts * time_base.numerator * TICKS_PER_SECOND
    denominator = time_base.denominator
    return (2 * numerator + denominator) // (2 * denominator)


def stamp(ticks: int) -> str:
    """Film time in readable form: `minutes:seconds.milliseconds`.

    >>> stamp(1_064_000)
    '1:06.500'
    """
    milliseconds = round(seconds(ticks) * 1000)
    sign = "-" if milliseconds < 0 else ""
    minutes, rest = divmod(abs(milliseconds), 60_000)
    return f"{sign}{minutes}:{rest // 1000:02d}.{rest % 1000:03d}"


def early_or_late(late_s: float) -> str:
    """Lateness in words, in milliseconds.

    >>> early_or_late(0.2), early_or_late(-0.0035)
    ('200.0 ms late', '3.5 ms early')
    """
    return f"{1000 * abs(late_s):.1f} ms {'early' if late_s < 0 else 'late'}"
