"""What was seen of each dataset of a mixture: samples, how often each came, how much was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from omni_lab.data.instruct.mixture import Mixture


class Seen(NamedTuple):
    """What was seen of one dataset."""

    samples: int  # read, repeats included
    percent: float  # of all samples read
    length: int  # samples that the dataset has
    distinct: int  # of them, how many were read at all
    most: int  # times that one of them was read, at most
    tokens: int | None  # of what was read; None where lengths are not known

    @property
    def epochs(self) -> float:
        """How often a sample was read, on average over the whole dataset."""
        return self.samples / self.length


def seen_of(
    mixture: Mixture,
    samples: int | None = None,
    lengths: Mapping[str, Int64[np.ndarray, " documents"]] | None = None,
) -> dict[str, Seen]:
    """What the first `samples` of a mixture (all by default) hold of every dataset, by name.

    Parameters
    ----------
    lengths : of the samples of every dataset, tokens
    """
    read = len(mixture.which) if samples is None else min(samples, len(mixture.which))
    found = {}
    for own, portion in enumerate(mixture.portions):
        numbers = mixture.numbers[:read][mixture.which[:read] == own]
        times = np.bincount(numbers, minlength=portion.length)
        found[portion.name] = Seen(
            samples=len(numbers),
            percent=100 * len(numbers) / max(1, read),
            length=portion.length,
            distinct=int((times > 0).sum()),
            most=int(times.max()),
            tokens=int(lengths[portion.name][numbers].sum()) if lengths else None,
        )
    return found


def seen_table(found: Mapping[str, Seen]) -> str:
    """Table of what was seen of every dataset, as text; the last column where tokens are known.

    >>> found = {"vqa": Seen(30, 75.0, 20, 20, 2, 900), "chat": Seen(10, 25.0, 40, 10, 1, 50)}
    >>> print(seen_table(found))
    dataset  samples  of all  has   seen  epochs  tokens
    vqa           30  75.0 %   20  100 %    1.50     900
    chat          10  25.0 %   40   25 %    0.25      50
    """
    head = ["dataset", "samples", "of all", "has", "seen", "epochs", "tokens"]
    rows = [
        [
            name, f"{own.samples:,}", f"{own.percent:.1f} %", f"{own.length:,}",
            f"{100 * own.distinct / own.length:.0f} %", f"{own.epochs:.2f}",
            "–" if own.tokens is None else f"{own.tokens:,}",
        ]
        for name, own in found.items()
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in [head, *rows]
    )
