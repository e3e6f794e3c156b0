"""Instruction exam: accuracy on unseen samples of every task of the gallery's instruction data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED
from omni_lab.training.branches.held_out import AVERAGE
from omni_lab.world.instruct.datasets import POINTERS, InstructSet


def task_scores(
    model: OmniModel,
    sets: Mapping[str, InstructSet],
    units: Mapping[str, Float[Tensor, "_ _ D"]],
) -> dict[str, float]:
    """Accuracy on every dataset, and their average.

    Parameters
    ----------
    units : what frozen encoders give of the pictures and sounds of every dataset that has any
    """
    found = {name: accuracy(model, own, units.get(name)) for name, own in sets.items()}
    return {**found, AVERAGE: sum(found.values()) / len(found)}


@torch.no_grad()
def accuracy(
    model: OmniModel, dataset: InstructSet, units: Float[Tensor, "units tokens D"] | None = None
) -> float:
    """Fraction of a dataset's examined words that are the likeliest next ones (teacher forcing)."""
    was, _ = model.training, model.eval()
    given = {POINTERS[dataset.sense]: units} if dataset.sense in POINTERS else {}
    batch = dataset.batch(range(len(dataset)))
    output = forward_batch(model, batch, **given)
    model.train(was)

    right = model.logits(output.states).argmax(-1) == output.targets
    scored = batch.targets.known["scored"][batch.labels != IGNORED] == 1
    return float(right[scored].double().mean())
