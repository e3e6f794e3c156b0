"""Small exercises of notebook 00 about guessing and about rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from omni_lab.check.step import Step

chance_left = Step(
    right=lambda things: fmean(1 / n for n in things),
    cases=[([2, 4],), ([4, 4, 4],), ([2, 1],), ([3, 2, 4, 3],), ([1],)],
    rule="in a room with n things a guess is right with probability 1 / n; take the mean over rooms",
    mistakes=[
        (
            lambda things: 1 / fmean(things),
            "this is one over the mean number of things; take the mean of 1 / n instead, because "
            "a guess is made in each room by itself",
        ),
        (
            lambda things: sum(1 / n for n in things),
            "this adds up the rooms, and can exceed 1; divide by their number for the mean",
        ),
        (
            lambda things: fmean(things),
            "this is the mean number of things; a guess among n things is right with 1 / n",
        ),
        (
            lambda things: 1 / sum(things),
            "this guesses among the things of all rooms at once; the model knows its room",
        ),
        (
            lambda things: 1 / 8,
            "this is a guess among all eight colours; but the room is still in sight, and shows "
            "which few colours there are",
        ),
        (
            lambda things: math.prod(1 / n for n in things),
            "this is the chance to be right in every room at once; take the mean of 1 / n",
        ),
        (lambda things: 0, "nothing is ever guessed right; but a guess among n things is right with 1 / n"),
        (lambda things: 1 / max(things), "this counts only the fullest room; take the mean"),
        (lambda things: 1 / min(things), "this counts only the emptiest room; take the mean"),
        (
            lambda things: round(fmean(1 / n for n in things), 2),
            "the answer is rounded; keep it exact, and round where you print",
        ),
        (lambda things: 1 / things[0], "this counts only the first room; take the mean over all"),
        (lambda things: 1 / things[-1], "this counts only the last room; take the mean over all"),
        (
            lambda things: 1 / len(things),
            "this is one over the number of rooms; a guess is made among the things of a room",
        ),
        (
            lambda things: sum(1 // n for n in things) / len(things),
            "// drops the fraction, so that 1 // 4 is 0; divide with /",
        ),
        (
            lambda things: sum(1 / n for n in things) // len(things),
            "// drops the fraction, and 0 is left; divide with /",
        ),
        (
            lambda things: sum(1 / n for n in things) * len(things),
            "the mean divides by the number of rooms, it does not multiply",
        ),
        (
            lambda things: [1 / n for n in things],
            "this is the chance of every room; the answer is one number, their mean",
        ),
        (
            lambda things: fmean(1 - 1 / n for n in things),
            "this is how often the guess is wrong; it is right with 1 / n",
        ),
        (
            lambda things: fmean(1 / (n + 1) for n in things),
            "this also counts `nothing` as an answer; here the guess is among the things alone",
        ),
    ],
    inputs=lambda source: ([source.randrange(1, 6) for _ in range(source.randrange(1, 6))],),
    shows="in a room of 2 and a room of 4 things, 3 guesses in 8 are right; one in 3 would be "
    "one over the mean",
)  # fmt: skip


def _each(scale: Callable[[Sequence[Sequence[float]], int, int], float]) -> Callable:
    """Rates whose counts are divided by `scale` (the counts, row, column)."""
    return lambda counts: [
        [count / scale(counts, i, j) for j, count in enumerate(row)] for i, row in enumerate(counts)
    ]


row_rates = Step(
    right=_each(lambda counts, i, j: sum(counts[i])),
    cases=[
        ([[6, 2], [1, 3]],),
        ([[8, 1, 1, 2], [2, 16, 1, 1], [1, 1, 2, 1]],),
        ([[3, 1, 4]],),
        ([[2], [5]],),
    ],
    rule="divide every count by the sum of its own row, so that every row adds up to 1",
    mistakes=[
        (
            _each(lambda counts, i, j: sum(row[j] for row in counts)),
            "the columns add up to 1; but the question is how the answers of one row are shared "
            "out, so divide by the sum of the row",
        ),
        (
            _each(lambda counts, i, j: sum(map(sum, counts))),
            "the whole matrix adds up to 1; each sense was asked by itself, so divide each row by "
            "its own sum",
        ),
        (
            _each(lambda counts, i, j: max(counts[i])),
            "this divides by the largest count of the row; divide by its sum, so that it adds up "
            "to 1",
        ),
        (
            _each(lambda counts, i, j: len(counts[i])),
            "this divides by the number of columns; divide by the number of answers, the row's sum",
        ),
        (
            _each(lambda counts, i, j: len(counts)),
            "this divides by the number of rows; divide by the number of answers, the row's sum",
        ),
        (
            _each(lambda counts, i, j: sum(counts[0])),
            "every row is divided by the sum of the first; each has a sum of its own",
        ),
        (
            _each(lambda counts, i, j: sum(counts[i]) / 100),
            "these are percentages; a rate lies between 0 and 1",
        ),
        (
            lambda counts: [[count // sum(row) for count in row] for row in counts],
            "// drops the fraction, so that nearly every rate is 0; divide with /",
        ),
        (
            lambda counts: [[count * sum(row) for count in row] for row in counts],
            "a rate divides by the number of answers, it does not multiply",
        ),
        (
            lambda counts: [[sum(row) / count for count in row] for row in counts],
            "the fraction is upside down: count divided by the sum of the row",
        ),
        (
            lambda counts: [
                list(column)
                for column in zip(*([c / sum(row) for c in row] for row in counts), strict=True)
            ],
            "rows and columns changed places: a row stays the sense that was asked",
        ),
        (
            lambda counts: [max(row) / sum(row) for row in counts],
            "this keeps one rate of each row; a matrix of rates has all of them",
        ),
        (
            lambda counts: [c / sum(row) for row in counts for c in row],
            "this is one flat list; keep a list for every row",
        ),
        (
            lambda counts: [c / sum(counts[-1]) for c in counts[-1]],
            "only the last row came back; collect all of them",
        ),
        *(
            (
                lambda counts, n=n: [[round(c / sum(row), n) for c in row] for row in counts],
                "the rates are rounded; keep them exact, and round where you print",
            )
            for n in (1, 2, 3, 4)
        ),
        (lambda counts: counts, "these are still the counts"),
        (lambda counts: [sum(row) for row in counts], "these are the sums to divide by"),
    ],
    inputs=lambda source: (
        [[source.randrange(1, 9) for _ in range(4)] for _ in range(source.randrange(1, 4))],
    ),
    shows="every row adds up to 1, however often its sense was asked",
)  # fmt: skip
