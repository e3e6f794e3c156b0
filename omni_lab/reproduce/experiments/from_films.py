"""Films experiment: gallery films → triplets → shards → training, beside training on the generator.

Does the whole way from film files teach what the generator teaches? Films are written as mp4 with
subtitles, built by `triplets build`, and learned from by `omni-lab train` with no other source, at
the steps, rates and clips a step of the demo; generated lessons never repeat a scene, films do.

Command: `omni-lab reproduce from_films --seeds 3`. Hardware: 2 CPU cores, no GPU; 11 h of film,
about 20 minutes to write and build, and 7 to 10 minutes for each of 5 runs a seed.
Expected, written down first: from 5.5 h, every fact within .03 of the demo's runs of the same
seeds. Two facts of ten missed it; twice the films, with the same bar, was added after that was seen.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni_lab.config import Config, override
from omni_lab.reproduce.experiments import demo
from omni_lab.reproduce.record import Criterion, conclude, kept_row

CLAIM = "Films alone teach what the generator of their scenes teaches, at the same number of steps"
PARTS = (0.125, 0.25, 0.5, 1.0, 2.0)  # of the films of the first plan
GAP = 0.03  # the most that a fact may lie below the generator's
OF_GENERATED = 0.125  # film time of the first plan, of what the generator shows in as many steps
FACTS = (
    "colour", "shape", "position", "motion", "sign", "word", "speaker", "beeps",
    "shape_to_colour", "colour_to_shape",
)  # fmt: skip
CRITERIA = (
    *(
        Criterion(f"{gap}.{fact}", GAP, at_least=False, claim=claim)
        for gap, claim in (("gap", "from 5.5 h of film"), ("gap_2", "from 11 h, added later"))
        for fact in FACTS
    ),
    # nothing is near to what has learned nothing
    Criterion("generated.lowest", 0.75, claim="control: the generator teaches"),
)


@dataclass(frozen=True)
class Course:
    """One call of `omni-lab train`: a stage of the demo, or a half of it, on its own films.

    Parameters
    ----------
    films : kinds of lesson films, with the clips that a step of the generator takes of each
    part : of the stage's steps
    """

    name: str
    stage: str
    films: dict[str, int]
    part: float = 1.0
    settings: tuple[str, ...] = ()

    def steps(self, config: Config) -> int:
        """Steps of the course."""
        return max(1, round(self.part * config.training.stage(self.stage).steps))


# the generator's captions follow a curriculum; here the vision stage has three courses instead
_SHORT = ("seconds=2", "batch_size=48")
COURSES = (
    Course(
        "find", "vision", {"asked_seen": 24, "found": 24}, 0.11, (*_SHORT, "decay_fraction=0")
    ),
    Course(
        "move", "vision", {"asked_seen": 24, "moved": 24}, 0.49, (*_SHORT, "decay_fraction=0")
    ),
    Course(
        "describe", "vision", {"asked_seen": 24, "described": 24}, 0.4,
        (*_SHORT, "decay_fraction=1"),
    ),
    Course("name", "audio", {"asked_heard": 24, "named": 24}, 1.0, _SHORT),
    # what is found by ear alone, in the generator single seconds, are films of their own
    Course("omni", "omni", {"asked": 16, "by_ear": 8}, 1.0, ("batch_size=24",)),
)  # fmt: skip


def film_seconds(course: Course, kind: str, config: Config) -> int:
    """Film time of one kind in the first plan, s."""
    of_clip = 8 if course.stage == "omni" else 2
    shown = course.steps(config) * course.films[kind] * of_clip
    return max(of_clip, round(shown * OF_GENERATED))


def films_of(course: Course, config: Config, folder: Path) -> dict[str, list[Path]]:
    """All films of a course by kind, written where they are not there yet."""
    from omni_lab.storage import replace_folder
    from omni_lab.world.lesson_films import write_lesson_films

    found = {}
    for number, kind in enumerate(course.films):
        into = folder / course.name / kind
        if not into.is_dir():
            unfinished = into.with_name(f"{kind}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            seconds = round(PARTS[-1] * film_seconds(course, kind, config))
            first = 1_000_000 * COURSES.index(course) + number
            write_lesson_films(unfinished, kind, seconds, config.world, first=first)
            replace_folder(unfinished, into)
        found[kind] = sorted(into.glob("*.mp4"))
    return found


def shards_of(course: Course, part: float, config: Config, folder: Path) -> tuple[Path, int]:
    """Shards of a part of a course's films, and the number of films."""
    from omni_lab.triplets.building.build import build
    from omni_lab.world.lesson_films import LENGTH

    chosen = []
    for kind, films in films_of(course, config, folder / "films").items():
        planned = -(-film_seconds(course, kind, config) // LENGTH)
        first_plan = sum(int(film.stem[-6:]) < planned for film in films)
        chosen += films[: max(1, round(part * first_plan))]
    out = folder / "shards" / f"{course.name}-{part:g}"
    build(chosen, out, config.triplets)  # films that are built already are skipped
    return out, len(chosen)


def command(course: Course, config: Config, data: Path, out: Path, init: Path | None) -> list[str]:
    """The call of `omni-lab train` for a course."""
    stage = f"training.stages.{course.stage}"
    settings = [
        f"seed={config.seed}", f"{stage}.steps={course.steps(config)}", "training.threads=1",
        *(f"{stage}.{setting}" for setting in course.settings),
    ]  # fmt: skip
    begin = ["--init", str(init)] if init else []
    return [
        "train", "--data", str(data), "--stages", course.stage, "--out", str(out), *begin,
        "--set", *settings,
    ]  # fmt: skip


def from_films(config: Config, part: float, folder: Path) -> dict[str, Any]:
    """Scores of a model trained on a part of the films, with what it was trained on."""
    from omni_lab.evaluation.gallery.exam import fact_scores
    from omni_lab.training.models import trained

    before, films = None, {}
    for course in COURSES:
        data, films[course.name] = shards_of(course, part, config, folder)
        run = folder / f"seed{config.seed}" / f"{part:g}-{course.name}"
        call = command(course, config, data, run, before)
        print(f"▸ omni-lab {' '.join(call)}", flush=True)
        subprocess.run([sys.executable, "-m", "omni_lab.cli.main", *call], check=True)
        before = run
    facts = fact_scores(trained(before), config, "test")
    return {
        "facts": {fact: score["accuracy"] for fact, score in facts.items()},
        "films": films,
    }


def numbers(rows: dict[float, dict], generated: dict[str, float]) -> dict[str, float]:
    """Metrics of one seed, flat: `films_<part>.<fact>`, `generated.<fact>` and gaps.

    `gap.<fact>` is how far the fact lies below the generator's with the films of the first plan,
    `gap_2.<fact>` with twice as many.
    """
    out = {}
    for fact in FACTS:
        own = {part: row["facts"][fact] for part, row in rows.items()}
        out |= {f"films_{part:g}.{fact}": accuracy for part, accuracy in own.items()}
        out[f"generated.{fact}"] = generated[f"facts.{fact}"]
        for gap, part in (("gap", 1.0), ("gap_2", 2.0)):
            if part in own:
                out[f"{gap}.{fact}"] = generated[f"facts.{fact}"] - own[part]
    return out | {"generated.lowest": min(generated[f"facts.{fact}"] for fact in FACTS)}


def reproduce(config: Config, seeds: int, results: Path, runs: Path, quick: bool = False) -> dict:
    """Every part of the films once per seed, beside the demo's run of that seed on one thread."""
    from omni_lab.demo import QUICK
    from omni_lab.plots.evaluation.films import draw_films

    name = f"from_films{'-quick' if quick else ''}"
    config = override(config, QUICK if quick else demo.SETTINGS)
    parts = (1.0,) if quick else PARTS
    folder, flat, films = results / name, [], {}
    for seed in range(seeds):
        own = override(config, [f"seed={seed}"])
        rows = {}
        for part in parts:
            path = folder / "runs" / f"seed{seed}-part{part:g}.json"
            rows[part] = kept_row(path, own, lambda p=part, c=own: from_films(c, p, runs / name))
        films = {f"{part:g}": row["films"] for part, row in rows.items()}
        reference = results / f"demo{'-quick' if quick else ''}" / "runs"
        generated = demo.measured(config, seed, 1, reference, runs, quick)["metrics"]
        flat.append(numbers(rows, generated))

    metrics = {metric: [one[metric] for one in flat] for metric in flat[0]}
    seconds = {
        f"{course.name}.{kind}": film_seconds(course, kind, config)
        for course in COURSES
        for kind in course.films
    }
    details = {"films": films, "film_seconds": seconds, "of_generated": OF_GENERATED}
    criteria = [criterion for criterion in CRITERIA if criterion.metric in metrics]
    return conclude(folder, CLAIM, seeds, metrics, criteria, details, draw_films)
