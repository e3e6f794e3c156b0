"""Held-out log-likelihood of datasets: what decides between branches where nothing else is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from omni_lab.config import StageConfig
from omni_lab.data.documents import Documents
from omni_lab.data.instruct.lessons import MixtureData
from omni_lab.data.instruct.mixture import mix
from omni_lab.data.writing import Writing
from omni_lab.errors import InputError, UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.training.selection.frozen import losses_of

AVERAGE = "average"  # over datasets or tasks, each counting the same


class HeldOut:
    """Score of a model: mean log-likelihood of a supervised token of every dataset, nats.

    It is 0 at best. The average counts every dataset alike, however many tokens it has.

    Parameters
    ----------
    stage : whose format the documents are written in
    datasets : by name; documents that were not trained on
    most : samples of each that are read, the first ones of a fixed order

    Raises
    ------
    UsageError
        a dataset is called `average`
    InputError
        there are no datasets, or one is empty
    """

    def __init__(
        self, stage: StageConfig, writing: Writing, datasets: Mapping[str, Documents],
        most: int = 256,
    ) -> None:  # fmt: skip
        if AVERAGE in datasets:
            raise UsageError(f"held-out: a dataset is called {AVERAGE}; give it another name")
        if not datasets:
            raise InputError("held-out: no datasets; name one or more")
        self.lessons = {
            name: self._lessons(stage, writing, name, own, most) for name, own in datasets.items()
        }

    @staticmethod
    def _lessons(
        stage: StageConfig, writing: Writing, name: str, own: Documents, most: int
    ) -> MixtureData:
        """Every sample once, in rows of the stage."""
        count = min(most, len(own))
        rows = max(n for n in range(1, stage.batch_size + 1) if count % n == 0) if count else 1
        mixture = mix({name: own}, [f"{name}=100"], [max(1, count)], seed=0)
        one = replace(stage, steps=count // rows, steps_multiple=0.0, batch_size=rows)
        return MixtureData(one, writing, {name: own}, mixture)

    @torch.no_grad()
    def __call__(self, model: OmniModel) -> dict[str, float]:
        """Log-likelihood by dataset, and their average."""
        was, _ = model.training, model.eval()
        found = {}
        for name, lessons in self.lessons.items():
            losses = [
                losses_of(model, lessons.batch(step).to(model.device))[0]
                for step in range(lessons.settings.steps)
            ]
            every = torch.cat([own[own.isfinite()] for own in losses])
            found[name] = -float(every.double().mean())
        model.train(was)
        return found | {AVERAGE: sum(found.values()) / len(found)}
