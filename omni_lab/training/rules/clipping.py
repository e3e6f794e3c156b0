"""Gradient clipping: per modality's part, with fixed or running thresholds, or per tensor.

Source document O speaks of multimodal gradient clipping every 2,000 steps (claim O17) and says no
more. Read here as: one threshold per part of the model, renewed from the norms of the steps before.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from omni_lab.config import ClipConfig
from omni_lab.training.optimizers import part_of

DECAY = 0.98  # of a tensor's running norm (Wang et al. 2025)


def clip_per_part(model: nn.Module, limits: float | dict[str, float]) -> dict[str, float]:
    """Clip the gradient of every part of the model to a norm, so that one modality's spike leaves the others alone.

    Returns the norms before clipping.

    Parameters
    ----------
    limits : of all parts, or by part; infinite leaves one as it is
    """
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            groups.setdefault(part_of(name), []).append(parameter)
    of = limits if isinstance(limits, dict) else dict.fromkeys(groups, limits)
    return {
        part: float(nn.utils.clip_grad_norm_(group, of.get(part, math.inf)))
        for part, group in groups.items()
    }


class Clipping:
    """Gradient clipping of one stage, by its rule; what it has seen so far is its `state`.

    `fixed` has one threshold for every part. `running` renews each part's threshold every
    `settings.every` steps: `settings.factor` times the mean norm of these steps. `tensor` limits
    every tensor to `settings.factor` times its own running norm (AdaGC, Wang et al. 2025), and
    begins so once the learning rate has risen. `none` measures only.

    Parameters
    ----------
    limit : norm that a part's gradient is clipped to, until there are running ones
    warmup_steps : over which the learning rate rises
    """

    def __init__(self, settings: ClipConfig, limit: float, warmup_steps: int) -> None:
        self.settings, self.limit, self.warmup_steps = settings, limit, warmup_steps
        self.state: dict[str, Any] = {"limits": {}, "sums": {}, "steps": 0, "tensors": {}}

    def clip(self, model: nn.Module, step: int) -> dict[str, Any]:
        """Clip the gradients of a step; norms before (`grad_norm`), and what the rule did (`clip`)."""
        rule = self.settings.rule
        if rule == "none":
            return {"grad_norm": clip_per_part(model, math.inf)}
        if rule == "fixed":
            return {"grad_norm": clip_per_part(model, self.limit)}
        if rule == "running":
            return self._by_part(model)
        return self._by_tensor(model, step)

    def _by_part(self, model: nn.Module) -> dict[str, Any]:
        """Thresholds from the mean norms of the last `every` steps."""
        limits = self.state["limits"]
        parts = {part_of(name) for name, p in model.named_parameters() if p.grad is not None}
        used = {part: limits.get(part, self.limit) for part in sorted(parts)}
        norms = clip_per_part(model, used)

        sums = self.state["sums"]
        for part, norm in norms.items():
            if math.isfinite(norm):
                sums[part] = sums.get(part, 0.0) + norm
        self.state["steps"] += 1
        if self.state["steps"] == self.settings.every:
            mean = {part: total / self.settings.every for part, total in sums.items()}
            renewed = {part: self.settings.factor * norm for part, norm in mean.items() if norm}
            self.state |= {"limits": limits | renewed, "sums": {}, "steps": 0}
        return {"grad_norm": norms, "clip": used}

    def _by_tensor(self, model: nn.Module, step: int) -> dict[str, Any]:
        """Each tensor against its own running norm."""
        norms = clip_per_part(model, self.limit if step < self.warmup_steps else math.inf)
        named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
        sizes = torch.stack(torch._foreach_norm([grad for _, grad in named])).tolist()

        running, scales, clipped = self.state["tensors"], [], 0
        for (name, _), size in zip(named, sizes, strict=True):
            most = self.settings.factor * running.get(name, math.inf)
            scale = most / size if step >= self.warmup_steps and size > most else 1.0
            clipped += scale < 1
            scales.append(scale)
            if math.isfinite(size):
                kept = size * scale
                running[name] = DECAY * running.get(name, kept) + (1 - DECAY) * kept
        torch._foreach_mul_([grad for _, grad in named], scales)
        return {"grad_norm": norms, "clip": {"tensors": clipped / max(1, len(named))}}
