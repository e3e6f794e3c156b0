"""Plan of a training run before it starts: steps, tokens, epochs, what trains, memory it needs at least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omni_lab.config import Config
from omni_lab.data.batch import StageData
from omni_lab.model.omni import OmniModel
from omni_lab.training.optimizers import trains

FLOAT32 = 4  # bytes: weights, gradients and optimizer state are kept in it
MB = 1e6


def plan_stages(config: Config, stages: Sequence[StageData], model: OmniModel) -> dict[str, Any]:
    """Plan of every stage as plain JSON: settings, tokens, epochs of each source, memory.

    Memory is of weights, gradients and optimizer state; activations come on top.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return {
        "preset": config.name,
        "parameters": sum(sizes.values()),
        "stages": [_stage(data, sizes) for data in stages],
    }


def _stage(data: StageData, sizes: dict[str, int]) -> dict[str, Any]:
    stage = data.settings
    trained = sum(size for name, size in sizes.items() if trains(name, stage))
    # Muon keeps one moment of a matrix, AdamW two of the rest: two are an upper bound
    held = sum(sizes.values()) + 3 * trained
    return {
        "name": stage.name,
        "steps": stage.steps,
        "batch_size": stage.batch_size,
        "sources": list(stage.sources),
        "train": list(stage.train),
        "trained_parameters": trained,
        "memory_mb": FLOAT32 * held / MB,
        **data.summary(),
    }


def written(plan: dict[str, Any], left_out: bool = True) -> str:
    """The plan as a table for people.

    Parameters
    ----------
    left_out : say what a stage cannot use; a stage that begins to train says so itself
    """
    head = (
        f"{'stage':<12}{'steps':>8}{'rows':>7}{'tokens':>12}  {'epochs':<22}{'trains':<34}{'MB':>7}"
    )
    lines = [f"{plan['preset']}: {plan['parameters'] / 1e6:.2f} M parameters", "", head]
    for stage in plan["stages"]:
        tokens = f"{stage['tokens']:,}" if stage.get("tokens") else "–"
        epochs = ", ".join(f"{n} {e:.2f}" for n, e in stage.get("epochs", {}).items())
        trains = f"{', '.join(stage['train'])} ({stage['trained_parameters'] / 1e6:.2f} M)"
        lines.append(
            f"{stage['name']:<12}{stage['steps']:>8,}{stage['batch_size']:>7,}{tokens:>12}  "
            f"{epochs or ', '.join(stage['sources']):<22}{trains:<34}{stage['memory_mb']:>7,.0f}"
        )
        for reason, count in stage.get("left_out", {}).items() if left_out else ():
            lines.append(f"{'':<12}left out: {count:,} × {reason}")
    return "\n".join([*lines, "", "MB: weights, gradients, optimizer; activations come on top", ""])
