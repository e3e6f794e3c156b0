"""Context-parallel attention inside a Hugging Face decoder, registered as its attention function.

`register_context_parallel` is called once; every forward pass then gets its `row`, since Hugging
Face hands unknown arguments on to the attention function.
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

SHARED = "omni_lab_shared_"
# a sharded row carries its mask itself
NO_MASK = {"full_attention": None, "sliding_attention": None}


def register_context_parallel(decoder: nn.Module, engine: str = "auto") -> None:
    """Registration of context-parallel attention in a decoder; without a row it attends as before.

    Call the decoder with this rank's tokens:
    `decoder(inputs_embeds=…, position_ids=…, attention_mask=NO_MASK, row=row)`.

    Raises
    ------
    UsageError
        there is no such engine; later, in a forward pass with a row: attention dropout or a
        sliding window
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

        # an error beats attention that silently ignores a setting of the decoder
        if kwargs.get("dropout") or kwargs.get("sliding_window"):
            cannot = "attention dropout" if kwargs.get("dropout") else "a sliding window"
            message = f"attention over a sharded row cannot express {cannot}"
            raise UsageError(f"{message}; switch it off in the decoder's config")

        out = context_parallel_attention(query, key, value, row, kwargs.get("scaling"), engine)
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register(SHARED + engine, attend)
    AttentionMaskInterface.register(SHARED + engine, sdpa_mask)
    decoder.set_attn_implementation(SHARED + engine)
