"""Muon (Jordan et al. 2024) with batched Newton–Schulz: matrices of one shape are orthogonalised together.

A small model has dozens of small matrices; one by one, most of the time goes into starting their
products. On a CPU the iteration runs in float32, which is faster there than the bfloat16 that
`torch.optim.Muon` takes everywhere; on a GPU it runs in bfloat16. State and settings are those of
`torch.optim.Muon`, so that checkpoints of either can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: steepest at zero
ITERATIONS = 5
EPS = 1e-7
MOMENTUM = 0.95
RMS = 0.2  # of AdamW's updates, which Muon's are scaled to (Liu et al. 2025)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per matrix, with Nesterov's look-ahead and decoupled weight decay.

    Parameters
    ----------
    params : matrices
    lr : learning rate, of updates scaled to the size that AdamW's would have
    weight_decay : decoupled
    """

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One update of every matrix that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            updates = orthogonalised([self._momentum(p) for p in matrices])
            for p, update in zip(matrices, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * RMS * max(p.shape) ** 0.5)
        return loss

    def _momentum(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer = state["momentum_buffer"].lerp_(p.grad, 1 - MOMENTUM)
        return p.grad.lerp(buffer, MOMENTUM)


def orthogonalised(matrices: list[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """Matrices with their singular values brought near 1, all of one shape in one batch.

    >>> (q,) = orthogonalised([torch.randn(8, 5)])
    >>> bool((torch.linalg.svdvals(q) - 1).abs().max() < 0.5)
    True
    """
    shapes: dict[tuple[int, ...], list[int]] = {}
    wide = [m.mT if m.shape[0] > m.shape[1] else m for m in matrices]
    for number, matrix in enumerate(wide):
        shapes.setdefault(tuple(matrix.shape), []).append(number)

    out: list[Tensor] = list(matrices)
    for numbers in shapes.values():
        batch = _newton_schulz(torch.stack([wide[number] for number in numbers]))
        for number, matrix in zip(numbers, batch, strict=True):
            tall = matrices[number].shape[0] > matrices[number].shape[1]
            out[number] = (matrix.mT if tall else matrix).to(matrices[number].dtype)
    return out


def _newton_schulz(batch: Float[Tensor, "_ _ _"]) -> Float[Tensor, "_ _ _"]:
    a, b, c = COEFFICIENTS
    x = batch.to(torch.bfloat16 if batch.is_cuda else torch.float32)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPS)  # singular values at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x
