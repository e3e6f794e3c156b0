"""Model inputs of a batch: encoders run, tokens put in their places, the mask that documents need.

Glossary: B batch · T tokens · D decoder width · M modalities · U, A encoded units.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.data.batch import TrainingBatch
from omni_lab.model.omni import Chooser, OmniModel, OmniOutput
from omni_lab.parallel.batch import ShardedBatch
from omni_lab.parallel.decoder_hook import NO_MASK
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.masking import attention_bias
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND


def placed_tokens(
    model: OmniModel,
    batch: Batch,
    seen: Float[Tensor, "U image_tokens D"] | None = None,
    heard: Float[Tensor, "A audio_tokens D"] | None = None,
) -> dict[str, Any]:
    """Token ids, and the image and audio tokens of a batch with the masks of their places.

    Parameters
    ----------
    seen, heard : encoded units that the batch points into, where they are not its own
    """
    inputs: dict[str, Any] = {"input_ids": batch.input_ids}
    for kind, name, at, own, encode, given in (
        (IMAGE_KIND, "image", batch.seen, batch.frames, model.see, seen),
        (AUDIO_KIND, "audio", batch.heard, batch.waves, model.hear, heard),
    ):
        if not len(at):
            continue
        units = encode(own) if given is None else given
        tokens = units[at].flatten(0, 1)
        if (standing := batch.standing(kind)) is not None:
            tokens = tokens[standing]
        inputs |= {f"{name}_mask": batch.kind == kind, f"{name}_tokens": tokens}
    return inputs


def encoded_units(
    model: OmniModel, batch: TrainingBatch
) -> tuple[Float[Tensor, "U image_tokens D"] | None, Float[Tensor, "A audio_tokens D"] | None]:
    """Image and audio tokens of a step's units, encoded once for streams and their captions."""
    streams = batch.streams
    seen = model.see(streams.frames) if len(streams.frames) else batch.seen
    heard = model.hear(streams.waves) if len(streams.waves) else batch.heard
    return seen, heard


def embed_batch(model: OmniModel, batch: Batch) -> Float[Tensor, "B T D"]:
    """What enters the decoder for a batch."""
    return model.embed(**placed_tokens(model, batch))


def forward_batch(
    model: OmniModel,
    batch: Batch,
    seen: Float[Tensor, "U image_tokens D"] | None = None,
    heard: Float[Tensor, "A audio_tokens D"] | None = None,
    strength: Float[Tensor, "M M"] | None = None,
    choose: Chooser | None = None,
) -> OmniOutput:
    """Forward pass over a batch: every supervised token from all before it in its document.

    Rows are padded on the right, where causal attention never looks: a row that holds one document
    needs no mask.

    Parameters
    ----------
    seen, heard : encoded units that the batch points into, where they are not its own
    strength : of attention between modalities (`sequences.masking.strengths`); of a sharded batch
        it stands in its row
    choose : which supervised tokens to learn from, given their losses; None is all
    """
    embeddings = model.embed(**placed_tokens(model, batch, seen, heard))
    attention: dict[str, Any] = {}
    if isinstance(batch, ShardedBatch):
        if not embeddings.requires_grad and torch.is_grad_enabled():
            embeddings.requires_grad_()  # else other ranks wait for this one's backward
        attention = {"attention_mask": NO_MASK, "position_ids": batch.position, "row": batch.row}
    elif (bias := attention_bias(batch, strength)) is not None:
        attention = {"attention_mask": bias.to(embeddings.dtype), "position_ids": batch.position}
    return model(inputs_embeds=embeddings, labels=batch.labels, choose=choose, **attention)
