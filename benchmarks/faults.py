"""What it costs to look after every step: finite losses, finite gradients, a seed of the step's own.

    python benchmarks/faults.py [--quick]

One model trains on one ready batch of the vision stage. Steps take turns: one as training takes it, one
with the watch and the seed left out. The value is the median ratio of their processor times over pairs
of neighbours: other work on the machine changes it little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from omni_lab.config import override, tiny

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
from omni_lab.training.losses.objective import stage_objective
from omni_lab.training.models import new_model
from omni_lab.training.optimizers import build_optimizers
from omni_lab.training.rules.controls import Controls
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import Trainer
from omni_lab.world.source import lessons

GOAL = 1.02
WARM = 3  # pairs that are not counted


def times(pairs: int) -> list[tuple[float, float]]:
    """Processor seconds of a step with and without the watch, pair by pair."""
    config = override(tiny(), ["training.stages=vision"])
    stage = config.training.stages[0]
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run", config)
        trainer = Trainer(config.training, new_model(config), run, progress=False)
        objective = stage_objective(trainer.model, config.training, stage)
        optimizers = build_optimizers(objective, config.training, stage)
        controls = Controls(stage, config.training, objective)
        objective, *optimizers = trainer.accelerator.prepare(objective, *optimizers)
        batch = lessons(config, stage).batch(0)
        check, seed = trainer.watch.check, trainer.processes.seed

        def step(watched: bool) -> float:
            trainer.watch.check = check if watched else lambda *_: None
            trainer.processes.seed = seed if watched else lambda *_: 0
            start = time.process_time()
            trainer.train_step(objective, optimizers, batch, controls, 0)
            return time.process_time() - start

        found = []
        for number in range(WARM + pairs):
            first = number % 2 == 0  # who goes first takes turns too
            one, other = step(first), step(not first)
            found.append((one, other) if first else (other, one))
    return found[WARM:]


def main() -> None:
    """Measure pairs of steps, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Cost of the watch over every training step.")
    parser.add_argument("--quick", action="store_true", help="few pairs")
    pairs = 20 if parser.parse_args().quick else 150
    found = times(pairs)
    ratios = sorted(watched / plain for watched, plain in found)
    value = statistics.median(ratios)
    for name, column in zip(("with the watch", "without"), zip(*found, strict=True), strict=True):
        print(f"{name:<16}{1000 * statistics.median(column):>9.2f} ms a step")
    quarter = len(ratios) // 4
    last = {
        "name": "faults", "value": round(value, 4), "unit": "ratio of step times", "goal": GOAL,
        "holds": value <= GOAL, "spread": round(ratios[-quarter - 1] - ratios[quarter], 4),
        "n": len(ratios),
    }  # fmt: skip
    print(json.dumps(last))


if __name__ == "__main__":
    main()
