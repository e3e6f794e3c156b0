"""Multi-image formats F0 to F4 against each other and against single images: claims C13 and C14.

Command: `omni-lab reproduce formats --seeds 3`. Hardware: 2 CPU cores, no GPU; about 30 minutes a
seed.

Every arm of a seed begins with the same vision stage and then takes the same number of steps, with
the image encoder frozen. F0 to F4 see the same albums (one to five pictures, or a video) with the
same questions; `F4_no_video` has albums of pictures in place of videos; the single-image arms see
one picture at a time, each with a question, and at least as many per step as the others. All are
asked the same questions about albums of the test split. `tokens` is the cost of a format: F4 writes
more than F0 around the same pictures.

Where an arm stays below chance, as single-image arms do that never met a word such as `which`, its
score counts as chance in means and differences: an unknown word in a question is no failure to tell
pictures apart. `alike` goes further and compares only `look` and `watch`, whose words every arm
knows.

Expected before looking: F4 best, mostly where frames are counted, since the numbers beside the
pictures are those of the question; F0 behind, since it has to count pictures; single-image arms at
chance.
"""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from omni_lab.config import AlbumConfig, Config, override
from omni_lab.config.types import FORMATS
from omni_lab.reproduce.record import Criterion, conclude
from omni_lab.world.albums.album import KINDS, STAY

CLAIM = (
    "Images marked and numbered, and frames called frames, are told apart best; "
    "many images teach more than one"
)
ARMS = (*FORMATS, "F4_no_video", "F0_single", "F4_single")
QUICK = (
    "training.stages.vision.steps=3", "training.stages.vision.batch_size=4",
    "albums.stages.albums.steps=3", "albums.stages.albums.batch_size=4", "evaluation.albums=12",
)  # fmt: skip
# kinds of question that a metric averages over
GROUPS = {
    "multi": tuple(kind for kind, sort in KINDS.items() if sort == "multi"),
    "video": tuple(kind for kind, sort in KINDS.items() if sort == "video"),
    "both": tuple(kind for kind, sort in KINDS.items() if sort != "single"),
    "alike": ("look", "watch"),
}
CRITERIA = (
    *(
        Criterion(f"F4-{other}.both", 0.0, by_interval=True, claim="C13 F4 is the best")
        for other in FORMATS[:-1]
    ),
    Criterion("F0-F0_single.both", 0.0, by_interval=True, claim="C13 F0 beats single images"),
    Criterion("F3-F0.both", 0.0, by_interval=True, claim="C13 F3 beats F0"),
    *(
        Criterion(
            f"{arm}-{arm}_single.{group}", 0.10, by_interval=True, claim="C14 ten points more"
        )
        for arm in ("F0", "F4")
        for group in ("multi", "video")
    ),
    *(
        Criterion(
            f"{arm}-{arm}_single.alike", 0.10, by_interval=True, claim="C14 in words both know"
        )
        for arm in ("F0", "F4")
    ),
)
COMPARED = (
    *(criterion.metric for criterion in CRITERIA),
    *(f"F4-F4_no_video.{group}" for group in GROUPS),
)


def settings(arm: str, config: Config) -> list[str]:
    """Settings of an arm, as overrides.

    >>> from omni_lab.config import tiny
    >>> settings("F4_no_video", tiny())
    ['sequence.layout=F4', 'albums.videos=0']
    """
    layout, _, other = arm.partition("_")
    changes = [f"sequence.layout={layout}"]
    if other:
        changes.append("albums.videos=0")
    if other == "single":
        # as many pictures per step as the albums of the other arms have on average
        batch = round(_pictures(config.albums) * config.albums.stage("albums").batch_size)
        changes += [f"albums.{name}=1" for name in ("fewest", "most", "questions")]
        changes.append(f"albums.stages.albums.batch_size={batch}")
    return changes


def _pictures(albums: AlbumConfig) -> float:
    """Mean number of pictures per album."""
    frames = (max(albums.frames - 2, STAY + 1) + albums.frames) / 2
    return albums.videos * frames + (1 - albums.videos) * (albums.fewest + albums.most) / 2


def scored(model, config: Config) -> dict[str, dict]:
    """Accuracy of a trained arm on unseen albums, per kind of question."""
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.evaluation.answers import grade
    from omni_lab.evaluation.gallery.albums import by_kind, eval_albums, make_album_eval_set

    exam = make_album_eval_set(
        eval_albums(config.evaluation.albums, config.world), config, build_vocabulary(config)
    )
    return by_kind(exam, grade(model, exam))


def run_seed(config: Config, runs: Path, name: str) -> dict[str, dict]:
    """Training and evaluation of every arm of one seed.

    Returns
    -------
    found : arm → `scores` per kind of question, `tokens` and `seconds` (s) of training
    """
    from omni_lab.training import checkpoint
    from omni_lab.training.run import RunFolder
    from omni_lab.training.trainer import train_stages
    from omni_lab.world.source import lessons

    # all formats have one vocabulary, which the omni stream does not have
    config = override(config, ["sequence.layout=F4"])
    start = RunFolder(runs / f"reproduce-{name}-{config.seed}-vision", config)
    vision = config.training.stage("vision")
    train_stages(config, start, [lessons(config, vision)])
    seen, _ = checkpoint.latest(start.checkpoints, ("vision",))

    found = {}
    for arm in ARMS:
        print(f"▸ seed {config.seed} · {arm}", flush=True)
        own = override(config, settings(arm, config))
        run = RunFolder(runs / f"reproduce-{name}-{config.seed}-{arm}", own)
        shutil.copytree(seen, run.checkpoints / seen.name, dirs_exist_ok=True)
        data = [lessons(own, stage) for stage in (vision, *own.albums.stages)]
        model = train_stages(own, run, data)
        metrics = run.metrics()
        spent = {what: sum(step[what] for step in metrics) for what in ("tokens", "seconds")}
        found[arm] = {"scores": scored(model, own), **spent}
    return found


def numbers(found: dict[str, dict]) -> dict[str, float]:
    """Metrics of one seed, flat.

    `<arm>.<kind>` is an accuracy, `<arm>.<group>` a mean over kinds, each at least chance, and
    `<arm>-<arm>.<group>` a difference of two such means.
    """
    out = {}
    for arm, result in found.items():
        scores = result["scores"]
        out |= {f"{arm}.{kind}": score["accuracy"] for kind, score in scores.items()}
        for group, kinds in GROUPS.items():
            known = (max(scores[kind]["accuracy"], scores[kind]["chance"]) for kind in kinds)
            out[f"{arm}.{group}"] = statistics.fmean(known)
        out |= {f"{arm}.{what}": result[what] for what in ("tokens", "seconds")}

    for compared in COMPARED:
        pair, _, group = compared.partition(".")
        one, _, other = pair.partition("-")
        out[compared] = out[f"{one}.{group}"] - out[f"{other}.{group}"]
    return out


def reproduce(config: Config, seeds: int, results: Path, runs: Path, quick: bool = False) -> dict:
    """Every arm once per seed; record of all metrics over seeds, and its figure."""
    from omni_lab.plots.evaluation.formats import draw_format_scores

    name = "formats-quick" if quick else "formats"
    config = override(config, QUICK) if quick else config
    found = [run_seed(override(config, [f"seed={seed}"]), runs, name) for seed in range(seeds)]
    flat = [numbers(one) for one in found]
    metrics = {metric: [one[metric] for one in flat] for metric in flat[0]}

    # questions are the same for every arm and seed
    asked, stage = found[0]["F0"]["scores"], config.albums.stage("albums")
    details = {
        "kinds": {
            k: {"sort": KINDS[k], "n": score["n"], "chance": score["chance"]}
            for k, score in asked.items()
        },
        "arms": {arm: settings(arm, config) for arm in ARMS},
        "stage": f"{stage.steps} steps of {stage.batch_size} albums",
    }
    return conclude(results / name, CLAIM, seeds, metrics, CRITERIA, details, draw_format_scores)
