"""Instruction mixture: percentages per dataset, small sets repeated, parts of equal mix (C9).

OmChat chooses its instruction data so: percentages by importance, one big combination in which small
sets come several times, cut into parts that all have the same mix. Here every part has each
dataset's share to within one sample, and so have all parts up to each one together. A dataset is
abstract: a length, a fingerprint, items by number.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from omni_lab.config import config_hash
from omni_lab.data.documents import seed_of
from omni_lab.data.instruct.rounding import rounded_shares
from omni_lab.errors import InputError, UsageError

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12}|/[1-9][0-9]{0,11})?")


@runtime_checkable
class Dataset(Protocol):
    """What a mixture asks of a dataset."""

    fingerprint: str  # hash of the data: another one is other data

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, number: int) -> Any:
        """Sample `number`."""


@dataclass(frozen=True)
class Portion:
    """One dataset of a mixture, as it was when the mixture was made."""

    name: str
    percent: Fraction
    length: int  # samples
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Mixture:
    """Samples in the order in which they are trained on, part by part.

    Parameters
    ----------
    portions : its datasets, by name in alphabetical order
    sizes : of the parts, samples
    seed : of all orders
    which : of every sample, the number of its portion
    numbers : of every sample, its number in the dataset
    """

    portions: tuple[Portion, ...]
    sizes: tuple[int, ...]
    seed: int
    which: Int64[np.ndarray, " samples"]
    numbers: Int64[np.ndarray, " samples"]

    @property
    def recipe(self) -> str:
        """Hash of what made it: datasets, percentages, sizes of parts, seed."""
        portions = [[p.name, str(p.percent), p.length, p.fingerprint] for p in self.portions]
        return config_hash([portions, list(self.sizes), self.seed])

    @property
    def fingerprint(self) -> str:
        """Hash of what made it and of all its indices."""
        found = hashlib.blake2b(self.recipe.encode(), digest_size=8)
        for indices in (self.which, self.numbers):
            found.update(indices.astype("<i8").tobytes())
        return found.hexdigest()

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First sample of every part, and the one after its last."""
        return list(pairwise(accumulate(self.sizes, initial=0)))

    def counts(self) -> Int64[np.ndarray, "parts datasets"]:
        """Samples of every dataset in every part."""
        of = len(self.portions)
        return np.array([np.bincount(self.which[a:b], minlength=of) for a, b in self.bounds])

    def epochs(self) -> Int64[np.ndarray, " samples"]:
        """Epoch of its dataset that each sample is in: 0 where it is seen for the first time."""
        found = np.empty(len(self.which), np.int64)
        for own, portion in enumerate(self.portions):
            places = np.flatnonzero(self.which == own)
            found[places] = np.arange(len(places)) // portion.length
        return found


def mix(
    datasets: Mapping[str, Dataset], percentages: Sequence[str], sizes: Sequence[int], seed: int
) -> Mixture:
    """Mixture of datasets by percentages, in parts of the same mix; a function of its arguments.

    Within a dataset every sample is seen once before any is seen twice.

    Parameters
    ----------
    percentages : of the samples, by dataset: `("vqa=62.5", "chat=37.5")`, thirds as `100/3`
    sizes : of the parts, samples: equal ones, or doubling ones such as `(n, n, 2 * n, 4 * n)`

    Raises
    ------
    UsageError
        a percentage is none, they are not 100 together, a dataset is unknown or has none, or a part
        is too small for one sample of a dataset
    InputError
        a dataset is empty, or the same data are there twice
    """
    portions = portions_of(datasets, percentages)
    _check_sizes(sizes, portions)
    counts = rounded_shares(sizes, [portion.percent / 100 for portion in portions])
    which = np.concatenate(
        [
            np.random.default_rng([seed_of(seed, "part"), part]).permutation(
                np.repeat(np.arange(len(portions)), of)
            )
            for part, of in enumerate(counts)
        ]
    )
    numbers = np.empty(len(which), np.int64)
    for own, portion in enumerate(portions):
        numbers[which == own] = _passes(portion, int(counts[:, own].sum()), seed)
    return Mixture(portions, tuple(sizes), seed, which, numbers)


def combination_size(datasets: Mapping[str, Dataset], percentages: Sequence[str]) -> int:
    """Size of the combination in which every sample of every dataset is: small sets come repeated.

    Raises
    ------
    UsageError, InputError
        as `mix`
    """
    portions = portions_of(datasets, percentages)
    return max(math.ceil(portion.length * 100 / portion.percent) for portion in portions)


def portions_of(datasets: Mapping[str, Dataset], percentages: Sequence[str]) -> tuple[Portion, ...]:
    """Datasets with their percentages, in alphabetical order.

    Raises
    ------
    UsageError, InputError
        as `mix`
    """
    of = percentages_of(percentages)
    for name in of:
        if name not in datasets:
            near = difflib.get_close_matches(name, datasets, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(datasets)}"
            raise UsageError(f"mixture: unknown dataset {name!r}; {hint}")
    if left := [name for name in datasets if name not in of]:
        right = "give it one, or leave it out of the datasets"
        raise UsageError(f"mixture: dataset {left[0]} has no percentage; {right}")

    names: dict[str, str] = {}  # by fingerprint
    for name in sorted(datasets):
        if not len(datasets[name]):
            raise InputError(f"mixture: dataset {name} is empty; leave it out")
        twin = names.setdefault(datasets[name].fingerprint, name)
        if twin != name:
            right = "name them once, with both percentages together"
            raise InputError(f"mixture: datasets {twin} and {name} are the same data; {right}")
    return tuple(
        Portion(name, of[name], len(datasets[name]), datasets[name].fingerprint)
        for name in sorted(datasets)
    )


def percentages_of(specs: Sequence[str]) -> dict[str, Fraction]:
    """Percentages by dataset, exact, from `NAME=PERCENT`.

    >>> percentages_of(("vqa=62.5", "chat=37.5"))["chat"]
    Fraction(75, 2)

    Raises
    ------
    UsageError
        one is no number above 0, a name stands there twice, or they are not 100 together
    """
    found: dict[str, Fraction] = {}
    for spec in specs:
        name, _, text = (part.strip() for part in spec.partition("="))
        percent = Fraction(text) if _NUMBER.fullmatch(text) else Fraction(0)
        if not name or percent <= 0:
            right = "write NAME=PERCENT, a number above 0, such as vqa=62.5"
            raise UsageError(f"mixture: impossible percentage {spec!r}; {right}")
        if name in found:
            raise UsageError(f"mixture: {name} stands there twice; give it one percentage")
        found[name] = percent
    if (total := sum(found.values())) != 100:
        told = ", ".join(f"{name} {float(percent):g}" for name, percent in found.items())
        message = f"percentages add up to {_told(total)}, not 100: {told or 'there are none'}"
        raise UsageError(f"mixture: {message}")
    return found


def _told(total: Fraction | int) -> str:
    """A sum in decimals; as a fraction where it would look like 100."""
    return str(Fraction(total)) if f"{float(total):g}" == "100" else f"{float(total):g}"


def _check_sizes(sizes: Sequence[int], portions: Sequence[Portion]) -> None:
    """Refuse parts that have no room for a sample of every dataset."""
    if not sizes or min(sizes) < 1:
        told = ", ".join(map(str, sizes)) or "none"
        raise UsageError(
            f"mixture: parts of {told} samples; give the size of every part, 1 or more"
        )
    rarest = min(portions, key=lambda portion: portion.percent)
    least = math.ceil(100 / rarest.percent)
    for part, size in enumerate(sizes, 1):
        if size < least:
            share = (
                f"{float(rarest.percent):g} % of {size} is {float(rarest.percent * size / 100):.2g}"
            )
            message = f"part {part} holds no sample of {rarest.name} ({share})"
            raise UsageError(f"mixture: {message}; make it {least} samples or larger")


def _passes(portion: Portion, samples: int, seed: int) -> Int64[np.ndarray, " samples"]:
    """Numbers of samples of a dataset: a permutation of all for every epoch, the last cut off."""
    own = seed_of(seed, "dataset", portion.name)
    epochs = range(-(-samples // portion.length))
    passes = [np.random.default_rng([own, n]).permutation(portion.length) for n in epochs]
    return np.concatenate(passes)[:samples]
