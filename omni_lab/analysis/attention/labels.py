"""Token labels: what attention mass is summed over. Modality, document, second, role, sink …

Glossary: B batch · T tokens · C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from omni_lab.errors import UsageError

NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Labels:
    """Label of every token, with the labels' names.

    Parameters
    ----------
    of : label of every token, NO_LABEL where it has none (padding)
    names : of labels 0 to C - 1

    Raises
    ------
    UsageError
        a label has no name
    """

    of: Int64[Tensor, "B T"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.of.numel() and (worst := int(self.of.max())) >= len(self.names):
            raise UsageError(f"label {worst} of {len(self.names)} named labels: names are missing")
        if self.of.numel() and int(self.of.min()) < NO_LABEL:
            raise UsageError(f"label {int(self.of.min())}: {NO_LABEL} is the one for no label")

    def times(self, other: Labels) -> Labels:
        """Label of every pair, as `image × second 3`; no label where either has none."""
        pair = self.of * len(other.names) + other.of
        pair = pair.masked_fill((self.of == NO_LABEL) | (other.of == NO_LABEL), NO_LABEL)
        names = tuple(f"{one} × {two}" for one in self.names for two in other.names)
        return Labels(pair, names)

    def present(self) -> Labels:
        """The labels that occur, renumbered in their order."""
        found = self.of[self.of != NO_LABEL].unique()
        number = self.of.new_full((len(self.names) + 1,), NO_LABEL)
        number[found] = torch.arange(len(found), device=found.device)
        return Labels(number[self.of], tuple(self.names[i] for i in found.tolist()))


def labels_of(values: Int64[Tensor, "B T"], name: str, where: Tensor | None = None) -> Labels:
    """Labels from numbers of any kind, one per number that occurs: `second 0`, `second 1`, …

    Parameters
    ----------
    values : number of every token; below 0 it has none
    name : of what is numbered
    where : tokens that get a label
    """
    has = values >= 0 if where is None else (values >= 0) & where
    found = values[has].unique()
    of = torch.searchsorted(found, values.contiguous()).clamp_max(max(len(found) - 1, 0))
    names = tuple(f"{name} {number}" for number in found.tolist())
    return Labels(of.masked_fill(~has, NO_LABEL), names)


def marked(
    of: Int64[Tensor, "B T"], places: Sequence[int], name: str, names: Sequence[str]
) -> Labels:
    """Labels with some tokens set apart under a name of their own, as a needle or a sink."""
    apart = of.clone()
    apart[:, list(places)] = len(names)
    return Labels(apart, (*names, name))
