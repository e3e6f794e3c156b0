"""Attention capture during a forward pass, through Hugging Face's attention interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from omni_lab.analysis.mass import attention_mass, mass_matrix
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.items import KINDS

_NAME = "omni_lab_listening"


@contextmanager
def capture_attention(decoder: nn.Module, hook: Callable) -> Iterator[None]:
    """Hook on every attention layer of `decoder` for the length of a `with` block.

    The outputs stay those of scaled dot-product attention; the old implementation is restored at
    the end, also after an exception.

    Parameters
    ----------
    hook : called as `hook(layer, query, key, scaling)`, with queries `B H T K`, keys `B G T K`
    """

    def attend(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
        hook(module.layer_idx, query, key, scaling)
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )

    AttentionInterface.register(_NAME, attend)
    # without a mask function of this name, the mask arrives as None even where there is padding
    AttentionMaskInterface.register(_NAME, sdpa_mask)

    before = decoder.config._attn_implementation
    decoder.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        decoder.set_attn_implementation(before)


@torch.no_grad()
def modality_mass(model: OmniModel, batches: list[Batch]) -> dict:
    """Attention mass from every modality to every modality, per decoder layer; rows sum to 1.

    Returns
    -------
    mass : `queries` and `keys` (names of the modalities that occur), and `layers`, one matrix per
        decoder layer with a row per name in `queries`, averaged over heads and tokens
    """
    classes = len(KINDS)
    totals: dict[int, torch.Tensor] = {}
    counts = torch.zeros(classes, dtype=torch.int64)
    for batch in batches:
        labels = batch.kind.to(model.device)

        def add(layer, query, key, scaling, labels=labels):
            rows, _ = mass_matrix(
                attention_mass(query, key, labels, classes, scaling), labels, classes
            )
            totals[layer] = totals.get(layer, 0) + rows.double().cpu()

        with capture_attention(model.decoder, add):
            forward_batch(model, batch.to(model.device))
        counts += torch.bincount(batch.kind[batch.kind >= 0].cpu(), minlength=classes)

    # a modality without a token would be a row of zeros
    present = counts > 0
    names = [kind for kind, here in zip(KINDS, present.tolist(), strict=True) if here]
    layers = [
        (totals[layer] / counts.clamp_min(1)[:, None])[present][:, present].tolist()
        for layer in sorted(totals)
    ]
    return {"queries": names, "keys": names, "layers": layers}
