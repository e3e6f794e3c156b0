"""Our own trained model as a reader of needles, in texts and in films that it really sees.

The filler, the pictures and the needles are of the test split: no sentence about the gallery and no picture is one that
training has shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from omni_lab.config import Config
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError
from omni_lab.evaluation.needles.interface import Trial
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import rope_of
from omni_lab.training.run import read_config
from omni_lab.training.trainer import trained
from omni_lab.world.haystack.bank import draw_bank
from omni_lab.world.haystack.lessons import haystack_batch, see_bank
from omni_lab.world.haystack.rows import NEEDLES, Haystack, HaystackWriter

TOKENS = 16_384  # read at once
PICTURES = 512  # in the bank of test films


class OmniNeedleModel:
    """Reads haystacks with a model of ours that grew its context.

    Parameters
    ----------
    model : that grew its context
    config : settings of its run
    name : of the model in tables
    trained : longest row it was trained on; None takes that of its settings' last stage

    """

    kinds = tuple(NEEDLES)

    def __init__(
        self,
        model: OmniModel,
        config: Config,
        name: str | None = None,
        trained: int | None = None,
    ) -> None:
        self.model, self.config = model, config
        theta, factor = rope_of(model.decoder)
        divided = f", positions / {factor:g}" if factor != 1 else ""
        self.name = name or f"omni_lab, θ {theta:g}{divided}"
        self.trained = trained or config.context.stages[-1].max_tokens
        bank = draw_bank(0, PICTURES, config.model.image.size, config.world, "test")
        haystack, tokens = config.world.haystack, config.sequence.image_tokens
        self._writer = HaystackWriter(haystack, tokens, build_vocabulary(config), bank, "test")
        self._seen = see_bank(model, bank, config.sequence)

    @classmethod
    def load(cls, run: Path | str) -> OmniNeedleModel:
        """Model of a run folder's furthest checkpoint.

        Raises
        ------
        InputError
            the folder is no run, or its model was not trained to read haystacks
        """
        config = read_config(run)
        if config.sequence.layout != "haystack":
            message = "its model was not trained to read haystacks (sequence.layout=haystack)"
            raise InputError(f"{run}: {message}")
        return cls(trained(run), config, Path(run).name)

    def chance(self, kind: str) -> float:
        """An even guess among all words, all colours, or all readings of the clock."""
        return 1 / NEEDLES[kind]

    def shortest(self, kind: str) -> int:
        """The fewest tokens that a trial takes."""
        return self._writer.shortest(kind)

    def read(self, trials: Sequence[Trial]) -> list[bool]:
        """Which trials are answered right, as many at a time as fit into `TOKENS`."""
        longest = max((trial.length for trial in trials), default=1)
        together = max(1, TOKENS // longest)
        parts = (trials[first : first + together] for first in range(0, len(trials), together))
        return [
            right for part in parts for right in self._read([self.row(trial) for trial in part])
        ]

    def row(self, trial: Trial) -> Haystack:
        """The haystack of a trial."""
        rng = np.random.default_rng([self.kinds.index(trial.kind), trial.seed])
        if trial.kind == "text":
            return self._writer.text(rng, trial.length, 1, trial.depth, trial.present)
        return self._writer.film(rng, trial.length, 1, (trial.kind,), trial.depth, trial.present)

    @torch.inference_mode()
    def _read(self, rows: list[Haystack]) -> list[bool]:
        batch = haystack_batch(rows, self.config.sequence, self.config.model.image.size)
        batch = batch.to(self.model.device)
        output = forward_batch(self.model, batch, self._seen)
        owner = batch.loss_mask[:, 1:].nonzero()[:, 0]
        wrong = owner[output.logits.argmax(-1) != output.targets]
        return (~torch.isin(torch.arange(len(rows), device=wrong.device), wrong)).tolist()
