"""Confusion matrix of token kinds: the modality of the next token, true (rows) and predicted (columns).

Only tokens that are supervised count: text and control. Image and audio tokens are never a label:
they are encoders' output, and their ids only hold the place, so that no row is theirs. A column of
theirs says how often the model would put such a place holder next, which a trained one never does.

Glossary: B batch · T tokens · N supervised tokens · V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from omni_lab.analysis.confusion.matrix import RESAMPLES, Confusion, confusion_matrix
from omni_lab.errors import InputError
from omni_lab.model.inputs import forward_batch
from omni_lab.model.loss import likeliest
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.sequences.items import IMAGE_END, IMAGE_START, KINDS, TEXT_END
from omni_lab.sequences.tokens import AUDIO_KIND, CONTROL_KIND, IMAGE_KIND, TEXT_KIND
from omni_lab.sequences.vocabulary import (
    AUDIO,
    IMAGE,
    STREAM_TOKENS,
    UNKNOWN,
    HubVocabulary,
    Vocabulary,
)


def kind_of_ids(vocabulary: Vocabulary) -> Int64[Tensor, " V"]:
    """Modality number (index into KINDS) of every token id; an unknown word is text."""
    kinds = torch.full((len(vocabulary),), TEXT_KIND)
    marks = (*STREAM_TOKENS, IMAGE_START, IMAGE_END, TEXT_END)
    kinds[[vocabulary.control(mark) for mark in marks if mark != UNKNOWN]] = CONTROL_KIND
    if isinstance(vocabulary, HubVocabulary):
        kinds[vocabulary.tokenizer.all_special_ids] = CONTROL_KIND
    kinds[vocabulary.control(IMAGE)] = IMAGE_KIND
    kinds[vocabulary.control(AUDIO)] = AUDIO_KIND
    return kinds


@torch.no_grad()
def kind_confusion(
    model: OmniModel,
    batches: Iterable[Batch],
    vocabulary: Vocabulary,
    resamples: int = RESAMPLES,
) -> Confusion:
    """Confusion matrix of token kinds over batches, with 95 % intervals over documents.

    Logits are made in pieces, never for all tokens at once.

    Raises
    ------
    InputError
        no token of the batches is supervised
    """
    kinds, found = kind_of_ids(vocabulary), []
    documents = 0
    for batch in batches:
        states = forward_batch(model, batch.to(model.device)).states
        predicted = kinds[likeliest(states, model.output_weight).cpu()]
        true, document = _labelled(batch)
        found.append(torch.stack([true, predicted, document + documents]))
        documents += batch.document.numel()
    every = torch.cat(found, 1).numpy() if found else np.zeros((3, 0), np.int64)
    if not every.shape[1]:
        raise InputError("no token of these batches is supervised; nothing is predicted")
    true, predicted, document = every

    rows = np.unique(true)
    columns = np.unique(kinds.numpy())
    names = [KINDS[row] for row in rows], [KINDS[column] for column in columns]
    places = np.searchsorted(rows, true), np.searchsorted(columns, predicted)
    return confusion_matrix(*places, *names, document, resamples)


def _labelled(batch: Batch) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]:
    """Kind of every supervised next token, and a number for the document that it stands in."""
    wanted = (batch.labels != IGNORED).cpu()
    rows, places = wanted.nonzero(as_tuple=True)
    own = rows * batch.document.shape[1] + batch.document.cpu()[rows, places]
    return batch.kind.cpu()[rows, places + 1], own
