"""Balance of modalities: rates, loss weights or updates that follow how fast each one converges.

Source document O adjusts learning rates progressively, to balance how fast modalities converge
(claim O7), and gives no rule. Here a modality's convergence is measured by the loss of the answers
that it alone carries: what is left of it, as a fraction of the loss at the stage's beginning.

- `rates` multiplies the learning rate of a modality's part of the model by its rest of loss, beside
  the mean of all, to the power `strength`: a slow one goes faster (as GradNorm, Chen et al. 2018,
  but on rates).
- `weights` multiplies the losses of its answers by the same factor (as dynamic weight averaging,
  Liu et al. 2019).
- `ogm` slows the part of a modality that is ahead: 1 − tanh(strength · ratio), where the ratio, of
  the probability that it gives right answers to that of the others, is above 1 (OGM-GE, Peng et
  al. 2022). AdamW and Muon are blind to the size of a gradient, so that it multiplies the update.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni_lab.config import BalanceConfig
from omni_lab.sequences.targets import SENSES
from omni_lab.training.optimizers import modality_of

DECAY = 0.9  # of the running mean of a modality's loss
MODALITIES = ("image", "audio", "text")


class Balance:
    """Balance of one stage: a factor for every modality; what it has seen is its `state`.

    Parameters
    ----------
    trained : modalities that have a part which trains; the rule acts on no other
    """

    def __init__(self, settings: BalanceConfig, trained: set[str]) -> None:
        self.settings, self.trained = settings, trained
        self.state: dict[str, Any] = {"mean": {}, "first": {}, "seen": {}, "factors": {}}

    @property
    def factors(self) -> dict[str, float]:
        """Factor of every modality that the rule acts on; of others it is 1."""
        return self.state["factors"]

    def rate(self, modality: str) -> float:
        """What the learning rate of a modality's part is multiplied by."""
        return 1.0 if self.settings.rule == "weights" else self.factors.get(modality, 1.0)

    def loss_weights(self) -> Float[Tensor, " senses"] | None:
        """Weight of the losses by sense, where the rule is about losses; `both` has the mean."""
        if self.settings.rule != "weights" or not self.factors:
            return None
        image, audio, text = (self.factors.get(modality, 1.0) for modality in MODALITIES)
        by_sense = {"image": image, "audio": audio, "text": text, "both": (image + audio) / 2}
        return torch.tensor([by_sense[sense] for sense in SENSES])

    def observe(self, senses: dict[str, float], step: int) -> None:
        """Take note of a step's losses by sense, and adjust the factors where it is time.

        Parameters
        ----------
        senses : mean loss of the answers that each sense carries alone, nats
        """
        if self.settings.rule == "none":
            return
        mean, first, seen = (self.state[name] for name in ("mean", "first", "seen"))
        for modality in self.trained & senses.keys():
            before = mean.get(modality, senses[modality])
            mean[modality] = DECAY * before + (1 - DECAY) * senses[modality]
            seen[modality] = seen.get(modality, 0) + 1
            if seen[modality] == self.settings.every:
                first[modality] = mean[modality]
        if (step + 1) % self.settings.every == 0 and len(first) > 1:
            self.state["factors"] = self._slowed() if self.settings.rule == "ogm" else self._even()

    def _even(self) -> dict[str, float]:
        """More for what has more of its loss left than the others."""
        mean, first = self.state["mean"], self.state["first"]
        left = {m: mean[m] / first[m] for m in MODALITIES if first.get(m)}
        middle = sum(left.values()) / max(1, len(left))
        most = self.settings.most
        return {
            modality: min(most, max(1 / most, (rest / middle) ** self.settings.strength))
            for modality, rest in left.items()
            if middle
        }

    def _slowed(self) -> dict[str, float]:
        """Less for what answers better than the others."""
        first, mean = self.state["first"], self.state["mean"]
        score = {m: math.exp(-mean[m]) for m in MODALITIES if m in first}
        factors = {}
        for modality, own in score.items():
            others = [value for name, value in score.items() if name != modality]
            ratio = own / max(1e-9, sum(others) / len(others))
            slowed = 1 - math.tanh(self.settings.strength * ratio)
            factors[modality] = max(1 / self.settings.most, slowed) if ratio > 1 else 1.0
        return factors

    def disturb(self, model: nn.Module, seed: int) -> None:
        """Add noise to the gradients of the parts that are slowed (the GE of OGM-GE)."""
        slowed = {modality for modality, factor in self.factors.items() if factor < 1}
        if not self.settings.noise or self.settings.rule != "ogm" or not slowed:
            return
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.named_parameters():
            grad = parameter.grad
            if grad is not None and grad.numel() > 1 and modality_of(name) in slowed:
                noise = torch.randn(grad.shape, generator=generator).to(grad)
                grad.add_(noise * grad.std(), alpha=self.settings.noise)
