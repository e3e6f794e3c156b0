"""The whole way in one run: films → triplets → shards → streams → three stages → what it learned → the report."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path

from omni_lab.config import Config, config_hash, override
from omni_lab.errors import InputError
from omni_lab.storage import in_project, write_json
from omni_lab.triplets.record import Triplet

QUICK = (
    *(f"training.stages.{stage}.steps=6" for stage in ("vision", "audio", "omni")),
    *(f"training.stages.{stage}.batch_size=8" for stage in ("vision", "audio")),
    "training.stages.omni.batch_size=4", "evaluation.clips=8", "evaluation.reliance_clips=8",
    "evaluation.retrieval_rooms=16", "evaluation.bootstrap=50",
)  # fmt: skip
FIRST_EXAM_SEED = 1_000_000  # of held-out clips; training scripts have a split, and so a random stream, of their own


def shipped_films() -> Path:
    """Where the films of the project lie."""
    for folder in in_project("data_samples"):
        if folder.is_dir():
            return folder
    raise InputError(
        "data_samples: not found here; run the demo inside the project's folder or name films with --films"
    )


def finished_run() -> Path:
    """The run that notebooks show: your own `runs/demo` where it is finished, else the recorded `results/demo`.

    Both are looked for here and in the project's folder. A quick run is passed over: it has learned nothing.
    """
    for folder in (folder for kind in ("runs", "results") for folder in in_project(kind, "demo")):
        summary = folder / "summary.json"
        if summary.exists() and not json.loads(summary.read_text(encoding="utf-8")).get("quick"):
            return folder
    raise InputError(
        "runs/demo: no finished run here, and none recorded in results/demo; make one with `omni-lab demo`"
    )


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


def world_clips(
    config: Config, split: str, count: int, seconds: int | None = None
) -> list[Triplet]:
    """Clips of scripts that training has never drawn."""
    from omni_lab.world.clips import from_script
    from omni_lab.world.drawing import write_script

    size, rate = config.model.image.size, config.triplets.frames_per_second
    seconds = seconds or config.training.stage("omni").seconds
    scripts = (
        write_script(FIRST_EXAM_SEED + i, seconds, config.world, split) for i in range(count)
    )
    return [from_script(script, size, config.world, rate) for script in scripts]


def evaluate(model, config: Config, films: list[Triplet]) -> dict:
    """Everything the report shows of what a model has learned; see the docstrings of each measure."""
    from omni_lab.analysis.capture import modality_mass
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.evaluation.answers import CONTROLS, by_fact, grade, make_eval_set, swapped
    from omni_lab.evaluation.gallery.reliance import reliance
    from omni_lab.evaluation.retrieval import moments, retrieval
    from omni_lab.world.questions import CHANCE

    vocabulary, settings = build_vocabulary(config), config.evaluation
    exam = make_eval_set(world_clips(config, "test", settings.clips), config, vocabulary)
    held = make_eval_set(world_clips(config, "held_out", settings.clips), config, vocabulary)
    scores = {
        "facts": by_fact(exam, grade(model, exam), CHANCE),
        "held_out_pairs": by_fact(held, grade(model, held), CHANCE, held_out=True),
        "controls": {
            control: by_fact(exam, grade(model, swapped(exam, control)), CHANCE)
            for control in CONTROLS
        },
        "reliance": reliance(model, config, vocabulary),
    }
    for control in scores["controls"].values():
        control.pop(
            "absent", None
        )  # its answer is that nothing carries it: there is no carrier to take away
    if any(clip.facts for clip in films):
        shown = make_eval_set(films, config, vocabulary)
        scores["films"] = by_fact(shown, grade(model, shown), CHANCE)
    batches = [exam.batch(first, 16) for first in range(0, len(exam.rows), 16)]
    vectors = moments(model, batches, config.training.align_units)
    scores["retrieval"] = retrieval(vectors, settings.retrieval_rooms)
    scores["attention"] = modality_mass(model, batches[:4])
    return scores


def answered(model, clip: Triplet, config: Config) -> list[dict]:
    """Every question of one clip with the model's answer beside the true one."""
    from omni_lab.config import TICKS_PER_SECOND
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.evaluation.answers import make_eval_set, predict

    vocabulary = build_vocabulary(config)
    exam = make_eval_set([clip], config, vocabulary)
    predicted = predict(model, exam.batch(0, 1))[0]
    answers = []
    for asked in exam.asked:
        said, true = predicted[list(asked.answer)], exam.rows[0].ids[list(asked.answer)]
        answers.append(
            {
                "time_s": asked.fact["start"] / TICKS_PER_SECOND,
                "fact": asked.fact["fact"],
                "asked": asked.fact["asked"],
                "answer": vocabulary.decode(true),
                "predicted": vocabulary.decode(said),
                "right": bool((said == true).all()),
                "places": list(map(int, asked.answer)),
            }
        )
    return answers


def clip_for_report(model, clip: Triplet, video: Path | None, config: Config) -> dict:
    """One clip as the report plays it: its film, its stream unit by unit, and every answer."""
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.sequences.items import KINDS
    from omni_lab.sequences.stream import omni_stream
    from omni_lab.sequences.tokens import tokenize

    vocabulary = build_vocabulary(config)
    sequence = omni_stream(clip, config.sequence, supervised=False)
    tokens = tokenize(sequence, vocabulary, config.sequence)
    questions = answered(model, clip, config)
    verdict = {place: question for question in questions for place in question["places"]}
    units = [
        {
            "start_s": u * config.sequence.unit_s,
            "end_s": (u + 1) * config.sequence.unit_s,
            "chips": [],
        }
        for u in range(int(tokens.unit.max()) + 1)
    ]
    words = vocabulary.pieces(tokens.ids)
    for place, (kind, item) in enumerate(zip(tokens.kind, tokens.item, strict=True)):
        question = verdict.get(place)
        units[tokens.unit[place]]["chips"].append(
            {
                "kind": KINDS[kind],
                "text": words[place],
                "loss": bool(tokens.loss[place]),
                "role": sequence.items[item].role,
                "right": question and question["right"],
                "predicted": question and question["predicted"],
            }
        )
    return {
        "video": video,
        "title": video.stem if video else clip.clip_id,
        "units": units,
        "questions": questions,
    }


def draw(summary: dict, metrics: list[dict], clip: Triplet, config: Config) -> dict:
    """Every picture of the report, by name."""
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.plots.data.timeline import draw_triplet
    from omni_lab.plots.data.tokens import draw_stream
    from omni_lab.plots.evaluation.facts import draw_controls, draw_facts
    from omni_lab.plots.evaluation.heatmaps import draw_attention, draw_reliance, draw_retrieval
    from omni_lab.plots.training.curves import draw_losses
    from omni_lab.sequences.stream import omni_stream
    from omni_lab.sequences.tokens import tokenize

    vocabulary = build_vocabulary(config)
    tokens = tokenize(
        omni_stream(clip, config.sequence, supervised=False), vocabulary, config.sequence
    )
    return {
        "stream": draw_stream(clip, tokens, vocabulary.pieces(tokens.ids)),
        "triplet": draw_triplet(clip),
        "losses": draw_losses(metrics),
        "facts": draw_facts(summary),
        "controls": draw_controls(summary),
        "reliance": draw_reliance(summary["reliance"]),
        "retrieval": draw_retrieval(summary["retrieval"]),
        "attention": draw_attention(summary["attention"]),
    }


def run_demo(
    config: Config, out: Path | str, films: Path | None = None, quick: bool = False
) -> Path:
    """Go the whole way into the run folder `out` and return the path of its report.

    A second call goes on from what is there, and reuses a finished run as it is.
    """
    from omni_lab.training.run import RunFolder, peak_memory_mb

    out = Path(out)
    if quick:
        config = override(config, QUICK)
    films = Path(films) if films else shipped_films()
    run = RunFolder(out, config)
    report, watch = out / "report.html", Stopwatch()
    if (out / "summary.json").exists() and report.exists():
        print(
            f"▸ {out}: this run is finished; its results are used as they are (--fresh starts anew)"
        )
        return report
    with watch.part("triplets", "films → triplets → shards"):
        clips = clips_from_films(films, out, config)
    with watch.part("training", "shards and scripts → streams → vision, audio and omni stages"):
        from omni_lab.training.trainer import train

        model = train(config, run, clips["train"])
    with watch.part("evaluation", "questions about scenes it has never seen, and controls"):
        summary = evaluate(model, config, clips["test"])
    metrics = run.metrics()
    watch.seconds["training"] = sum(
        record["seconds"] for record in metrics
    )  # over all calls that took part
    summary |= {
        "seed": config.seed,
        "config_hash": config_hash(config),
        "quick": quick,
        "stages": {
            stage: {
                "steps": len(mine := [r for r in metrics if r["stage"] == stage]),
                "seconds": sum(r["seconds"] for r in mine),
                "tokens": sum(r["tokens"] for r in mine),
            }
            for stage in dict.fromkeys(r["stage"] for r in metrics)
        },
        "environment": json.loads((out / "environment.json").read_text()),
    }
    shown = (
        next((clip for clip in clips["test"] if clip.facts), None)
        or world_clips(config, "test", 1)[0]
    )
    with watch.part("report", "pictures and report"):
        from omni_lab.report.run_report import write_report

        pictures = draw(summary, metrics, shown, config)
        (out / "figures").mkdir(exist_ok=True)
        for name, picture in pictures.items():
            (out / "figures" / f"{name}.png").write_bytes(picture.png)
        clip = clip_for_report(model, shown, _video_of(shown, films), config)
        summary["parts"] = watch.seconds
        summary["seconds"] = sum(watch.seconds.values())
        summary["peak_memory_mb"] = peak_memory_mb()
        write_report(out, summary, metrics, pictures, clip)
    write_json(out / "summary.json", summary)
    print_summary(summary)
    return report


def _video_of(clip: Triplet, films: Path) -> Path | None:
    """The film a clip was cut from, found again by its content."""
    from omni_lab.media.probe import content_id

    return next(
        (film for film in sorted(films.rglob("*.mp4")) if content_id(film) == clip.source_id), None
    )


def print_summary(summary: dict) -> None:
    """The facts and their chance levels, as a table in the terminal."""
    print(f"\n{'fact':<16}{'unseen scenes':>14}{'unseen pairs':>14}{'chance':>8}")
    for fact, score in sorted(summary["facts"].items()):
        held = summary["held_out_pairs"].get(fact)
        unseen = held["accuracy"] if held else float("nan")
        print(f"{fact:<16}{score['accuracy']:>14.3f}{unseen:>14.3f}{score['chance']:>8.3f}")
    print(
        f"\n{summary['seconds']:.0f} s in all, at most {summary['peak_memory_mb']:.0f} MB of memory"
    )
