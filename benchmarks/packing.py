"""How full packed rows are: best fit beside padding, and beside concatenation, which fills rows by cutting documents.

    python benchmarks/packing.py [--quick]

The documents are the demo's: the rows of its three stages' batches, streams and captions, in the stages' own order of
samples. All ways get the same lengths in the same order; the context is 4,096 tokens. The value is the density of best
fit with 16 open rows, tokens that are no padding over all places, median over seeds. Padding is measured as training
without packing does it: batches of 16 rows, each as long as its longest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

from omni_lab.config import override, tiny
from omni_lab.sequences.batch import PAD_KIND
from omni_lab.sequences.packing import best_fit, concatenated
from omni_lab.world.source import lessons

GOAL, CONTEXT, ROWS = 0.98, 4096, 16


def lengths(seed: int, steps: int) -> list[int]:
    """Tokens of every row of the demo's batches, its stages' samples mixed."""
    found = []
    config = override(tiny(), [f"seed={seed}"])
    for stage in config.training.stages:
        mixture = lessons(config, stage)
        for step in range(steps):
            batch = mixture.batch(step)
            for part in (batch.streams, batch.captions):
                found += (part.kind != PAD_KIND).sum(1).tolist()
    return np.random.default_rng(seed).permutation(found).tolist()


def main() -> None:
    """Measure, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Density of packed rows.")
    parser.add_argument("--quick", action="store_true", help="fewer documents, two seeds")
    quick = parser.parse_args().quick
    seeds, steps = (2, 12) if quick else (5, 60)
    densities = []
    for seed in range(seeds):
        sizes = lengths(seed, steps)
        started = time.perf_counter()
        rows = list(best_fit(sizes, CONTEXT))
        each = (time.perf_counter() - started) / len(sizes) * 1e6
        densities.append(sum(sizes) / (len(rows) * CONTEXT))
        plain = list(concatenated(sizes, CONTEXT))
        cut = sum(np.bincount([number for row in plain for number, _, _ in row]) > 1) / len(sizes)
        batches = [sizes[i : i + ROWS] for i in range(0, len(sizes), ROWS)]
        padded = sum(sizes) / sum(max(batch) * len(batch) for batch in batches)
        print(
            f"seed {seed}: {len(sizes)} documents of {min(sizes)} to {max(sizes)} tokens: best fit {densities[-1]:.4f} "
            f"({len(rows)} rows, no document cut, {each:.1f} µs a document), concatenated "
            f"{sum(sizes) / (len(plain) * CONTEXT):.4f} ({cut:.1%} of documents cut), padded {padded:.3f}"
        )
    value = statistics.median(densities)
    print(f"best fit fills {value:.4f} of {CONTEXT}-token rows (goal {GOAL})")
    result = {
        "name": "packing",
        "value": round(value, 4),
        "unit": "density",
        "goal": GOAL,
        "holds": value >= GOAL,
    }
    print(json.dumps({**result, "spread": round(max(densities) - min(densities), 4), "n": seeds}))


if __name__ == "__main__":
    main()
