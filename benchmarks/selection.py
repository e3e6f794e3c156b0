"""Cost of a selective training step, and peak memory of the chunked loss relative to full logits.

    python benchmarks/selection.py [--quick]

A small decoder with a large output layer takes steps, forward and backward, on the same rows of text: on all tokens,
and on the 60 % with the highest excess loss, whose reference losses are known (a side table). The value is the ratio of
seconds (median over rounds, in turn in one process). Memory is the loss's alone, forward and backward, at its peak
beyond what was held before, in a fresh process each: in pieces, and with all logits at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from omni_lab.config import StageConfig, override, tiny

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
import torch
from ring import Peak
from torch.nn import functional as F

from omni_lab.config.training import SelectionConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.model.loss import token_losses
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.targets import Targets
from omni_lab.sequences.tokens import TEXT_KIND
from omni_lab.training.losses.objective import Objective, supervised
from omni_lab.training.selection import Selection

GOAL = 1.05
WORDS, ROWS, TOKENS = 32_000, 8, 128
MOST = {32_000: 1 / 5, 150_000: 1 / 8}  # of the memory that all logits take, by vocabulary


def text(vocabulary: int) -> TrainingBatch:
    """Rows of random text, every token supervised, its loss under a reference known."""
    ids = torch.randint(vocabulary, (ROWS, TOKENS))
    place, none = torch.arange(TOKENS).expand_as(ids), torch.zeros(0, dtype=torch.int64)
    targets = Targets(ids * 0 - 1, ids * 0 - 1, (), {"reference": torch.rand(ids.shape) * 10})
    rows = Batch(
        input_ids=ids, kind=torch.full_like(ids, TEXT_KIND), loss_mask=torch.ones_like(ids) > 0,
        unit=ids * 0, document=ids * 0, position=place,
        frames=torch.zeros((0, 2, 48, 48, 3), dtype=torch.uint8), waves=torch.zeros((0, 16_000)),
        seen=none, heard=none, targets=targets,
    )  # fmt: skip
    return TrainingBatch(rows)


class Known(Selection):
    """Selection whose reference losses are in the batch: nothing to load."""

    def prepare(self, batch: TrainingBatch) -> TrainingBatch:
        """Add where every token stands."""
        place = torch.arange(ROWS * TOKENS, dtype=torch.float64).reshape(ROWS, TOKENS)
        known = batch.streams.targets.known | {"place": place, "group": place * 0}
        targets = replace(batch.streams.targets, known=known)
        return replace(batch, streams=replace(batch.streams, targets=targets))


def seconds_of(objective: Objective, batch: TrainingBatch, steps: int) -> float:
    """Seconds of a step, forward and backward; the first is not counted."""
    weights = {"stream": 1.0, "caption": 0.0, "align": 0.0}
    counts = tuple(supervised(batch, objective.selection).tolist())
    for step in range(steps + 1):
        if step == 1:
            began = time.perf_counter()
        objective(batch, weights, counts)["loss"].backward()
        objective.zero_grad()
    return (time.perf_counter() - began) / steps


def step_ratios(rounds: int, steps: int) -> list[float]:
    """Selective step beside the standard one, in seconds, by round."""
    torch.manual_seed(0)
    config = override(tiny(), ["model.wide_init=false"])
    model = OmniModel.build(config.model, config.sequence, WORDS)
    chosen = SelectionConfig("excess", keep=0.6)
    selection = Known(StageConfig(selection=chosen))
    batch = text(WORDS)
    ready = selection.prepare(batch)
    ratios = []
    for number in range(rounds):
        whole = seconds_of(Objective(model, 1), batch, steps)
        part = seconds_of(Objective(model, 1, selection), ready, steps)
        ratios.append(part / whole)
        print(f"round {number + 1}: all tokens {whole:.3f} s, selected {part:.3f} s")
    return ratios


def held(way: str, vocabulary: int) -> int:
    """Peak memory, in bytes, of forward and backward of the loss: 2,048 tokens of width 256."""
    torch.manual_seed(0)
    states = torch.randn(2048, 256, requires_grad=True)
    weight = (torch.randn(vocabulary, 256) / 16).requires_grad_()
    targets = torch.randint(vocabulary, (2048,))

    def whole(states, weight, targets):
        return F.cross_entropy(states @ weight.T, targets, reduction="none")

    loss = token_losses if way == "pieces" else whole
    loss(states[:8], weight, targets[:8]).sum().backward()  # gradients are there already
    with Peak() as peak:
        loss(states, weight, targets).sum().backward()
    return peak.held


def memory(vocabulary: int) -> float:
    """Peak memory of the chunked loss as a fraction of full logits, one process per measurement."""
    found = {}
    for way in ("pieces", "whole"):
        call = [sys.executable, __file__, "--held", way, str(vocabulary)]
        found[way] = int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    print(
        f"{vocabulary:,} words: {found['pieces'] / 2**20:.0f} MiB in pieces, "
        f"{found['whole'] / 2**20:.0f} MiB with all logits"
    )
    return found["pieces"] / found["whole"]


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    if sys.argv[1:2] == ["--held"]:
        print(held(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description="Cost of selection, and memory of the loss.")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 3 steps, not 7 of 8")
    quick = parser.parse_args().quick

    shares = {words: memory(words) for words in MOST}
    for words, share in shares.items():
        print(f"{words:,} words: {share:.3f} of all logits, goal at most {MOST[words]:.3f}")
    ratios = step_ratios(*((2, 3) if quick else (7, 8)))
    value = statistics.median(ratios)
    holds = value <= GOAL and all(share <= MOST[words] for words, share in shares.items())
    spread = max(ratios) - min(ratios)
    print(
        json.dumps(
            {
                "name": "selection", "value": round(value, 3), "unit": "× a standard step",
                "goal": GOAL, "holds": holds, "spread": round(spread, 3), "n": len(ratios),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
