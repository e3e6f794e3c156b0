"""Map-style data source: documents by number, their lengths in tokens, an order for every epoch.

A source is cheap to plan with: lengths come from an index and from text alone, so that no picture
is decoded before its row is due.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int64

from omni_lab.sequences.items import Sequence
from omni_lab.triplets.shards.order import windowed_shuffle


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
    places : of every document, where in the data it lies and its length: what it is, in numbers
    """

    name: str
    modalities: frozenset[str]
    files: Int64[np.ndarray, " documents"]
    left_out: dict[str, int]
    seed: int
    data: str  # hash of the data alone
    fingerprint: str  # hash of the data and of all settings that decide documents and lengths
    places: Int64[np.ndarray, "documents columns"]
    _lengths: Int64[np.ndarray, " documents"]

    def __len__(self) -> int:
        return len(self._lengths)

    def lengths(self) -> Int64[np.ndarray, " documents"]:
        """Length of every document, tokens."""
        return self._lengths

    def order(self, epoch: int) -> Int64[np.ndarray, " documents"]:
        """Permutation of an epoch: a function of the data, the seed and the epoch alone."""
        return windowed_shuffle(self.files, self.seed, epoch)

    @abstractmethod
    def __getitem__(self, number: int) -> Sequence:
        """Document `number` as items, with its pixels and samples.

        Raises
        ------
        InputError
            its bytes are missing or damaged; the message names them
        """


def seed_of(seed: int, *names: str) -> int:
    """Seed derived from another one and names, the same on every machine."""
    text = "\0".join([str(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
