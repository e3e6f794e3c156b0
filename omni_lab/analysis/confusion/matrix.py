"""Modality confusion matrix: counts, rates and bootstrap intervals of what is followed, by what is asked.

Rows are the sense that a question asks for, columns the sense that the answer follows, the last
one `none`. There is no published definition; this one is omni_lab's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Integer

from omni_lab.analysis.resampling import bootstrap, patterned

NONE = "none"  # the column of answers that follow no sense
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Confusion:
    """Confusion matrix with 95 % intervals; rates of a row sum to 1, NaN where nothing was asked."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: Int64[np.ndarray, "rows columns"]
    low: Float64[np.ndarray, "rows columns"]
    high: Float64[np.ndarray, "rows columns"]
    units: int  # that were resampled: items, or questions where there are no items

    @property
    def rates(self) -> Float64[np.ndarray, "rows columns"]:
        """Counts as fractions of their row."""
        return _rates(self.counts[None].astype(np.float64))[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain record: names, counts, rates with bounds (None where nothing was asked), n per row."""
        return {
            "rows": list(self.rows), "columns": list(self.columns), "counts": self.counts.tolist(),
            "rates": _plain(self.rates), "low": _plain(self.low), "high": _plain(self.high),
            "n": self.counts.sum(1).tolist(), "units": self.units,
        }  # fmt: skip


def confusion_matrix(
    asked: Integer[np.ndarray, " questions"],
    followed: Integer[np.ndarray, " questions"],
    rows: Sequence[str],
    columns: Sequence[str],
    items: Integer[np.ndarray, " questions"] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Confusion:
    """Confusion matrix of numbered rows and columns, with 95 % bootstrap intervals over items.

    Items are resampled whole, with all their questions, since these are not independent. At a rate
    of 0 or 1 the bootstrap knows no spread: how little that says stands in the counts. Of more than
    10,000 items, their patterns are drawn (see `bootstrap`).

    Parameters
    ----------
    asked, followed : index into `rows` and into `columns`
    items : number of the item that a question is about; None: every question is one

    >>> found = confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), ["a", "b"], ["a", "b", "none"])
    >>> found.rates.tolist()
    [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    """
    shape = (len(rows), len(columns))
    cells = shape[0] * shape[1]
    codes = asked.astype(np.int64) * shape[1] + followed
    counts = np.bincount(codes, minlength=cells).reshape(shape)
    patterns, units = _patterns(codes, cells, items)
    low = high = np.full(shape, np.nan)
    if len(units):
        low, high = bootstrap(
            patterns, units, lambda totals: _rates(totals.reshape(-1, *shape)), resamples, seed
        )
    return Confusion(tuple(rows), tuple(columns), counts, low, high, len(units))


def _patterns(
    codes: Int64[np.ndarray, " questions"],
    cells: int,
    items: Integer[np.ndarray, " questions"] | None,
) -> tuple[np.ndarray, Integer[np.ndarray, " units"]]:
    """Tallies of every kind of item over the cells, and the kind of every item."""
    if items is None:
        return np.eye(cells), codes
    names, own = np.unique(items, return_inverse=True)
    tallies = np.bincount(own * cells + codes, minlength=len(names) * cells)
    small = tallies.astype(np.min_scalar_type(tallies.max(initial=0)))  # sorts faster
    return patterned(small.reshape(-1, cells))


def _rates(
    counts: Float64[np.ndarray, "draws rows columns"],
) -> Float64[np.ndarray, "draws rows columns"]:
    """Counts as fractions of their row, NaN in a row without any."""
    totals = counts.sum(-1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def _plain(values: Float64[np.ndarray, "rows columns"]) -> list[list[float | None]]:
    return [[None if np.isnan(v) else v for v in row] for row in values.tolist()]
