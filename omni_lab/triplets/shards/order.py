"""Order of an epoch: a windowed shuffle, a function of (files, seed, epoch) alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Int64, Shaped

WINDOW = 4  # files whose documents are mixed: reads stay near on disk


def windowed_shuffle(
    files: Shaped[np.ndarray, " documents"], seed: int, epoch: int, window: int = WINDOW
) -> Int64[np.ndarray, " documents"]:
    """Windowed shuffle: files are shuffled, then the documents within a few files at a time.

    Parameters
    ----------
    files : of every document, the name or number of the file it lies in; those of one file follow
        one another
    window : files that are mixed at a time

    >>> sorted(windowed_shuffle(np.array([0, 0, 1]), seed=1, epoch=0).tolist())
    [0, 1, 2]
    """
    if not len(files):
        return np.arange(0)
    rng = np.random.default_rng([seed, epoch])
    edges = np.flatnonzero(np.r_[True, files[1:] != files[:-1], True])
    spans = [np.arange(*span) for span in pairwise(edges)]
    spans = [spans[place] for place in rng.permutation(len(spans))]
    starts = range(0, len(spans), window)
    windows = [np.concatenate(spans[start : start + window]) for start in starts]
    return np.concatenate([rng.permutation(documents) for documents in windows])
