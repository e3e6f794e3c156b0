"""Wide initialisation, which decides whether a small random model learns to see within minutes.

With the default deviation of .02 a model of this width starts almost linear and stays there for hundreds of steps.
Embeddings and positions get deviation .1 (.3 for the place of a token in its unit, which has to be heard beside what
the token shows), matrices .7 / √fan_in, and the last matrix of every residual branch a further 1 / √(2L) (as in GPT-2),
so that the sum over L layers keeps its scale.
"""

from __future__ import annotations

import torch
from torch import nn

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
def initialise_wide(model: nn.Module) -> None:
    """Initialise every part in place, except those whose weights are pretrained."""
    settings = model.settings.model
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
