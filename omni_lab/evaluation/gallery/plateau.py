"""What a model does while its loss stands still: repetition, similar states, attention that moves.

On a plateau models repeat themselves, the hidden states of different tokens are nearly parallel,
and attention is learned before the loss shows it ("What happens during the loss plateau?", 2025,
arXiv:2506.13688). All three are measured on the same unseen clips, as training goes on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omni_lab.analysis.attention.modalities import modality_mass
from omni_lab.evaluation.answers import EvalSet, predict
from omni_lab.model.inputs import placed_tokens
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED, Batch

ROWS = 16  # batch size


def plateau_figures(model: OmniModel, exam: EvalSet) -> dict[str, float]:
    """Repetition, similarity of hidden states, and attention of text to image and audio, of a model.

    Returns
    -------
    figures : `repeated` (fraction of answers that are the model's answer before in that clip, less
        that of the true answers), `parallel` (mean cosine of the last hidden states at answers of
        one row), `mass.<modality>.<layer>` (attention from text to that modality)
    """
    training = model.training
    model.eval()
    batches = [exam.batch(first, ROWS) for first in range(0, len(exam.rows), ROWS)]
    figures = {
        "repeated": _repeated(model, exam, batches),
        "parallel": float(np.mean([parallel(model, batch) for batch in batches])),
    }
    mass: dict[str, Any] = modality_mass(model, batches[:1])
    text = mass["queries"].index("text")
    for layer, matrix in enumerate(mass["layers"]):
        for modality in ("image", "audio"):
            key = f"mass.{modality}.{layer}"
            figures[key] = float(matrix[text][mass["keys"].index(modality)])
    model.train(training)
    return figures


def _repeated(model: OmniModel, exam: EvalSet, batches: list[Batch]) -> float:
    """How much more often than the truth a model gives the answer that it gave before."""
    own: dict[int, list[tuple]] = {}
    true: dict[int, list[tuple]] = {}
    predicted = [row for batch in batches for row in predict(model, batch)]
    for asked in exam.asked:
        places = list(asked.answer)
        own.setdefault(asked.row, []).append(tuple(predicted[asked.row][places]))
        true.setdefault(asked.row, []).append(tuple(exam.rows[asked.row].ids[places]))
    return _same_as_before(own.values()) - _same_as_before(true.values())


def _same_as_before(rows: Any) -> float:
    """Fraction of answers that equal the one before in their row."""
    same = [a == b for answers in rows for a, b in pairwise(answers)]
    return float(np.mean(same)) if same else 0.0


@torch.no_grad()
def parallel(model: OmniModel, batch: Batch) -> float:
    """Mean cosine between the last hidden states at different supervised places of a row."""
    batch = batch.to(model.device)
    embeddings = model.embed(**placed_tokens(model, batch))
    hidden = model.decoder(inputs_embeds=embeddings).last_hidden_state
    return mean_cosine(hidden, batch.labels != IGNORED)


def mean_cosine(hidden: Float[Tensor, "B T D"], places: Bool[Tensor, "B T"]) -> float:
    """Mean cosine of all pairs of different marked places of a row, over rows.

    >>> states = torch.eye(3)[None]
    >>> mean_cosine(states, torch.ones(1, 3, dtype=torch.bool))
    0.0
    """
    cosines = []
    for states, own in zip(hidden, places, strict=True):
        units = torch.nn.functional.normalize(states[own].float(), dim=-1)
        count = len(units)
        if count > 1:
            # the sum over all pairs, less that of each with itself
            total = units.sum(0).square().sum() - count
            cosines.append(float(total / (count * (count - 1))))
    return float(np.mean(cosines)) if cosines else 0.0
