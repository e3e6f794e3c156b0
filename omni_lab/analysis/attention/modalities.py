"""Attention mass between the modalities of our own model, over batches.

Glossary: B batch · T tokens.
"""

from __future__ import annotations

import torch

from omni_lab.analysis.attention.capture import capture_attention
from omni_lab.analysis.attention.labels import Labels
from omni_lab.analysis.attention.mass import MassMatrix
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.items import KINDS


@torch.no_grad()
def modality_mass(model: OmniModel, batches: list[Batch]) -> dict:
    """Attention mass from every modality to every modality, per decoder layer; rows sum to 1.

    Returns
    -------
    mass : `queries` and `keys` (names of the modalities that occur), and `layers`, one matrix per
        decoder layer with a row per name in `queries`, averaged over heads and tokens
    """
    first, *rest = (Labels(batch.kind.to(model.device), KINDS) for batch in batches)
    matrix = MassMatrix(first)
    for batch, labels in zip(batches, (first, *rest), strict=True):
        with capture_attention(model.decoder, matrix.of(labels)):
            forward_batch(model, batch.to(model.device))

    # a modality without a token would be a row of zeros
    present = torch.stack([(batch.kind == i).any() for batch in batches for i in range(len(KINDS))])
    present = present.view(len(batches), -1).any(0).cpu()
    names = [kind for kind, here in zip(KINDS, present.tolist(), strict=True) if here]
    layers = matrix.matrix().mean(1)[:, present][:, :, present]
    return {"queries": names, "keys": names, "layers": layers.tolist()}
