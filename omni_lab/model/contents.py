"""Digest of a model's contents: what a measurement was made with, whatever its folder is called.

Every byte of every weight is read, as it stands in memory: sizes, headers or sampled bytes miss a
fine-tuned layer, times of files are copied along with them, and a model that was trained on in
memory has no file. SHA-256 reads a gigabyte or more per second: about ten seconds for 7 B weights
in bfloat16, less than loading them takes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn


def digest_of_weights(model: nn.Module) -> str:
    """Digest of all weights that a checkpoint of the model would hold, names included."""
    return digest_of({name: _told(weight) for name, weight in _weights(model)})


def digest_of_files(files: list[Path]) -> str:
    """Digest of all weights in safetensors files, names included, one tensor in memory at a time.

    However many files they are spread over, the same weights have the same digest.
    """
    found = {}
    for file in files:
        with safe_open(file, framework="pt") as weights:
            names = weights.keys()  # a file of tensors, no dictionary
            found |= {name: _told(weights.get_tensor(name)) for name in names}
    return digest_of(found)


def _told(weight: torch.Tensor) -> list[Any]:
    """Type, shape and SHA-256 of a tensor."""
    data = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return [str(weight.dtype), list(weight.shape), hashlib.sha256(data).hexdigest()]


def digest_of(data: Any) -> str:
    """Digest of a JSON value, which may also hold sets and what can be written as text.

    >>> digest_of({"a": {"x", "y"}}) == digest_of({"a": ["x", "y"]})
    True
    """
    text = json.dumps(data, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights by name, those last that `device_map="auto"` keeps off the devices."""
    state = {
        name: weight
        for name, weight in model.state_dict().items()
        if isinstance(weight, torch.Tensor)
    }
    yield from ((name, weight) for name, weight in state.items() if not weight.is_meta)
    if not any(weight.is_meta for weight in state.values()):
        return

    from accelerate.utils import align_module_device

    for prefix, module in model.named_modules():
        with align_module_device(module, "cpu"):
            own = chain(
                module.named_parameters(prefix, recurse=False),
                module.named_buffers(prefix, recurse=False),
            )
            yield from (item for item in own if item[0] in state and state[item[0]].is_meta)


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)
