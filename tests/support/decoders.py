"""Small decoders and towers with random weights, of families that mask and score in their own ways."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn

_SMALL = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "max_position_embeddings": 256,
}  # fmt: skip
DECODERS = {
    "Qwen2": (hf.Qwen2Model, hf.Qwen2Config, {}),
    "Qwen3": (hf.Qwen3Model, hf.Qwen3Config, {}),
    "Llama": (hf.LlamaModel, hf.LlamaConfig, {}),
    "Mistral": (hf.MistralModel, hf.MistralConfig, {"sliding_window": 12}),
    "Gemma2": (
        hf.Gemma2Model, hf.Gemma2Config,
        {"sliding_window": 12, "attn_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    ),
    "Gemma3": (
        hf.Gemma3TextModel, hf.Gemma3TextConfig,
        {"sliding_window": 12, "query_pre_attn_scalar": 8,
         "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "GPT-OSS": (
        hf.GptOssModel, hf.GptOssConfig,
        {"sliding_window": 12, "num_local_experts": 2, "num_experts_per_tok": 1,
         "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
}  # fmt: skip


def decoder(family: str) -> nn.Module:
    """Decoder of a family, weights large enough for sharp attention."""
    model, config, more = DECODERS[family]
    torch.manual_seed(0)
    built = model(config(**{**_SMALL, **more})).eval()
    with torch.no_grad():
        for name, weight in built.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.2)
            elif "sinks" in name:
                weight.normal_()
    return built


def dense_maps(part: nn.Module, run) -> dict[str, torch.Tensor]:
    """Attention maps of every layer by eager attention, by module name."""
    found: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(module, args, output):
            if isinstance(output, tuple) and len(output) > 1 and torch.is_tensor(output[1]):
                found[name] = output[1]

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in part.named_modules()
        if name.rsplit(".", 1)[-1] in ("self_attn", "attn", "attention")
    ]
    before = part.config._attn_implementation
    part.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            run()
    finally:
        part.set_attn_implementation(before)
        for handle in handles:
            handle.remove()
    return found
