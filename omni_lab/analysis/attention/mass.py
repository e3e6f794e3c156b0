"""Attention mass: how much attention tokens of one label pay to those of another, exactly.

Attention whose values are one-hot labels of the keys gives each query's mass per label; the mean
over the queries of one label is a row of the matrix. It takes the memory of attention itself, and
rides along with the layer's own values. For many labels, as the items of a long film, the weights
are formed a tile at a time and summed over the labels of the tile.

Glossary: B batch · H query heads · Q queries · J keys · C labels of keys · R labels of queries
· L layers.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from omni_lab.analysis.attention.call import AttentionCall
from omni_lab.analysis.attention.labels import NO_LABEL, Labels
from omni_lab.analysis.attention.weights import WIDTH, carried, log_sums, tiles
from omni_lab.errors import InputError

SINK = "learned sink"
_MANY = 2  # times the head width: with more labels, tiles are cheaper than wide values


def attention_mass(
    call: AttentionCall, labels: Int64[Tensor, "B J"], classes: int
) -> Float[Tensor, "B H Q C"]:
    """Attention mass from every query of a call to the keys of every label.

    Parameters
    ----------
    labels : label of every key, from 0 to `classes` - 1; a key with NO_LABEL is left out
    classes : number of labels, C

    Returns
    -------
    mass : sums to 1 over the labels, less what falls on keys without a label and on a learned sink
    """
    return torch.cat([mass for _, mass in mass_by_heads(call, labels, classes)], 1)


def mass_by_heads(
    call: AttentionCall, labels: Int64[Tensor, "B J"], classes: int
) -> Iterator[tuple[slice, Float[Tensor, "B h Q C"]]]:
    """Attention mass of a call, as many heads at a time as fit into bounded memory."""
    if classes > _MANY * call.key.shape[-1] and call.row is None:
        for heads, _, part in call.in_parts(classes):
            yield heads, _mass_by_tiles(part, labels, classes)
        return
    known = labels != NO_LABEL
    values = F.one_hot(labels.clamp_min(0), classes).to(call.query.dtype) * known[..., None]
    yield from carried(call, values[:, None])


@torch.no_grad()
def _mass_by_tiles(call: AttentionCall, labels: Tensor, classes: int) -> Tensor:
    """Mass of many labels: in a tile only those of its own keys occur."""
    sums = log_sums(call)
    mass = sums.new_zeros(*sums.shape, classes)
    here = [labels[:, at : at + WIDTH] for at in range(0, labels.shape[1], WIDTH)]
    found = [own.unique(return_inverse=True) for own in here]
    values = [F.one_hot(place).to(sums.dtype)[:, None] for _, place in found]
    for rows, columns, weights in tiles(call, sums):
        number, first = divmod(columns.start, WIDTH)
        own = slice(first, first + columns.stop - columns.start)
        part, names = weights @ values[number][:, :, own], found[number][0]
        if names[0] == NO_LABEL:
            names, part = names[1:], part[..., 1:]
        if (last := int(names[-1]) + 1) - int(names[0]) == len(names):
            mass[:, :, rows, int(names[0]) : last] += part
        else:
            mass[:, :, rows].index_add_(-1, names, part)
    return mass


class MassMatrix:
    """Attention mass between labels, per layer and head, collected over calls and batches.

    It is what `capture_attention` calls: `with capture_attention(part, MassMatrix(labels)): …`.

    Parameters
    ----------
    keys : label of every token as a key
    queries : label of every token as a query; None is that of `keys`
    """

    def __init__(self, keys: Labels, queries: Labels | None = None) -> None:
        self.of(keys, queries)
        self.query_names, self.key_names = self.queries.names, keys.names
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, Tensor] = {}
        self._sinks = False

    def of(self, keys: Labels, queries: Labels | None = None) -> MassMatrix:
        """The same collection for the next batch, whose tokens have other labels, of equal names."""
        self.keys, self.queries = keys, queries or keys
        return self

    def __call__(self, call: AttentionCall) -> None:
        """Mass of one call, added to its layer's."""
        own, rows = call.at_keys(self.keys.of), call.at_queries(self.queries.of)
        classes = len(self.key_names)
        sums = self._sums.setdefault(
            call.layer,
            torch.zeros(call.query.shape[1], len(self.query_names), classes, dtype=torch.float64),
        )
        for heads, mass in mass_by_heads(call, own, classes):
            sums[heads] += summed(mass, rows, len(self.query_names))
        known = rows[rows != NO_LABEL]
        counts = torch.bincount(known, minlength=len(self.query_names)).cpu()
        self._counts[call.layer] = self._counts.get(call.layer, 0) + counts
        self._sinks |= call.sinks is not None

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers that were captured; layers without attention have none."""
        return sorted(self._sums)

    def matrix(self) -> Float64[Tensor, "L H R C"]:
        """Mean mass of every label's queries, per layer and head; NaN where a label has no query.

        A learned sink is the last column, since it takes mass as keys do.

        Raises
        ------
        InputError
            no layer was captured
        """
        if not self._sums:
            raise InputError("no attention layer was captured: the model ran outside the capture")
        layers = [self._sums[i] / self._counts[i][None, :, None] for i in self.layers]
        mass = torch.stack(layers)
        return torch.cat([mass, 1 - mass.sum(-1, keepdim=True)], -1) if self._sinks else mass

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return (*self.key_names, SINK) if self._sinks else self.key_names


def summed(
    mass: Float[Tensor, "B H Q C"], labels: Int64[Tensor, "B Q"], classes: int
) -> Float64[Tensor, "H R C"]:
    """Mass summed over the queries of every label; queries with NO_LABEL are left out."""
    known = labels != NO_LABEL
    at = F.one_hot(labels.clamp_min(0), classes).to(mass.dtype) * known[..., None]
    return torch.einsum("bqr,bhqc->bhrc", at, mass).sum(0).double().cpu()
