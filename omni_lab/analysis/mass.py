"""How much attention goes from every modality to every modality, exactly, without ever holding a T × T map.

Ordinary attention whose values are one-hot labels of the keys gives each query's mass per label; averaging over the
queries of one modality gives a row of the matrix. Memory is that of attention itself.

Glossary: B batch · H heads · T tokens · K head width · C labels (modalities).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def attention_mass(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H2 T K"],
    labels: Int64[Tensor, "B T"],
    classes: int,
    scale: float | None = None,
) -> Float[Tensor, "B H T C"]:
    """Mass of causal attention from every query to the keys of every label.

    Parameters
    ----------
    labels : label of every key, from 0 to classes - 1; a key with -1 (padding) belongs to no label.
    scale : of the scores; 1 / √K where it is None.
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
    """Sum the mass over the queries of every label (mean over heads); divide by their number, also given, for rows."""
    rows = mass.new_zeros(classes, mass.shape[-1])
    known = labels >= 0
    rows.index_add_(0, labels[known], mass.mean(1)[known])
    return rows, torch.bincount(labels[known], minlength=classes)
