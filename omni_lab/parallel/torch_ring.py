"""Torch's own ring attention as an engine: fused kernels for plain causal attention over a zigzag.

Torch's public `context_parallel` wants to cut the model's inputs itself, and to stay switched on until backward is
over. An engine gets what is cut already, and is called once per layer. So this calls the ring beneath it, forward and
backward, whose order of tokens (head and tail of the row for rank 0) is our zigzag; tests hold both to that. What it
sends is not counted, a rank that is lost while it runs is noticed by the process group's timeout rather than by
patience, and every block's result is rounded to the type of the queries before blocks are merged: in bfloat16 gradients
were seen 2.2 times as far from the truth as one device's, where `reference` keeps below 2.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from omni_lab.errors import UsageError
from omni_lab.parallel.sharded_row import ShardedRow

HALF = (torch.float16, torch.bfloat16)  # what CUDA's flash attention computes in
_SAVED = (
    "cum_seq_q",
    "cum_seq_k",
    "max_q",
    "max_k",
    "philox_seed",
    "philox_offset",
)  # CUDA's kernel wants them back
_SEQUENCE = 2  # of B H L K


def torch_cannot(query: Tensor, row: ShardedRow) -> str:
    """What torch's ring cannot express of what is asked; empty where it can."""
    if query.device.type != "cuda":
        return f"attention on {query.device.type}"
    if query.dtype not in HALF or query.shape[-1] % 8 or query.shape[-1] > 256:
        return f"heads of width {query.shape[-1]} in {query.dtype}: half precision, multiples of 8 up to 256"
    if row.strength is not None:
        return "strengths between modalities"
    if (
        row.documents != (0, row.layout.tokens)
        or row.layout.tokens != row.layout.per_rank * row.layout.ranks
    ):
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
        this torch has no such ring, or was told elsewhere to lay tokens out in another order
    """
    return _TorchRing.apply(query, key, value, row, scale)


def _torch_ring() -> Any:
    try:
        from torch.distributed.tensor.experimental._context_parallel import _attention as ring
    except ImportError as fault:
        raise UsageError(
            f"torch {torch.__version__} has no ring attention of its own ({fault}); use reference"
        ) from None
    if not ring._cp_options.enable_load_balance:
        raise UsageError(
            "torch's context parallel was told not to balance load: it would take a zigzag for another order"
        )
    return ring


class _TorchRing(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, row: ShardedRow, scale: float
    ) -> Tensor:
        ops, cuda = torch.ops.aten, query.is_cuda
        kernel = (
            ops._scaled_dot_product_flash_attention
            if cuda
            else ops._scaled_dot_product_flash_attention_for_cpu
        )
        out, lse, *rest = _torch_ring()._templated_ring_attention(
            row.collectives.group or dist.group.WORLD, _SEQUENCE, kernel, query, key, value,
            is_causal=True, dropout_p=0.0, scale=scale,
        )  # fmt: skip
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
            ctx.row.collectives.group or dist.group.WORLD, _SEQUENCE, kernel.default, grad.contiguous(), "grad_out",
            query, key, value, out, lse, True, dropout_p=0.0, scale=ctx.scale, **ctx.rest,
        )  # fmt: skip
        return *gradients[:3], None, None
