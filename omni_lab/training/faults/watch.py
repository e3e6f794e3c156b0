"""Watch over a step's losses and gradient norms: where one is NaN or infinite, training stops.

All ranks stop together, before a weight moves, since they look at means over all of them that are
synchronised anyway. The batch of every rank at fault is kept, beside the weights of that step.
"""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omni_lab.config import Config
from omni_lab.errors import InputError, reason
from omni_lab.model.omni import OmniModel
from omni_lab.storage import replace_folder, write_json
from omni_lab.training import checkpoint
from omni_lab.training.faults.batch_file import StepInputs, write_step
from omni_lab.training.faults.examine import Examined, bad_inputs, examine
from omni_lab.training.processes import Processes
from omni_lab.training.run import Place, RunFolder

WEIGHTS = "weights"  # folder beside the batch files


class NonFiniteError(InputError):
    """A loss or a gradient norm of a step is NaN or infinite; no weight has been moved by it."""


class Watch:
    """Watch over the steps of a run.

    Parameters
    ----------
    run : in whose folder `faults` batches are kept
    """

    def __init__(self, run: RunFolder, processes: Processes) -> None:
        self.run, self.processes = run, processes

    def check(
        self,
        inputs: StepInputs,
        objective: nn.Module,
        losses: Mapping[str, Tensor],
        figures: Mapping[str, Any],
        norms: Mapping[str, float],
    ) -> None:
        """Stop all processes where a loss or norm is not finite.

        Parameters
        ----------
        losses : of this process
        figures : of the step over all processes; those that are numbers are looked at
        norms : of the gradient by part of the model, the same in all processes

        Raises
        ------
        NonFiniteError
            one is not finite
        """
        means = {name: value for name, value in figures.items() if isinstance(value, float)}
        if self.processes.accelerator.scaler is not None:
            norms = {}  # fp16: the scaler looks for overflow itself, and leaves such steps out
        if all(map(math.isfinite, (*means.values(), *norms.values()))):
            return
        step = {
            "what": _what(means, norms), "means": means, "grad_norm": dict(norms),
            "losses": {name: value.item() for name, value in losses.items()},
        }  # fmt: skip
        raise NonFiniteError(self.keep(inputs, objective, step))

    def keep(self, inputs: StepInputs, objective: nn.Module, step: dict[str, Any]) -> str:
        """Keep what it takes to run a step again; one line about it, the same in every process.

        All processes call it together.

        Parameters
        ----------
        step : `what` was wrong, this process's `losses`, and what else belongs in the record
        """
        objective = self.processes.accelerator.unwrap_model(objective)
        examined = self._examined(inputs, objective, step["losses"])
        found = self._gathered([examined.cause, examined.located, in_words(examined)])
        at_fault = _at_fault(found)
        first, *others = at_fault
        place = f"stage {inputs.stage.name}, step {inputs.step}, rank {first}"
        line = f"{place}: {step['what']}, {found[first][2]}"
        if others:
            line += f"; also on rank {', '.join(map(str, others))}"

        folder = self.run.path / "faults" / f"{inputs.stage.name}-{inputs.step:06d}"
        record = step | {"ranks": len(found), "rank": self._rank, "examined": vars(examined)}
        summary = {"fault": line, "files": [_name(rank) for rank in at_fault]}
        own = record if self._rank in at_fault else None
        if failed := self._write(folder, self._alone(inputs), objective, own, summary):
            return f"{line}; its batch could not be kept ({failed})"
        file = folder / _name(first)
        command = f"omni-lab train --replay-batch {shlex.quote(str(file))}"
        return f"{line}; kept in {file}; to run it again: {command}"

    def _alone(self, inputs: StepInputs) -> StepInputs:
        """The step as one process would take it: where ranks share rows, each counts its tokens."""
        size = self.processes.settings.context_parallel
        if size == 1:
            return inputs
        counts = tuple(size * count for count in inputs.given["counts"])
        return replace(inputs, given=inputs.given | {"counts": counts})

    @property
    def _rank(self) -> int:
        return self.processes.accelerator.process_index

    def _examined(
        self, inputs: StepInputs, objective: nn.Module, losses: dict[str, float]
    ) -> Examined:
        """Second pass over this process's batch, where it shares no rows with others."""
        if self.processes.collectives is None:
            try:
                return examine(objective, inputs, self.processes.accelerator.autocast())
            except torch.OutOfMemoryError:
                pass  # what the step itself gave must do
        if wrong := bad_inputs(inputs):
            return Examined("input", at_fault=wrong)
        sound = all(map(math.isfinite, losses.values()))
        return Examined("sound" if sound else "forward", losses=losses)

    def _write(
        self, folder: Path, inputs: StepInputs, objective: nn.Module,
        record: dict[str, Any] | None, summary: dict[str, Any],
    ) -> str:  # fmt: skip
        """Write weights and batches into place; why that failed in some process, else nothing.

        A process that cannot write still answers the others.
        """
        half, main = folder.with_name(f"{folder.name}.tmp"), self.processes.main
        arguments = (half, inputs, objective.model, self.run.config)
        failed = self._agreed(_write_weights if main else None, *arguments)
        if not failed:
            arguments = (half / _name(self._rank), inputs, self.run.config, record)
            failed = self._agreed(write_step if record else None, *arguments)
        if not failed:
            failed = self._agreed(_into_place if main else None, half, folder, summary)
        return failed

    def _agreed(self, write: Callable | None, *arguments: Any) -> str:
        """Let some processes write; why one of them could not, in all processes."""
        failed = ""
        if write is not None:
            try:
                write(*arguments)
            except Exception as error:  # noqa: BLE001 - the fault itself must still be told
                failed = reason(error)
        return next(filter(None, self._gathered(failed)), "")

    def _gathered(self, value: Any) -> list[Any]:
        """A value of every process, in the order of ranks."""
        return [found["value"] for found in self.processes.all({"value": value})]


def _at_fault(found: list[list]) -> list[int]:
    """Ranks where it went wrong; others have a loss that is no number through moments of these.

    Parameters
    ----------
    found : cause in every rank, whether it has a place there, and words
    """
    located = [rank for rank, (_, has_place, _) in enumerate(found) if has_place]
    unsound = [rank for rank, (cause, _, _) in enumerate(found) if cause != "sound"]
    return located or unsound or [*range(len(found))]


def _name(rank: int) -> str:
    return f"rank-{rank}.safetensors"


def _write_weights(half: Path, inputs: StepInputs, model: OmniModel, config: Config) -> None:
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    place = Place(inputs.stage.name, inputs.step)
    checkpoint.write_files(half / WEIGHTS, place, model, [], None, config)


def _into_place(half: Path, folder: Path, summary: dict[str, Any]) -> None:
    write_json(half / "fault.json", summary)
    replace_folder(half, folder)


def _what(means: Mapping[str, float], norms: Mapping[str, float]) -> str:
    """Which losses and norms are not finite: `loss is nan (caption)`."""
    wrong = {name: value for name, value in means.items() if not math.isfinite(value)}
    parts = ", ".join(name for name in wrong if name != "loss")
    if wrong:
        value = next(iter(wrong.values()))
        return f"loss is {value} ({parts})" if parts else f"loss is {value}"
    part, value = next((p, v) for p, v in norms.items() if not math.isfinite(v))
    others = ", ".join(p for p, v in norms.items() if not math.isfinite(v) and p != part)
    return f"gradient norm of {part}{' and ' + others if others else ''} is {value}"


def in_words(examined: Examined) -> str:
    """Where numbers first went wrong."""
    rows = " and ".join(
        f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {name}"
        for name, numbers in examined.at_fault.items()
    )
    if examined.cause == "input":
        return f"input of {rows}"
    if examined.cause == "weights":
        return f"weights ({examined.weight} was not finite before the step)"
    if examined.cause == "sound":
        return "sound in a second pass (chance, or the machine)"
    of = f" of {rows}" if rows else ""
    first = f", first in {examined.module}" if examined.module else ""
    return f"{examined.cause} pass{of}{first}"
