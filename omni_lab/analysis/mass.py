"""Attention mass per modality, exact, without a T × T attention map in memory.

Attention whose values are one-hot labels of the keys gives each query's mass per label; the mean
over the queries of one modality is a row of the matrix. It takes the memory of attention itself.

Glossary: B batch · H query heads · G key/value heads · T tokens · K head width ·
C labels (modalities).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def attention_mass(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G T K"],
    labels: Int64[Tensor, "B T"],
    classes: int,
    scale: float | None = None,
) -> Float[Tensor, "B H T C"]:
    """Attention mass of causal attention, from every query to the keys of every label.

    Parameters
    ----------
    labels : label of every key, from 0 to `classes` - 1; a key with -1 (padding) has no label
    classes : number of labels, C
    scale : of the attention scores; None is 1 / √K

    Returns
    -------
    mass : sums to 1 over the labels, less what falls on keys without a label
    """
    heads = query.shape[1]
    known = labels >= 0
    values = F.one_hot(labels.clamp_min(0), classes).to(query.dtype) * known[..., None]  # B T C
    values = values[:, None].expand(-1, heads, -1, -1)
    key = key.repeat_interleave(heads // key.shape[1], dim=1)
    return F.scaled_dot_product_attention(query, key, values, is_causal=True, scale=scale)


def mass_matrix(
    mass: Float[Tensor, "B H T C"], labels: Int64[Tensor, "B T"], classes: int
) -> tuple[Float[Tensor, "C C"], Int64[Tensor, " C"]]:
    """Attention mass summed over the queries of every label, mean over heads, and their numbers.

    A row divided by its number of queries is the mean mass of that label's queries.
    """
    rows = mass.new_zeros(classes, mass.shape[-1])
    known = labels >= 0
    rows.index_add_(0, labels[known], mass.mean(1)[known])
    return rows, torch.bincount(labels[known], minlength=classes)
