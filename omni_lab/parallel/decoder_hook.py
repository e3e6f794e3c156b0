"""Attention of a Hugging Face decoder over a row that several ranks share.

The decoder is told once (`register_context_parallel`), and every forward pass is given its
row: Hugging Face hands unknown arguments on to the attention function.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from omni_lab.errors import UsageError
from omni_lab.parallel.engines import ENGINES, context_parallel_attention
from omni_lab.parallel.sharded_row import ShardedRow

_PREFIX = "omni_lab_shared_"
NO_MASK = {
    "full_attention": None,
    "sliding_attention": None,
}  # what a shared row is masked by is in its row


def register_context_parallel(decoder: nn.Module, engine: str = "auto") -> None:
    """Let `decoder` compute attention by an engine wherever it is given a row; without one it attends as before.

    Call it as `decoder(inputs_embeds=…, position_ids=…, attention_mask=NO_MASK, row=row)`, with this rank's tokens.
    """
    if engine not in ("auto", *ENGINES):
        raise UsageError(f"engine {engine!r}: there are auto, {', '.join(ENGINES)}")

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        row: ShardedRow | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        if row is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        if kwargs.get("dropout") or kwargs.get("sliding_window"):
            cannot = "attention dropout" if kwargs.get("dropout") else "a sliding window"
            raise UsageError(f"attention over a shared row cannot express {cannot}")
        out = context_parallel_attention(query, key, value, row, kwargs.get("scaling"), engine)
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register(_PREFIX + engine, attend)
    AttentionMaskInterface.register(_PREFIX + engine, sdpa_mask)
    decoder.set_attn_implementation(_PREFIX + engine)
