"""How far back heads look, and rotary positions that are divided in some layers or pairs only.

Position interpolation (Chen et al. 2023) divides every position, in all layers and for all pairs. To find out what it
breaks, it is done here to one layer at a time, or to the slow pairs only, as YaRN does ("NTK-by-parts", Peng et al.
2023). Weights stay as they are.

Glossary: B batch · H query heads · G key/value heads · T tokens · K head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn


@contextmanager
def positions_divided(
    decoder: nn.Module, factors: Mapping[int, float | Sequence[float]]
) -> Iterator[None]:
    """Divide rotary positions in some layers of a Qwen-like `decoder`, for the length of a `with` block.

    Parameters
    ----------
    factors : layer → what positions are divided by, one number or one for each of the K / 2 pairs; other layers keep
        their positions
    """

    def divide(module, args, kwargs, factor):
        speeds = decoder.rotary_emb.inv_freq.double() / torch.as_tensor(factor, dtype=torch.float64)
        old = kwargs["position_embeddings"][0]
        places = kwargs.get("position_ids")
        places = torch.arange(old.shape[-2])[None] if places is None else places
        angles = places[..., None].double() * speeds
        angles = torch.cat([angles, angles], -1)
        new = tuple(part.to(old.dtype) for part in (angles.cos(), angles.sin()))
        return args, kwargs | {"position_embeddings": new}

    hooks = [
        decoder.layers[layer].register_forward_pre_hook(
            lambda module, args, kwargs, factor=factor: divide(module, args, kwargs, factor),
            with_kwargs=True,
        )
        for layer, factor in factors.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def distance_mass(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B G T K"],
    longest: int,
    scale: float | None = None,
) -> Float[Tensor, "H distances"]:
    """Mean causal attention of every head to the token 0, 1, … `longest` tokens back, over queries that have them all.

    Parameters
    ----------
    longest : distance in tokens, below T
    scale : of the attention scores; None is 1 / √K
    """
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = query @ key.mT * (scale or query.shape[-1] ** -0.5)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mass = scores.masked_fill(future.to(scores.device), -math.inf).softmax(-1)
    back = [mass[..., longest:, :].diagonal(longest - far, -2, -1) for far in range(longest + 1)]
    return torch.stack([here.mean((0, -1)) for here in back], -1)
