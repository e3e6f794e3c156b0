"""How much of a bare loop's speed the training loop keeps, with making its data counted in.

    python benchmarks/training.py [--quick]

The floor is the least that can train this model: one batch of random tensors, ready-made, of the omni stage's shapes;
forward, loss, backward, both optimizers. The loop under test makes every batch from scripts (pixels, sound, tokens),
clips per modality, writes metrics and moves the learning rate. Both run in turn in one process, on the same threads;
the value is the ratio of tokens per second (median over rounds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from omni_lab.config import override, tiny
from omni_lab.data.batch import TrainingBatch
from omni_lab.model.omni import OmniModel
from omni_lab.training.objective import Objective, supervised
from omni_lab.training.optimizers import build_optimizers, choose_trained
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import train
from omni_lab.world.source import lessons

GOAL = 0.85
WARM = 3  # steps that are not counted


def scrambled(batch: TrainingBatch) -> TrainingBatch:
    """The batch with random pixels and samples: the same shapes, nothing to make."""
    for part in (batch.streams, batch.captions):
        part.frames = torch.randint_like(part.frames, 256)
        part.waves = torch.randn_like(part.waves) * 0.1
    return batch


def floor(config, steps: int) -> float:
    """Tokens per second of the bare loop."""
    mixture = lessons(config, config.training.stage("omni"))
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, len(mixture.vocabulary))
    objective = Objective(model, mixture.settings.caption_weight, config.training.align_units)
    choose_trained(objective, mixture.settings.train)
    optimizers = build_optimizers(objective, config.training, mixture.settings)
    batch = scrambled(mixture.batch(0))
    counts = tuple(supervised(batch).tolist())
    seconds = []
    for _ in range(WARM + steps):
        start = time.perf_counter()
        objective(batch, mixture.settings.align_weight, counts)["loss"].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return batch.tokens * steps / sum(seconds[WARM:])


def loop(config, steps: int) -> float:
    """Tokens per second of the training loop, from its own metrics."""
    only_omni = [
        "training.stages.vision.steps=0",
        "training.stages.audio.steps=0",
        f"training.stages.omni.steps={WARM + steps}",
    ]
    config = override(config, only_omni)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run", config)
        train(config, run, progress=False)
        records = run.metrics()[WARM:]
    return sum(r["tokens"] for r in records) / sum(r["seconds"] for r in records)


def main() -> None:
    """Measure in turn, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Training throughput against a bare loop.")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    quick = parser.parse_args().quick
    rounds, steps = (2, 10) if quick else (5, 30)
    config = tiny()
    ratios = []
    for number in range(rounds):
        bare, ours = floor(config, steps), loop(config, steps)
        ratios.append(ours / bare)
        print(
            f"round {number + 1}: bare loop {bare:,.0f} tokens/s, training {ours:,.0f} tokens/s, ratio {ratios[-1]:.3f}"
        )
    value = statistics.median(ratios)
    print(
        f"training keeps {value:.2f} of the bare loop's speed on {torch.get_num_threads()} threads (goal {GOAL})"
    )
    result = {
        "name": "training",
        "value": round(value, 3),
        "unit": "ratio of tokens/s",
        "goal": GOAL,
    }
    print(
        json.dumps(
            {
                **result,
                "holds": value >= GOAL,
                "spread": round(max(ratios) - min(ratios), 3),
                "n": rounds,
            }
        )
    )


if __name__ == "__main__":
    main()
