"""How much of a bare loop's speed training keeps, and where the rest goes.

    python benchmarks/training.py [--quick]

The floor is the least that can train this model: one batch of random tensors, ready-made, of the omni stage's shapes;
forward, loss, backward, both optimizers. Training makes every batch from scripts (pixels, sound, tokens), clips per
part, writes metrics and moves the learning rate; training on one ready batch does all of that but the making. All run
in turn in one process, on the same threads; the value is the ratio of tokens per second (median over rounds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from omni_lab.config import Config, StageConfig, override, tiny

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
import torch

from omni_lab.data.batch import StageData, TrainingBatch
from omni_lab.model.omni import OmniModel
from omni_lab.training.losses.objective import Objective, supervised
from omni_lab.training.optimizers import build_optimizers, choose_trained
from omni_lab.training.rules.curriculum import Curriculum
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import train_stages
from omni_lab.world.source import lessons

GOAL = 0.85
WARM = 3  # steps that are not counted


def scrambled(batch: TrainingBatch) -> TrainingBatch:
    """The batch with random pixels and samples: the same shapes, nothing to make."""
    for part in (batch.streams, batch.captions):
        part.frames = torch.randint_like(part.frames, 256)
        part.waves = torch.randn_like(part.waves) * 0.1
    return batch


def floor(config: Config, steps: int) -> float:
    """Tokens per second of the bare loop."""
    mixture = lessons(config, config.training.stage("omni"))
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, len(mixture.vocabulary))
    objective = Objective(model, config.training.align_units)
    choose_trained(objective, mixture.settings)
    optimizers = build_optimizers(objective, config.training, mixture.settings)
    batch = scrambled(mixture.batch(0))
    counts = tuple(supervised(batch).tolist())
    weights = Curriculum(mixture.settings).weights(step=0)
    seconds = []
    for _ in range(WARM + steps):
        start = time.perf_counter()
        objective(batch, weights, counts)["loss"].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return batch.tokens * steps / sum(seconds[WARM:])


class ReadyBatch(StageData):
    """Training data of one batch, made once."""

    def __init__(self, config: Config, stage: StageConfig) -> None:
        self.settings, self.made = stage, scrambled(lessons(config, stage).batch(0))

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """The same batch at every step."""
        return self.made

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """The same batch, and no process beside."""
        yield from (self.made for _ in range(first, self.settings.steps))


def loop(config: Config, steps: int, source: Callable[..., StageData] = lessons) -> float:
    """Tokens per second of training the omni stage, from its own metrics.

    Parameters
    ----------
    source : training data of a stage
    """
    only_omni = ["training.stages=omni", f"training.stages.omni.steps={WARM + steps}"]
    config = override(config, only_omni)
    data = [source(config, config.training.stage("omni"))]
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run", config)
        train_stages(config, run, data, progress=False)
        records = run.metrics()[WARM:]
    return sum(r["tokens"] for r in records) / sum(r["seconds"] for r in records)


def result(name: str, ratios: list[float], goal: float) -> dict:
    """The benchmark's last line: median and spread of the rounds' ratios of tokens per second."""
    value = statistics.median(ratios)
    return {
        "name": name, "value": round(value, 3), "unit": "ratio of tokens/s", "goal": goal,
        "holds": value >= goal, "spread": round(max(ratios) - min(ratios), 3), "n": len(ratios),
    }  # fmt: skip


def main() -> None:
    """Measure in turn, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Training throughput against a bare loop.")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    quick = parser.parse_args().quick
    rounds, steps = (2, 10) if quick else (5, 30)
    config = tiny()
    speeds: dict[str, list[float]] = {}
    for number in range(rounds):
        measured = {
            "bare loop": floor(config, steps),
            "training, one ready batch": loop(config, steps, ReadyBatch),
            "training": loop(config, steps),
        }
        for name, speed in measured.items():
            speeds.setdefault(name, []).append(speed)
        print(
            f"round {number + 1}:",
            *(f"{name} {v:,.0f}," for name, v in measured.items()),
            "tokens/s",
        )

    print(
        f"\n{'on ' + str(torch.get_num_threads()) + ' threads':<28}{'tokens/s':>10}{'of bare':>9}"
    )
    ratios: list[float] = []
    for name, values in speeds.items():
        ratios = [v / bare for v, bare in zip(values, speeds["bare loop"], strict=True)]
        print(f"{name:<28}{statistics.median(values):>10,.0f}{statistics.median(ratios):>9.2f}")
    print(json.dumps(result("training", ratios, GOAL)))


if __name__ == "__main__":
    main()
