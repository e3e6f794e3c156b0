"""Rotary positions (RoPE, Su et al. 2021) of any Hugging Face model: how fast its pairs turn, and how to slow them.

A head's width is split into pairs of numbers. Attention sees how far apart two tokens are by how far each pair has
turned in between: pair i makes one turn in 2π θ^(2i/K) tokens. A pair that never made a full turn in training meets
angles it has never seen as soon as texts grow longer. Two ways out: raise θ, which slows the late pairs most
(NTK-aware scaling, bloc97 2023; ABF, Xiong et al. 2023), or divide every position by a factor (position interpolation,
Chen et al. 2023), which slows all alike.

Glossary: K head width · θ base of the rotary positions (rope_theta) · pairs = K / 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from omni_lab.errors import UsageError, reason


class Rope(NamedTuple):
    """The rotary positions of a model: their base, and what every position is divided by."""

    theta: float
    factor: float = 1.0


def set_rope(model: nn.Module, theta: float | None = None, factor: float = 1.0) -> Rope:
    """Give every rotary embedding of a model base `theta` (None keeps its own) and divide all positions by `factor`.

    Weights stay as they are. Rotary embeddings of images, which have no base in their configuration, are left alone.

    Raises
    ------
    UsageError
        `theta` is not above 1 or `factor` below 1, the model has no rotary positions with a base in its
        configuration, it scales them in a way of its own (yarn, llama3), which this would undo, its layers have bases
        of their own, or its family cannot be changed so
    """
    if (theta is not None and not 1 < theta < math.inf) or not 1 <= factor < math.inf:
        raise UsageError(
            f"theta={theta}, factor={factor}: theta must be above 1 and factor 1 or more"
        )
    found = _rotaries(model)
    kept = [(rotary.config, rotary.config.rope_parameters) for _, _, rotary in found]

    try:
        changed = [_changed(rotary, theta, factor) for _, _, rotary in found]
    except Exception as error:
        for config, parameters in kept:
            config.rope_parameters = parameters
        wrong = f"its rotary positions cannot be changed so ({reason(error)})"
        raise UsageError(f"{type(model).__name__}: {wrong}") from error
    for (owner, name, _), rotary in zip(found, changed, strict=True):
        setattr(owner, name, rotary)
    return rope_of(model)


def rope_of(model: nn.Module) -> Rope:
    """Base and factor of a model's rotary positions.

    Raises
    ------
    UsageError
        as `set_rope`
    """
    parameters = _rotaries(model)[0][2].config.rope_parameters
    return Rope(parameters["rope_theta"], parameters.get("factor", 1.0))


def _changed(rotary: nn.Module, theta: float | None, factor: float) -> nn.Module:
    """Rotary embedding made anew with another base and factor, which its configuration keeps."""
    old = rotary.config.rope_parameters
    theta = float(old["rope_theta"] if theta is None else theta)
    new = {key: value for key, value in old.items() if key not in ("factor", "type")}
    new |= {"rope_type": "default", "rope_theta": theta}
    if factor != 1:
        new |= {"rope_type": "linear", "factor": float(factor)}
    rotary.config.rope_parameters = new
    changed = type(rotary)(config=rotary.config).to(rotary.inv_freq.device)

    # a family may read other settings than these, and then says nothing; on meta there are no values yet
    found, pairs = changed.inv_freq, rotary.inv_freq.numel()
    if found.is_meta:
        return changed
    found, right = found.float().cpu(), theta ** (-torch.arange(pairs) / pairs) / factor
    if found.shape != right.shape or not torch.allclose(found, right, rtol=1e-3, atol=0):
        raise ValueError(f"{type(rotary).__name__} does not follow its configuration")
    return changed


def _rotaries(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Every rotary embedding that has a base, with the module and the name it hangs on."""
    found = [
        (owner, name, rotary)
        for owner in model.modules()
        for name, rotary in owner.named_children()
        if any(buffer.endswith("inv_freq") for buffer, _ in rotary.named_buffers(recurse=False))
        and getattr(getattr(rotary, "config", None), "rope_parameters", None)
    ]
    kind = type(model).__name__
    if not found:
        wrong = "has no rotary positions with a base in its configuration"
        raise UsageError(f"{kind}: {wrong}, so there is no base to raise")

    for _, _, rotary in found:
        parameters = rotary.config.rope_parameters
        if "rope_theta" not in parameters:
            layers = ", ".join(
                f"{layers} θ {own['rope_theta']:g}"
                for layers, own in sorted(parameters.items())
                if isinstance(own, dict) and "rope_theta" in own
            )
            wrong = f"has a base for each kind of layer ({layers})"
            raise UsageError(f"{kind}: {wrong}; leave its rotary positions alone")
        if (scaling := parameters.get("rope_type", "unknown")) not in ("default", "linear"):
            wrong = f"scales its rotary positions its own way ({scaling})"
            raise UsageError(f"{kind}: {wrong}; leave them alone")
    return found


def turns(
    head_dim: int, theta: float, length: int, factor: float = 1.0
) -> Float[np.ndarray, " pairs"]:
    """How many full turns each rotary pair makes over `length` tokens.

    >>> turns(8, 10_000.0, 628).round(2).tolist()
    [99.95, 9.99, 1.0, 0.1]
    """
    return length / (factor * 2 * np.pi * theta ** (np.arange(0, head_dim, 2) / head_dim))


def pairs_that_turn(head_dim: int, theta: float, length: int) -> int:
    """How many rotary pairs complete a turn within `length` tokens (half the critical dimension of Liu et al. 2023).

    >>> pairs_that_turn(8, 10_000.0, 629)
    3
    """
    return int((turns(head_dim, theta, length) >= 1).sum())


def theta_for(length: int, head_dim: int, theta: float, trained: int) -> float:
    """The base with which the slowest pair turns as far over `length` tokens as it did over `trained` ones.

    NTK-aware scaling (bloc97 2023): θ' = θ · (length / trained)^(K / (K − 2)). Fast pairs hardly change.

    >>> raised = theta_for(4096, 32, 100.0, 1024)
    >>> round(raised, 1), bool(np.isclose(turns(32, raised, 4096)[-1], turns(32, 100.0, 1024)[-1]))
    (438.7, True)
    """
    return theta * (length / trained) ** (head_dim / (head_dim - 2))
