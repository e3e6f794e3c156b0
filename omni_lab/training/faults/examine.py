"""Examination of one step: losses by row, first module without finite output, gradient norms by part.

Glossary: B batch · T tokens · D decoder width · N supervised tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import IGNORED, Batch
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND
from omni_lab.training.faults.batch_file import ROWS, StepInputs
from omni_lab.training.losses.objective import Objective, scalars
from omni_lab.training.optimizers import part_of


@dataclass
class Examined:
    """What a step gave when it was run under observation; rows are numbered from 0.

    Attributes
    ----------
    cause : where numbers first went wrong: input, weights, forward, backward, or sound
    losses : of the step, by name, nats per token
    rows : mean loss of every row of streams and captions, nats per token; None without labels
    at_fault : numbers of the rows where `cause` shows, of streams and captions
    module : first module whose output is not finite
    weight : first weight that was not finite before the step
    norms : of the gradient, by part of the model
    """

    cause: str = "sound"
    losses: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[float | None]] = field(default_factory=dict)
    at_fault: dict[str, list[int]] = field(default_factory=dict)
    module: str | None = None
    weight: str | None = None
    norms: dict[str, float] = field(default_factory=dict)

    @property
    def located(self) -> bool:
        """Whether it went wrong in this process's own rows, modules or weights."""
        return bool(self.at_fault or self.module or self.weight)


@dataclass
class _Rows:
    """Losses of the supervised tokens of one forward pass, with the row of each."""

    losses: Float[Tensor, " N"]
    row: Int64[Tensor, " N"]
    embeddings: Float[Tensor, "B T D"]  # what entered the decoder

    @property
    def count(self) -> int:
        return len(self.embeddings)

    def sums(self) -> Float[Tensor, " B"]:
        return self.losses.new_zeros(self.count).index_add(0, self.row, self.losses)

    def means(self) -> list[float | None]:
        tokens = self.row.bincount(minlength=self.count).tolist()
        sums = self.sums().tolist()
        return [value / n if n else None for value, n in zip(sums, tokens, strict=True)]


def examine(
    objective: Objective, inputs: StepInputs, autocast: AbstractContextManager | None = None
) -> Examined:
    """Run a step's forward and backward pass again under observation; weights and `.grad` stay.

    Parameters
    ----------
    autocast : mixed precision that the step ran under
    """
    found = Examined(weight=_bad_weight(objective.model))
    torch.manual_seed(inputs.seed)
    passes: list[_Rows] = []
    with observed(objective.model, passes, found), autocast or nullcontext():
        losses = objective(inputs.batch, **inputs.given)
    found.losses = {name: value.item() for name, value in scalars(losses).items()}
    found.rows = {name: rows.means() for name, rows in zip(ROWS, passes, strict=False)}
    found.norms = _norms(objective, losses["loss"])
    _conclude(found, objective, inputs, losses["loss"], passes)
    return found


def _conclude(
    found: Examined, objective: Objective, inputs: StepInputs, loss: Tensor, passes: list[_Rows]
) -> None:
    """Find the first thing that went wrong, and the rows where it shows."""
    if wrong := bad_inputs(inputs):
        found.cause, found.at_fault = "input", wrong
    elif found.weight:
        found.cause = "weights"
    elif found.module or not all(map(math.isfinite, found.losses.values())):
        found.cause = "forward"
        found.at_fault = {
            name: bad
            for name, rows in found.rows.items()
            if (bad := [n for n, loss in enumerate(rows) if loss and not math.isfinite(loss)])
        }
    elif not all(map(math.isfinite, found.norms.values())):
        found.cause = "backward"
        by_name = dict(zip(ROWS, passes, strict=False))
        found.at_fault = _bad_gradients(objective, loss, by_name)


@contextmanager
def observed(model: OmniModel, passes: list[_Rows], found: Examined) -> Iterator[None]:
    """Forward hooks inside the block: losses by row, first module whose output is not finite."""

    def note_rows(_: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        labels = kwargs["labels"]
        row = (labels != IGNORED).nonzero()[:, 0]
        passes.append(_Rows(output.losses, row, output.embeddings))

    def note_module(name: str) -> Any:
        def hook(_: nn.Module, args: tuple, output: Any) -> None:
            if found.module is None and not finite(output):
                found.module = name

        return hook

    with ExitStack() as stack:
        # a module's hook is called after those of the modules in it: the first is the innermost
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(note_module(name)).remove)
        stack.callback(model.register_forward_hook(note_rows, with_kwargs=True).remove)
        yield


def finite(value: Any) -> bool:
    """Whether all numbers in nested tensors are finite."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, list | tuple) else True


def bad_inputs(inputs: StepInputs) -> dict[str, list[int]]:
    """Rows whose samples, encoded pictures or encoded sounds are not finite, of streams and captions."""
    batch = inputs.batch
    found = {}
    for name in ROWS:
        rows = getattr(batch, name)
        if rows is None:
            continue
        waves = batch.streams.waves if batch.heard is None else batch.heard
        bad = _rows_with(rows, rows.heard, AUDIO_KIND, waves)
        if batch.seen is not None:
            bad |= _rows_with(rows, rows.seen, IMAGE_KIND, batch.seen)
        if bad:
            found[name] = sorted(bad)
    return found


def _rows_with(rows: Batch, at: Tensor, kind: int, units: Tensor) -> set[int]:
    """Rows that point at a unit which is not finite; units stand row after row."""
    if not len(at) or finite(units):
        return set()
    tokens = (rows.kind == kind).sum(1)
    per_unit = max(1, int(tokens.sum()) // len(at))
    bad = ~torch.isfinite(units.flatten(1)).all(1)
    row = torch.arange(len(tokens), device=tokens.device).repeat_interleave(tokens // per_unit)
    return set(row[bad[at[: len(row)]]].tolist())


def _bad_weight(model: OmniModel) -> str | None:
    return next((name for name, value in model.named_parameters() if not finite(value)), None)


def _gradients(objective: Objective, loss: Tensor, keep: bool = False) -> dict[str, list[Tensor]]:
    """Gradients by part of the model; `.grad` and its hooks are left alone."""
    named = [(name, p) for name, p in objective.named_parameters() if p.requires_grad]
    values = torch.autograd.grad(loss, [p for _, p in named], retain_graph=keep, allow_unused=True)
    parts: dict[str, list[Tensor]] = {}
    for (name, _), value in zip(named, values, strict=True):
        if value is not None:
            parts.setdefault(part_of(name), []).append(value)
    return parts


def _norms(objective: Objective, loss: Tensor) -> dict[str, float]:
    found = _gradients(objective, loss, keep=True)
    return {part: float(nn.utils.get_total_norm(values)) for part, values in found.items()}


def _bad_gradients(
    objective: Objective, loss: Tensor, passes: dict[str, _Rows]
) -> dict[str, list[int]]:
    """Rows in which the gradient is not finite where it leaves the decoder.

    Where it is finite there, rows whose own loss has a gradient that is not finite in some weight.
    """
    found: dict[str, list[int]] = {}
    for name, rows in passes.items():
        if rows.embeddings.requires_grad:
            (at_entry,) = torch.autograd.grad(
                loss, rows.embeddings, retain_graph=True, allow_unused=True
            )
            if at_entry is not None and not finite(at_entry):
                bad = ~torch.isfinite(at_entry.flatten(1)).all(1)
                found[name] = bad.nonzero()[:, 0].tolist()
    if found:
        return found

    for name, rows in passes.items():
        for number, own in enumerate(rows.sums()):
            gradients = _gradients(objective, own, keep=True)
            if not finite(list(gradients.values())):
                found.setdefault(name, []).append(number)
    return found
