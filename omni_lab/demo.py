"""The whole pipeline in one run: films → triplets → shards → streams → stages → evaluation → report."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.config import Config, config_hash, override
from omni_lab.errors import InputError
from omni_lab.storage import in_project, write_json
from omni_lab.triplets.record import Triplet

if TYPE_CHECKING:
    from omni_lab.model.omni import OmniModel
    from omni_lab.training.run import RunFolder

QUICK = (
    *(f"training.stages.{stage}.steps=6" for stage in ("vision", "audio", "omni")),
    *(f"training.stages.{stage}.batch_size=8" for stage in ("vision", "audio")),
    "training.stages.omni.batch_size=4", "evaluation.clips=8", "evaluation.reliance_clips=8",
    "evaluation.retrieval_rooms=16", "evaluation.bootstrap=50",
)  # fmt: skip


def shipped_films() -> Path:
    """Where the films of the project lie."""
    for folder in in_project("data_samples"):
        if folder.is_dir():
            return folder
    raise InputError(
        "data_samples: not found here; run the demo inside the project's folder or name films with --films"
    )


def own_run() -> Path | None:
    """Your own run, `runs/demo`, where `make demo` finished one; None where it did not.

    It is looked for here and in the project's folder. A quick run is passed over: it has learned nothing.
    """
    return next((folder for folder in in_project("runs", "demo") if _finished(folder)), None)


def recorded_run() -> Path:
    """The run that came with the project, `results/demo`: what notebooks say is about this one."""
    for folder in in_project("results", "demo"):
        if _finished(folder):
            return folder
    raise InputError(
        "results/demo: no recorded run here; it comes with the project, so run this in a clone of it"
    )


def _finished(folder: Path) -> bool:
    """Whether a run folder holds a run that came to its end, and was no quick one."""
    summary = folder / "summary.json"
    return summary.exists() and not json.loads(summary.read_text(encoding="utf-8")).get("quick")


class Stopwatch:
    """Seconds per part of the demo, said as they pass."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str, message: str):
        """Time one part under `name`."""
        print(f"▸ {message}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def clips_from_films(films: Path, out: Path, config: Config) -> dict[str, list[Triplet]]:
    """Build shards of the films in `train/` and `test/` (of all films, as test, where there are no such folders)."""
    from omni_lab.triplets.building.build import build
    from omni_lab.triplets.shards.tars import read_shards

    clips: dict[str, list[Triplet]] = {"train": [], "test": []}
    parted = (films / "test").is_dir()
    for split in clips:
        folder = films / split if parted else films
        if not folder.is_dir() or (split == "train" and not parted):
            continue
        shards = out / "triplets" / split
        report = build([folder], shards, config.triplets)
        for failure in report.failures:
            print(f"  left out: {failure.uri}: {failure.reason}")
        if report.clips or report.skipped:
            clips[split] = list(read_shards(shards))
    if not any(clips.values()):
        raise InputError(
            f"{films}: no film in it gave a clip; name a folder of films, with train/ and test/ in it"
        )
    return clips


def run_demo(
    config: Config, out: Path | str, films: Path | None = None, quick: bool = False
) -> Path:
    """The whole pipeline into the run folder `out`; the path of its report.

    A second call goes on from what is there, and reuses a finished run as it is.
    """
    from omni_lab.training.run import RunFolder

    out = Path(out)
    if quick:
        config = override(config, QUICK)
    films = Path(films) if films else shipped_films()
    run, watch = RunFolder(out, config), Stopwatch()
    report = out / "report.html"
    if (out / "summary.json").exists() and report.exists():
        print(f"▸ {out}: this run is finished and used as it is (--fresh starts anew)")
        return report

    with watch.part("triplets", "films → triplets → shards"):
        clips = clips_from_films(films, out, config)
    with watch.part("training", "shards and scripts → streams → vision, audio and omni stages"):
        from omni_lab.training.trainer import train

        model = train(config, run, clips["train"])
    with watch.part("evaluation", "questions about scenes it has never seen, and controls"):
        from omni_lab.evaluation.gallery.exam import evaluate

        summary = evaluate(model, config, clips["test"]) | facts_of_run(run, quick)
    with watch.part("report", "pictures and report"):
        write_demo_report(run, model, summary, clips["test"], films, watch)
    print_summary(summary)
    return report


def facts_of_run(run: RunFolder, quick: bool) -> dict[str, Any]:
    """What a summary says beside the scores: seed, settings, steps and seconds of every stage."""
    metrics, stages = run.metrics(), {}
    for stage in dict.fromkeys(record["stage"] for record in metrics):
        steps = [record for record in metrics if record["stage"] == stage]
        spent = {name: sum(step[name] for step in steps) for name in ("seconds", "tokens")}
        stages[stage] = {"steps": len(steps), **spent}
    return {
        "seed": run.config.seed,
        "config_hash": config_hash(run.config),
        "quick": quick,
        "stages": stages,
        "environment": json.loads((run.path / "environment.json").read_text()),
    }


def write_demo_report(
    run: RunFolder,
    model: OmniModel,
    summary: dict[str, Any],
    clips: list[Triplet],
    films: Path,
    watch: Stopwatch,
) -> None:
    """Figures, `report.html` and `summary.json` of a demo, around one clip whose truth is known."""
    from omni_lab.evaluation.gallery.exam import answered, world_clips
    from omni_lab.report.demo_page import draw_run, played_clip
    from omni_lab.report.run_report import write_report
    from omni_lab.training.run import peak_memory_mb

    config, metrics = run.config, run.metrics()
    known = next((clip for clip in clips if clip.facts), None)
    shown = known or world_clips(config, "test", 1)[0]
    pictures = draw_run(summary, metrics, shown, config)
    (run.path / "figures").mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (run.path / "figures" / f"{name}.png").write_bytes(picture.png)

    clip = played_clip(shown, answered(model, shown, config), _video_of(shown, films), config)
    parts = watch.seconds | {"training": sum(record["seconds"] for record in metrics)}
    summary["parts"] = parts  # training over all calls that took part
    summary["seconds"] = sum(parts.values())
    summary["peak_memory_mb"] = peak_memory_mb()
    write_report(run.path, summary, metrics, pictures, clip)
    write_json(run.path / "summary.json", summary)


def _video_of(clip: Triplet, films: Path) -> Path | None:
    """The film a clip was cut from, found again by its content."""
    from omni_lab.media.probe import content_id

    return next(
        (film for film in sorted(films.rglob("*.mp4")) if content_id(film) == clip.source_id), None
    )


def print_summary(summary: dict) -> None:
    """The facts and their chance levels, as a table in the terminal, and what was not learned, in words."""
    from omni_lab.evaluation.learned import learned_in_words

    print(f"\n{'fact':<16}{'unseen scenes':>14}{'unseen pairs':>14}{'chance':>8}")
    for fact, score in sorted(summary["facts"].items()):
        held = summary["held_out_pairs"].get(fact)
        unseen = held["accuracy"] if held else float("nan")
        print(f"{fact:<16}{score['accuracy']:>14.3f}{unseen:>14.3f}{score['chance']:>8.3f}")
    print("", *learned_in_words(summary), sep="\n")
    print(
        f"\n{summary['seconds']:.0f} s in all, at most {summary['peak_memory_mb']:.0f} MB of memory"
    )
