"""Wide initialisation, which decides whether a small random model learns to see within minutes.

With the default deviation of .02 a model of this width starts almost linear and stays there for hundreds of steps.
Embeddings and positions get deviation .1 (.3 for the place of a token in its unit, which has to be heard beside what
the token shows), matrices .7 / √fan_in, and the last matrix of every residual branch a further 1 / √(2L) (as in GPT-2),
so that the sum over L layers keeps its scale.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import nn

from omni_lab.config import ModelConfig

_RESIDUAL_ENDS = ("o_proj", "out_proj", "down_proj", "fc2")


def _layers_above(model: nn.Module, name: str) -> int:
    """How many layers the stack has that the named module stands in."""
    stack = model
    for part in name.split("."):
        if part == "layers":
            return len(stack.layers)
        stack = getattr(stack, part) if not part.isdigit() else stack[int(part)]
    return 1


@torch.no_grad()
def initialise_wide(model: nn.Module, settings: ModelConfig) -> None:
    """Initialise every part in place, except those whose weights are pretrained."""
    keep = [n for n in ("image", "audio", "decoder") if getattr(settings, n).pretrained]
    for name, module in model.named_modules():
        if any(name == part or name.startswith(f"{part}.") for part in keep):
            continue
        if isinstance(module, nn.Embedding):
            module.weight.normal_(std=0.3 if name.endswith("place") else 0.1)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            deviation = 0.7 / module.weight[0].numel() ** 0.5
            if name.endswith(_RESIDUAL_ENDS):
                deviation /= (2 * _layers_above(model, name)) ** 0.5
            module.weight.normal_(std=deviation)
            if module.bias is not None:
                module.bias.zero_()
    if settings.frame_difference_init and model.image.frames > 1:
        up, frames = model.connector["image"].up, model.image.frames
        _initialise_frame_differences(up, frames, settings.frame_difference_init)
    if settings.decoder.previous_token_init and "decoder" not in keep:
        _initialise_previous_token_heads(model.decoder, settings.decoder.previous_token_init)


def _initialise_frame_differences(up: nn.Linear, frames: int, fraction: float) -> None:
    """Let the first hidden units of the image connector begin as differences between the frames of a unit.

    What moves is a small part of what the frames show: a random map hardly carries it, and whether a small model learns
    to read it in time is luck (results/LOG.md). Weights that add up to zero over the frames carry nothing but change;
    frame differences as an input are those of temporal segment networks (Wang et al. 2016).
    """
    weights = rearrange(up.weight, "hidden (frames rest) -> frames hidden rest", frames=frames)
    units = round(fraction * up.out_features)
    changes = weights[:, :units] - weights[:, :units].mean(0)
    # twice the deviation of the other weights, since frames are more alike than not
    weights[:, :units] = 2 * changes / (1 - 1 / frames) ** 0.5
    up.weight.copy_(rearrange(weights, "frames hidden rest -> hidden (frames rest)"))


def _initialise_previous_token_heads(decoder: nn.Module, firmness: float) -> None:
    """Let head h of the first layer begin by looking h tokens back, whatever stands there.

    To find a value by its key, a later layer needs each value to know which key stood before it (induction heads,
    Olsson et al. 2022). A small model takes about a million tokens to find that out, and in long rows does not.
    Biases of queries and keys turn with their positions: when those of the key are set h tokens ahead, pair i adds
    firmness · ω_i · cos(ω_i (distance − h)) to the score, which is largest h tokens back.
    """
    attention, omega = decoder.layers[0].self_attn, decoder.rotary_emb.inv_freq
    size = (firmness * omega).sqrt() * attention.head_dim**0.25  # scores are divided by √head_dim
    queries, keys = (
        attention.q_proj.bias.view(-1, 2, len(omega)),
        attention.k_proj.bias.view(-1, 2, len(omega)),
    )
    queries[:, 0] = size
    for head, key in enumerate(keys, 1):
        key.copy_(torch.stack([size * (omega * head).cos(), size * (omega * head).sin()]))
