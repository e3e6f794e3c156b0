"""Random weights in the layouts in which pretrained models are published, and a model built from them."""

import json

import torch
from safetensors.torch import load_file, save_file

from omni_lab.config import override, tiny
from omni_lab.model.omni import OmniModel

CONFIG = tiny()
ROWS = 300  # of the decoders' embeddings
DECODER = {
    "vocab_size": ROWS, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 48, "patch_size": 8,
}  # fmt: skip
TEXT = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2,
}  # fmt: skip
SPEECH = {
    "vocab_size": 50, "num_mel_bins": 40, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "max_source_positions": 150, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip


def published(folder, family, kind="ForCausalLM", **settings):
    """Random weights of a family of transformers, saved as its publishers save them."""
    import transformers

    torch.manual_seed(9)
    config = getattr(transformers, f"{family}Config")(**settings)
    model = getattr(transformers, f"{family}{kind}")(config).eval()
    for weight in model.parameters():  # biases and norms of their own, as after training
        weight.data += 0.05 * torch.randn_like(weight)
    model.save_pretrained(folder)
    return model


def built(part, folder, vocabulary=ROWS, *settings):
    """Model with one part from a folder."""
    config = override(CONFIG, [f"model.{part}.pretrained={folder}", *settings])
    return OmniModel.build(config.model, config.sequence, vocabulary).eval()


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_tensors(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
