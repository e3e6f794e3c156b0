"""Map-style data source: documents by number, their lengths in tokens, an order for every epoch.

A source is cheap to plan with: lengths come from an index and from text alone, so that no picture
is decoded before its row is due.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from omni_lab.sequences.items import Sequence

WINDOW = 4  # files whose documents are mixed: reads stay near on disk


class Documents(ABC):
    """Data source of one stage: documents by number, laid out as the stage reads them.

    Parameters
    ----------
    name : of the source, as stages name it
    modalities : that its documents have, of image, audio, text
    files : of every document, the number of the file that it lies in
    lengths : of every document, tokens
    left_out : reason → number of documents that the stage cannot use
    seed : of all orders
    """

    name: str
    modalities: frozenset[str]
    files: Int64[np.ndarray, " documents"]
    left_out: dict[str, int]
    seed: int
    fingerprint: str  # hash of the data and of all settings that decide documents and lengths
    _lengths: Int64[np.ndarray, " documents"]

    def __len__(self) -> int:
        return len(self._lengths)

    def lengths(self) -> Int64[np.ndarray, " documents"]:
        """Length of every document, tokens."""
        return self._lengths

    def order(self, epoch: int) -> Int64[np.ndarray, " documents"]:
        """Permutation of an epoch: a function of the data, the seed and the epoch alone."""
        return shuffled(self.files, self.seed, epoch)

    @abstractmethod
    def __getitem__(self, number: int) -> Sequence:
        """Document `number` as items, with its pixels and samples.

        Raises
        ------
        InputError
            its bytes are missing or damaged; the message names them
        """


def shuffled(
    files: Int64[np.ndarray, " documents"], seed: int, epoch: int, window: int = WINDOW
) -> Int64[np.ndarray, " documents"]:
    """Windowed shuffle: files are shuffled, then the documents within a few files at a time.

    It is `ClipStream.order` for documents of any kind, such as the pieces of clips.

    >>> sorted(shuffled(np.array([0, 0, 1]), seed=1, epoch=0).tolist())
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


def seed_of(seed: int, *names: str) -> int:
    """Seed derived from another one and names, the same on every machine."""
    text = "\0".join([str(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
