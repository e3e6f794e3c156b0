"""Torch's own ring attention as an engine: CUDA's fused kernels, plain causal attention, zigzag.

Torch's public `context_parallel` shards the model's inputs itself and must stay switched on until
backward is over. An engine gets inputs that are sharded already, once per layer. So this calls the
ring beneath it, forward and backward, whose order of tokens (head and tail of the row for rank 0)
is our zigzag; tests hold both to that.

Three limits: the bytes it sends are not counted; a rank that is lost while it runs is noticed by
the process group's own timeout, not by our heartbeats; and every block's result is rounded to the
type of the queries before blocks are merged. In bfloat16 its gradients were measured 2.2 times as
far from the exact ones as one device's, where `ring` stays below 2.

Glossary: B batch · H query heads · t tokens per rank · K head width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from omni_lab.errors import UsageError
from omni_lab.parallel.sharded_row import ShardedRow

HALF = (torch.float16, torch.bfloat16)  # the types of CUDA's flash attention
# what CUDA's kernel returns besides output and lse, and needs again in backward
_SAVED = ("cum_seq_q", "cum_seq_k", "max_q", "max_k", "philox_seed", "philox_offset")
_SEQUENCE = 2  # the axis of tokens in B H t K


def torch_cannot(query: Tensor, row: ShardedRow) -> str:
    """Mask, type or layout that torch's ring cannot express, in words; empty where it can."""
    if query.device.type != "cuda":
        return f"attention on {query.device.type}"
    if query.dtype not in HALF or query.shape[-1] % 8 or query.shape[-1] > 256:
        heads = f"heads of width {query.shape[-1]} in {query.dtype}"
        return f"{heads} (it takes half precision, widths a multiple of 8 up to 256)"
    if row.strength is not None:
        return "strengths between modalities"
    padded = row.layout.tokens != row.layout.per_rank * row.layout.ranks
    if row.documents != (0, row.layout.tokens) or padded:
        return "documents side by side, or padding"
    if not row.causal or row.layout.kind != "zigzag":
        return "anything but causal attention over a zigzag"
    return ""


def torch_attention(
    query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
) -> Tensor:
    """Torch's ring attention of this rank's queries to the whole row.

    Raises
    ------
    UsageError
        this torch has no such ring, or its load balancing is off, so that its order of tokens is
        not a zigzag
    """
    return _TorchRing.apply(query, key, value, row, scale)


def _torch_ring() -> Any:
    """Torch's private ring module; UsageError where it is missing or lays tokens out otherwise."""
    try:
        from torch.distributed.tensor.experimental._context_parallel import _attention as ring
    except ImportError as error:
        raise UsageError(
            f"torch {torch.__version__} has no ring attention ({error}); use engine ring"
        ) from None
    if not ring._cp_options.enable_load_balance:
        raise UsageError(
            "torch's context parallel has enable_load_balance off, and would misread a zigzag; "
            "switch it on, or use engine ring"
        )
    return ring


class _TorchRing(torch.autograd.Function):
    """Torch's ring, forward and backward, as one differentiable function."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
    ) -> Tensor:
        # the CPU's kernel is there for tests of the order of tokens
        ops, cuda = torch.ops.aten, query.is_cuda
        kernel = (
            ops._scaled_dot_product_flash_attention
            if cuda
            else ops._scaled_dot_product_flash_attention_for_cpu
        )
        out, lse, *rest = _torch_ring()._templated_ring_attention(
            row.collectives.group or dist.group.WORLD,
            _SEQUENCE,
            kernel,
            query,
            key,
            value,
            is_causal=True,
            dropout_p=0.0,
            scale=scale,
        )

        ctx.save_for_backward(query, key, value, out, lse)
        ctx.row, ctx.scale, ctx.rest = row, scale, dict(zip(_SAVED, rest, strict=False))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        ops, cuda = torch.ops.aten, query.is_cuda
        kernel = (
            ops._scaled_dot_product_flash_attention_backward
            if cuda
            else ops._scaled_dot_product_flash_attention_for_cpu_backward
        )
        gradients = _torch_ring()._templated_ring_attention_backward(
            ctx.row.collectives.group or dist.group.WORLD, _SEQUENCE, kernel.default,
            grad.contiguous(), "grad_out", query, key, value, out, lse, True, dropout_p=0.0,
            scale=ctx.scale, **ctx.rest,
        )  # fmt: skip
        return *gradients[:3], None, None
