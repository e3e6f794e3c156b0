"""Demo experiment over several seeds: fact accuracy, controls, time and memory on two CPU cores.

Does a small model learn to see, hear, read and combine, in minutes?

Command: `omni-lab reproduce demo --seeds 3`. Hardware: 2 CPU cores, no GPU; about 6 minutes a seed.
Expected: every criterion below holds on every seed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from omni_lab.config import Config, override
from omni_lab.reproduce.record import Criterion, write_record

CLAIM = (
    "A 0.8 M parameter omni model learns to see, hear, read and combine both from pixels and sound "
    "within 6 minutes"
)
_SEEN = (
    "colour", "shape", "position", "motion", "word", "speaker", "shape_to_colour",
    "colour_to_shape",
)  # fmt: skip
CRITERIA = (
    *(Criterion(f"facts.{fact}", 0.97) for fact in _SEEN),
    Criterion("facts.beeps", 0.93),
    Criterion("facts.sign", 0.90),
    Criterion("held_out_pairs.colour", 0.90),
    Criterion("held_out_pairs.shape", 0.88),
    Criterion("controls.fallen", 0.10, at_least=False),
    Criterion("controls.kept", 0.05, at_least=False),
    Criterion("seconds", 360, at_least=False),
    Criterion("peak_memory_mb", 2000, at_least=False),
)


def numbers(summary: dict) -> dict[str, float]:
    """Metrics of one run, flat.

    `controls.fallen` is the most that a fact whose modality was swapped stays above chance, over
    all three controls; `controls.kept` the most accuracy that a fact lost whose modalities were not
    swapped.
    """
    from omni_lab.world.questions import FACTS

    out = {
        f"{group}.{fact}": score["accuracy"]
        for group in ("facts", "held_out_pairs", "films")
        for fact, score in summary.get(group, {}).items()
    }

    fallen, kept = [], []
    for control, scores in summary["controls"].items():
        lost = control.removeprefix("swap_")
        for fact, score in scores.items():
            if lost == "question" or lost in FACTS[fact][0]:
                fallen.append(score["accuracy"] - score["chance"])
            else:
                kept.append(summary["facts"][fact]["accuracy"] - score["accuracy"])

    return {
        **out,
        **{f"retrieval.{pair}.r1": score["r1"] for pair, score in summary["retrieval"].items()},
        "controls.fallen": max(fallen),
        "controls.kept": max(kept),
        "seconds": summary["seconds"],
        "peak_memory_mb": summary["peak_memory_mb"],
    }


def ship(run: Path, folder: Path, figures: Path) -> None:
    """Published part of a run, copied to `folder`: records and weights, figures to `figures`.

    Optimizer state and shards stay behind: to inspect the run and query its model takes neither.
    """
    from omni_lab.training.checkpoint import latest
    from omni_lab.training.run import read_config

    for name in ("config.json", "environment.json", "metrics.jsonl", "summary.json"):
        shutil.copyfile(run / name, folder / name)

    # any checkpoint of an earlier record is replaced
    stages = tuple(stage.name for stage in read_config(run).training.stages)
    final, _ = latest(run / "checkpoints", stages)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    target = folder / "checkpoints" / final.name
    target.mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "place.json"):
        shutil.copyfile(final / name, target / name)

    figures.mkdir(parents=True, exist_ok=True)
    for picture in (run / "figures").glob("*.png"):
        shutil.copyfile(picture, figures / f"{folder.name}_{picture.name}")


def reproduce(config: Config, seeds: int, results: Path, runs: Path, quick: bool = False) -> dict:
    """Demo once per seed; record of all metrics over seeds, with seed 0's run beside it."""
    from omni_lab.demo import run_demo

    name = "demo-quick" if quick else "demo"
    summaries = []
    for seed in range(seeds):
        out = runs / f"reproduce-{name}-{seed}"
        run_demo(override(config, [f"seed={seed}"]), out, quick=quick)
        summaries.append(numbers(json.loads((out / "summary.json").read_text())))

    common = [metric for metric in summaries[0] if all(metric in summary for summary in summaries)]
    metrics = {metric: [summary[metric] for summary in summaries] for metric in common}
    command = f"omni-lab reproduce demo --seeds {seeds}{' --quick' if quick else ''}"
    record = write_record(results / name, CLAIM, command, range(seeds), metrics, CRITERIA)
    ship(runs / f"reproduce-{name}-0", results / name, results.parent / "figures")
    return record
