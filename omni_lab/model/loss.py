"""Chunked cross-entropy of the output layer: the full logits tensor never exists.

A row of logits is a thousand times wider than the hidden state that it comes from. Each piece's
logits are made, reduced to losses and forgotten, and made again in backward (as in Liger Kernel,
Hsu et al. 2024, and PyTorch's `linear_cross_entropy`; the latter rounds a token's loss to the
precision of the weights, too coarse to rank tokens by).

Glossary: N supervised tokens · D width · V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from omni_lab.parallel.cost import PIECE


def token_losses(
    states: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], targets: Int64[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Cross-entropy of every supervised token, nats, in float32 even where weights are in half.

    Differentiable with any upstream weights; where all logits are one piece, plain PyTorch.

    Parameters
    ----------
    states : last hidden states
    weight : of the output layer
    targets : next tokens
    """
    if states.device.type != "meta" and torch.is_autocast_enabled(states.device.type):
        half = torch.get_autocast_dtype(states.device.type)
        states, weight = states.to(half), weight.to(half)
    rows = max(1, PIECE // len(weight))
    if len(states) <= rows:
        return _losses(states, weight, targets)
    return _InPieces.apply(states, weight, targets, rows)


@torch.no_grad()
def likeliest(states: Float[Tensor, "N D"], weight: Float[Tensor, "V D"]) -> Int64[Tensor, " N"]:
    """Likeliest next token after every last hidden state, its logits made in chunks as well."""
    ids = torch.empty(len(states), dtype=torch.int64, device=states.device)
    for own, logits in _logits_of(states, weight, max(1, PIECE // len(weight))):
        ids[own] = logits.argmax(1)
    return ids


def _losses(states: Tensor, weight: Tensor, targets: Tensor) -> Float[Tensor, " N"]:
    return F.cross_entropy(_wide(states @ weight.T), targets, reduction="none")


def _wide(values: Tensor) -> Tensor:
    """The same in float32, or in what is wider."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _InPieces(torch.autograd.Function):
    """Chunked cross-entropy; logits are recomputed in backward, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(states, weight, targets)
        ctx.rows = rows
        losses = _wide(states.new_empty(len(states)))
        for own, logits in _logits_of(states, weight, rows):
            losses[own] = F.cross_entropy(logits, targets[own], reduction="none")
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, targets = ctx.saved_tensors
        of_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        # many small gradients add up: in float32, whatever the precision
        of_weight = _wide(torch.zeros_like(weight)) if ctx.needs_input_grad[1] else None
        for own, logits in _logits_of(states, weight, ctx.rows):
            slope = logits.sub_(logits.logsumexp(1, keepdim=True)).exp_()
            slope[torch.arange(len(slope), device=slope.device), targets[own]] -= 1
            slope = slope.mul_(upstream[own, None]).to(weight.dtype)
            if of_states is not None:
                torch.mm(slope, weight, out=of_states[own])
            if of_weight is not None and of_weight.dtype == weight.dtype:
                of_weight.addmm_(slope.T, states[own])
            elif of_weight is not None:
                of_weight += slope.T @ states[own]
        return of_states, of_weight if of_weight is None else of_weight.to(weight.dtype), None, None


def _logits_of(states: Tensor, weight: Tensor, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """Logits of one chunk of rows after the other, with their slice; all share one buffer.

    With new memory for every chunk the allocator's heap grows.
    """
    buffer = _wide(states.new_empty(rows, len(weight)))
    for first in range(0, len(states), rows):
        own = slice(first, min(first + rows, len(states)))
        logits = buffer[: own.stop - first]
        if buffer.dtype == states.dtype:
            torch.mm(states[own], weight.T, out=logits)
        else:
            logits.copy_(states[own] @ weight.T)
        yield own, logits
