"""What building batches costs beside a training step: clips to items, items to tokens, tokens to padded or packed rows.

    python benchmarks/batches.py [--quick]

One step of the demo's omni stage: 16 clips of 8 s. The floor is the least that can train on them (forward, loss,
backward, both optimizers, on ready-made tensors). Both are CPU seconds of one thread, measured in turn; the value is
the share of a step that the dearer of the two ways takes, median over rounds. Rendering the world's pictures and sound
is not building batches, and is printed beside it: it is what reading shards is to a training on films.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

from omni_lab.config import tiny

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
import torch

from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import collate
from omni_lab.sequences.packing import best_fit, join
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.training.losses.objective import Objective, supervised
from omni_lab.training.optimizers import build_optimizers, choose_trained
from omni_lab.training.rules.curriculum import Curriculum
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.source import lessons

GOAL, CONTEXT = 0.15, 2048


def seconds(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one call, the mean of several."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def main() -> None:
    """Measure in turn, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Cost of building batches beside a training step.")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    quick = parser.parse_args().quick
    rounds, steps = (2, 4) if quick else (5, 12)
    torch.set_num_threads(1)
    config, mixture = tiny(), lessons(tiny(), tiny().training.stage("omni"))
    settings, vocabulary, size = mixture.settings, mixture.vocabulary, config.model.image.size

    def render() -> list:
        return [
            from_script(write_script(seed, settings.units), size) for seed in range(settings.batch)
        ]

    clips = render()

    def rows() -> list:
        return [
            tokenize(omni_stream(clip, config.sequence), vocabulary, config.sequence)
            for clip in clips
        ]

    def padded() -> object:
        return collate(rows(), config.sequence, config.model.image.size)

    def packed() -> object:
        documents = rows()
        plan = best_fit([len(document.ids) for document in documents], CONTEXT)
        return collate(
            [join([documents[i] for i in row]) for row in plan],
            config.sequence,
            config.model.image.size,
        )

    model = OmniModel.build(config.model, config.sequence, len(vocabulary))
    objective = Objective(model, config.training.align_units)
    choose_trained(objective, settings)
    optimizers = build_optimizers(objective, config.training, settings)
    batch = mixture.batch(0)
    counts = tuple(supervised(batch).tolist())
    weights = Curriculum(settings).weights(step=0)

    def step() -> None:
        objective(batch, weights, counts)["loss"].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    seconds(step, 3), seconds(padded, 3), seconds(packed, 3)
    values = []
    for number in range(rounds):
        whole = seconds(step, steps)
        shares = {
            name: seconds(work, 4 * steps) / whole
            for name, work in (("padded", padded), ("packed", packed))
        }
        values.append(max(shares.values()))
        print(
            f"round {number + 1}: a step takes {whole:.3f} CPU s; its batch {shares['padded']:.3f} of it padded, "
            f"{shares['packed']:.3f} packed; rendering its clips {seconds(render, 2) / whole:.2f}"
        )
    value = statistics.median(values)
    print(
        f"building a batch costs {value:.3f} of a training step on {torch.get_num_threads()} threads (goal {GOAL})"
    )
    result = {
        "name": "batches",
        "value": round(value, 4),
        "unit": "share of a step",
        "goal": GOAL,
        "holds": value <= GOAL,
    }
    print(json.dumps({**result, "spread": round(max(values) - min(values), 4), "n": rounds}))


if __name__ == "__main__":
    main()
