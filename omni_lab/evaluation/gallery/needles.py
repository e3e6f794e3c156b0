"""Needle in a haystack for omni models of this package: needles in text and in films.

Films are seen as pictures, not read as captions. Filler, pictures and needles are of the test
split: no sentence about the gallery and no picture occurs in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from omni_lab.config import Config, config_hash
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError
from omni_lab.evaluation.needles.interface import Trial
from omni_lab.model.contents import digest_of, digest_of_weights
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import rope_of
from omni_lab.training.models import trained
from omni_lab.training.run import read_config
from omni_lab.world.haystack.bank import draw_bank
from omni_lab.world.haystack.lessons import haystack_batch, see_bank
from omni_lab.world.haystack.rows import NEEDLES, Haystack, HaystackWriter

TOKENS = 16_384  # of one forward pass, over all its rows
PICTURES = 512  # in the bank that test films are made from


class OmniNeedleModel:
    """Needle reader (`NeedleModel`) around an omni model with an extended context.

    Parameters
    ----------
    model : trained on haystacks
    config : settings of its run
    name : of the model in tables; None is made from its RoPE base and position scaling
    trained : longest training row, tokens; None is that of the last context stage in `config`
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
        """Needle reader from a run folder's furthest checkpoint.

        Raises
        ------
        InputError
            the folder is no run, or its model was not trained on haystacks
        """
        config = read_config(run)
        if config.sequence.layout != "haystack":
            right = (
                "its model was not trained on haystacks; name a run with sequence.layout=haystack"
            )
            raise InputError(f"{run}: {right}")
        return cls(trained(run), config, Path(run).name)

    def chance(self, kind: str) -> float:
        """Accuracy of a uniform guess among all words, all colours or all clock readings."""
        return 1 / NEEDLES[kind]

    def shortest(self, kind: str) -> int:
        """Minimum length of a trial, tokens."""
        return self._writer.shortest(kind)

    def contents(self) -> dict[str, str]:
        """Digests of the weights, and of the settings around them."""
        around = [config_hash(self.config), *rope_of(self.model.decoder)]
        return {"weights": digest_of_weights(self.model), "settings": digest_of(around)}

    def vet(self, trials: Sequence[Trial]) -> None:
        """Premises of a measurement: finite logits, and memory for the longest trials."""
        self.read(trials)

    def read(self, trials: Sequence[Trial]) -> list[bool]:
        """Correctness of every trial, in batches of up to `TOKENS` tokens."""
        longest = max((trial.length for trial in trials), default=1)
        together = max(1, TOKENS // longest)
        parts = (trials[first : first + together] for first in range(0, len(trials), together))
        return [
            right for part in parts for right in self._read([self.row(trial) for trial in part])
        ]

    def row(self, trial: Trial) -> Haystack:
        """Haystack of a trial: row of tokens with its pictures, needle and question."""
        rng = np.random.default_rng([self.kinds.index(trial.kind), trial.seed])
        if trial.kind == "text":
            return self._writer.text(rng, trial.length, 1, trial.depth, trial.present)
        return self._writer.film(rng, trial.length, 1, (trial.kind,), trial.depth, trial.present)

    @torch.inference_mode()
    def _read(self, rows: list[Haystack]) -> list[bool]:
        batch = haystack_batch(rows, self.config.sequence, self.config.model.image.size)
        batch = batch.to(self.model.device)
        output = forward_batch(self.model, batch, self._seen)
        logits = self.model.logits(output.states)
        if not logits.isfinite().all():
            wrong = "its logits are not finite: training diverged, or its weights are damaged"
            raise InputError(f"{self.name}: {wrong}")
        owner = batch.loss_mask[:, 1:].nonzero()[:, 0]
        wrong = owner[logits.argmax(-1) != output.targets]
        return (~torch.isin(torch.arange(len(rows), device=wrong.device), wrong)).tolist()
