"""Times on the clock: ticks, the picture of a moment, the sample of a word, what slips (notebook 01)."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from fractions import Fraction

from omni_lab.check.step import Step
from omni_lab.media.clock import rescale

# bases in which no PTS is half a tick: then every way to round to the nearest agrees
_BASES = [Fraction(1, n) for n in (1000, 24_000, 30_000, 44_100, 48_000, 90_000)]

# --- a PTS in ticks

_UNROUNDED = "a tick is a whole number, the index of a sample: round to the nearest one"
_EARLY = (
    "you round before you multiply: one picture lasts 533.87 ticks, and rounded to 534 it is "
    "wrong by as much again with every picture. Multiply first, round once, at the end"
)
_RATE = "the clock has 16,000 ticks a second"

to_ticks = Step(
    right=rescale,
    cases=[
        (1001, Fraction(1, 30_000)), (4004, Fraction(1, 30_000)), (1024, Fraction(1, 44_100)),
        (90_000, Fraction(1, 90_000)), (-7, Fraction(1, 90_000)), (-1001, Fraction(1, 30_000)),
        (107_892 * 1001, Fraction(1, 30_000)), (107_892, Fraction(1001, 30_000)),
    ],
    rule="PTS · time base is seconds, times 16,000 is ticks, and the nearest whole one counts",
    mistakes=[
        (lambda pts, base: math.floor(pts * base * 16_000), "this cuts the fraction off, so that "
         "533.87 ticks become 533: round to the nearest tick, 534"),
        (lambda pts, base: int(pts * base * 16_000), "`int` cuts the fraction off, so that 533.87 "
         "ticks become 533: use `round`"),
        (lambda pts, base: math.ceil(pts * base * 16_000),
         "this always rounds up: 2135.47 ticks are nearer to 2135"),
        (lambda pts, base: int(pts * base * 16_000 + Fraction(1, 2)), "`int` goes towards 0, so "
         "that adding a half is wrong below 0, and a PTS may be negative: use `round`"),
        (lambda pts, base: pts * base * 16_000, _UNROUNDED),
        (lambda pts, base: float(pts * base * 16_000), _UNROUNDED),
        (lambda pts, base: pts * round(base * 16_000), _EARLY),
        (lambda pts, base: pts * int(base * 16_000), _EARLY),
        (lambda pts, base: round(pts * base) * 16_000,
         "this rounds to whole seconds: round at the very end, when you have ticks"),
        (lambda pts, base: pts * base, "these are seconds: a second has 16,000 ticks"),
        (lambda pts, base: float(pts * base), "these are seconds: a second has 16,000 ticks"),
        (lambda pts, base: round(pts * base), "these are seconds: a second has 16,000 ticks"),
        (lambda pts, base: round(pts * base * 1000), "these are milliseconds: " + _RATE),
        (lambda pts, base: round(pts / base * 16_000),
         "the time base is the length of one unit in seconds: multiply by it"),
        (lambda pts, base: round(pts / base / 16_000),
         "the time base is the length of one unit in seconds: multiply by it, and by 16,000"),
        (lambda pts, base: round(pts * base / 16_000),
         "this divides the seconds by 16,000: a second has 16,000 ticks, so multiply"),
        (lambda pts, base: pts * 534, "534 ticks are about one *picture*; a PTS counts units of the "
         "time base"),
        (lambda pts, base: round(pts * base * 44_100), "44,100 is the rate of this sound; " + _RATE),
        (lambda pts, base: pts * 16_000, "without the time base nobody knows how long a unit is"),
        (lambda pts, base: round(pts * pts * 16_000), "the time base is missing from your product"),
        (lambda pts, base: round(base * base * 16_000), "the PTS is missing from your product"),
        (lambda pts, base: round(pts * base * 16_001), _RATE + ", not 16,001"),
        (lambda pts, base: round(pts * base * 15_999), _RATE + ", not 15,999"),
    ],
    inputs=lambda source: (source.randrange(-(10**6), 10**8), source.choice(_BASES)),
    shows="one rounding, at the end, and no picture is ever off by more than half a tick",
)  # fmt: skip

# --- the picture nearest to a grid time


def _nearest(times: list[int], grid: list[int]) -> list[int]:
    return [min(times, key=lambda time: abs(time - point)) for point in grid]


nearest_pictures = Step(
    right=_nearest,
    cases=[
        ([0, 534, 1068, 1602, 2135], [400, 1200, 2100]),
        ([100, 700, 900, 1500], [0, 760, 1300, 2000]),
        ([50], [40]),
        ([0, 300, 1000], []),
    ],
    rule="for each point of the grid, of all times the one with the smallest distance, early or late",
    mistakes=[
        (lambda times, grid: list(grid), "this is the grid: a picture keeps the true time at which "
         "it was taken, not the time at which one was wanted"),
        (lambda times, grid: list(times), "these are all pictures: one for each point of the grid "
         "is asked for"),
        (lambda times, grid: [times[max(0, bisect_right(times, p) - 1)] for p in grid],
         "this takes the last picture before each point; the next one may be nearer"),
        (lambda times, grid: [times[min(bisect_left(times, p), len(times) - 1)] for p in grid],
         "this takes the first picture after each point; the one before may be nearer"),
        (lambda times, grid: [times.index(time) for time in _nearest(times, grid)],
         "these are the pictures' numbers: return their times"),
        (lambda times, grid: [abs(t - p) for t, p in zip(_nearest(times, grid), grid, strict=True)],
         "these are the distances: return the times of the pictures"),
        (lambda times, grid: [t - p for t, p in zip(_nearest(times, grid), grid, strict=True)],
         "these are the distances: return the times of the pictures"),
        (lambda times, grid: [max(times, key=lambda t: abs(t - p)) for p in grid],
         "this is the farthest picture: take the smallest distance"),
        (lambda times, grid: [min(times, key=lambda t: t - p) for p in grid],
         "the earliest picture always wins here: the distance of two times is abs(time - point)"),
        (lambda times, grid: [max(times, key=lambda t: t - p) for p in grid],
         "without abs(…) the latest picture always wins"),
        (lambda times, grid: _nearest(grid, times) if grid else [],
         "for each *point of the grid* a picture is asked for, not for each picture a point"),
    ],
    inputs=lambda source: (
        sorted(source.sample(range(0, 20_000, 2), 12)),
        [source.randrange(1, 20_000, 2) for _ in range(5)],
    ),
    shows="a kept picture is at most half a picture's length from where it was wanted",
)  # fmt: skip

# --- a sample after a late start

sample_at = Step(
    right=lambda tick, audio_start: max(tick - audio_start, 0),
    cases=[(24_000, 3200), (16_000, 0), (3200, 3200), (3201, 3200), (1600, 3200), (0, 40)],
    rule="sample 0 is heard at tick `audio_start`, and nothing is heard before it",
    mistakes=[
        (lambda tick, start: tick, "this forgets that the sound starts late: sample 0 is heard at "
         "tick `audio_start`, and the word would be cut out too late"),
        (lambda tick, start: tick - start, "before the sound begins this is negative, and Python "
         "counts a negative index from the *end*: there take sample 0"),
        (lambda tick, start: abs(tick - start),
         "before the sound begins there is no sample; abs(…) finds one in the middle of it: take 0"),
        (lambda tick, start: tick + start, "a late start leaves *fewer* samples before a word, not "
         "more: subtract it"),
        (lambda tick, start: max(tick + start, 0), "a late start leaves *fewer* samples before a "
         "word, not more: subtract it"),
        (lambda tick, start: start - tick, "the other way round: the word's tick minus the start"),
        (lambda tick, start: max(start - tick, 0),
         "the other way round: the word's tick minus the start of the sound"),
        (lambda tick, start: min(tick - start, 0),
         "`min` keeps only what lies *before* the sound: you want the larger of the two"),
        (lambda tick, start: max(tick - start, 1), "the first sample has the number 0"),
        (lambda tick, start: max(tick - start, -1),
         "a number below 0 is counted from the end of the sound: before it begins, take sample 0"),
        (lambda tick, start: max(tick - start + 1, 0), "one too many: at tick `audio_start` itself "
         "you hear sample 0"),
        (lambda tick, start: max(tick, start), "this is a tick: samples count from where the sound "
         "begins, so subtract `audio_start`"),
        (lambda tick, start: 0, "this is always sample 0: subtract the start of the sound from the "
         "word's tick"),
        (lambda tick, start: (tick - start) * 16_000, "a tick is already as long as a sample: "
         "nothing is to be multiplied"),
        (lambda tick, start: (tick - start) / 16_000, "these are seconds; asked is the number of a "
         "sample, and a tick is as long as a sample"),
    ],
    inputs=lambda source: (source.randrange(20_000), source.choice([0, source.randrange(9000)])),
    shows="when and where are one, once the start of the sound is taken off",
)  # fmt: skip

# --- the part of a word that falls into another second


def _astray(start: int, end: int, slip: int, second: Callable[[int], bool] | None = None) -> float:
    second = second or (lambda ms: ms // 1000 != 0)
    return sum(second(ms + slip) for ms in range(start, end)) / (end - start)


def _slip(source: random.Random) -> tuple[int, int, int]:
    start, end = sorted(source.sample(range(1001), 2))
    return start, end, source.randrange(-1200, 1200)


_OWN = "its own second goes from 0 to below 1000 ms"
share_astray = Step(
    right=_astray,
    cases=[
        (50, 350, -200), (50, 350, 200), (700, 900, 200), (0, 1000, -100), (100, 200, -300),
        (400, 500, 500), (200, 300, -200), (300, 600, 700), (250, 750, 0), (100, 900, 1100),
    ],
    rule="moved by the slip, a moment is still right while it lies from 0 to below 1000 ms",
    mistakes=[
        (lambda a, b, slip: _astray(a, b, -slip),
         "early and late have changed places: late sound moves to *later* times, so add the slip"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: ms < 0),
         "this sees only what slips into the second *before*: late sound can fall into the next"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: ms >= 1000),
         "this sees only what slips into the *next* second: early sound falls into the one before"),
        (lambda a, b, slip: 1 - _astray(a, b, slip),
         "this is the part that stays: asked is the part that goes astray"),
        (lambda a, b, slip: _astray(a, b, slip) * (b - a),
         "these are milliseconds: divide by the length of the word for a share"),
        (lambda a, b, slip: _astray(a, b, slip) * (b - a) ** 2,
         "a share is a part *divided* by the whole: divide by the word's length"),
        (lambda a, b, slip: _astray(a, b, slip) * (b - a) / 1000,
         "this is a share of the second: divide by the length of the *word*"),
        (lambda a, b, slip: _astray(a, b, slip) // 1,
         "`//` leaves no fraction: divide with `/`, a part of a word may go astray"),
        (lambda a, b, slip: float((a + slip) // 1000 != 0), "this asks only where the word "
         "*begins*: a part of it may be in one second and the rest in another"),
        (lambda a, b, slip: float((a + b + 2 * slip) // 2000 != 0), "this asks only for the word's "
         "*middle*: a part of it may be in one second and the rest in another"),
        (lambda a, b, slip: (max(0, -(a + slip)) + max(0, b + slip - 1000)) / (b - a),
         "a word that is gone altogether is gone once: the share is never above 1"),
        (lambda a, b, slip: abs(slip) / (b - a), "not all that moves goes astray: only what leaves "
         "its second does"),
        (lambda a, b, slip: min(1, abs(slip) / (b - a)), "not all that moves goes astray: only "
         "what leaves its second does"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: ms // 1001 != 0),
         f"{_OWN}: 1000 itself belongs to the next"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: ms // 999 != 0),
         f"{_OWN}: 999 still belongs to it"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: not 0 < ms < 1000),
         f"{_OWN}: 0 belongs to it"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: not 0 <= ms <= 1000),
         f"{_OWN}: 1000 itself belongs to the next"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: ms // 1000 != 1),
         "the word's own second has the number 0, not 1"),
        (lambda a, b, slip: _astray(a, b, slip, lambda ms: ms // 1000 != -1),
         "the word's own second has the number 0; −1 is the second before it"),
        (lambda a, b, slip: _astray(a, b, a), "the slip is missing: every moment moves by it"),
        (lambda a, b, slip: _astray(a, b, 0), "the slip is missing: every moment moves by it"),
        (lambda a, b, slip: sum((ms + slip) // 1000 for ms in range(a, b)) / (b - a),
         "this adds up the *numbers* of the seconds; count the moments whose number is not 0"),
    ],
    inputs=_slip,
    shows="the same slip costs a word at the beginning of its second, or at its end, or not at all",
)  # fmt: skip
