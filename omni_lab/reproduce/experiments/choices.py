"""Choices of the omni stage: what trains, for how long, how fast, in which order, how balanced.

Each experiment compares arms that differ in the omni stage alone, and start from one checkpoint of
the unimodal stages per seed. One plain arm serves all. Its omni stage shows a quarter of the tokens
that the demo's does, so that differences show before everything is learned.

Commands: `omni-lab reproduce O5 --seeds 5 --jobs 2`, likewise O6, O8 to O11, O16 to O18. Hardware:
2 CPU cores, no GPU. A run takes about 2 minutes on one core (O10 up to 17, O9 up to 9), the
beginning 5 for each seed.
Criteria were written down before any arm was run; an arm is compared with another of the same seed,
and the difference counts where its 95 % interval over seeds lies on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni_lab.config import Config, override
from omni_lab.reproduce.arms import PLAIN, Arm, Task, run_all
from omni_lab.reproduce.record import Criterion, keep_figure, write_record

OMNI = "training.stages.omni"
BASE = (
    "training.threads=1",
    f"{OMNI}.steps=200",
    f"{OMNI}.batch_size=16",
    f"{OMNI}.seconds=4",
    "evaluation.clips=240",
)
QUICK = (
    "training.stages.vision.steps=3",
    "training.stages.audio.steps=3",
    "training.stages.vision.batch_size=4",
    "training.stages.audio.batch_size=4",
    f"{OMNI}.steps=4",
    f"{OMNI}.batch_size=4",
    "evaluation.clips=12",
)
SENSES = ("image", "audio", "both")


def omni(*settings: str) -> tuple[str, ...]:
    """Changes of the omni stage."""
    return tuple(f"{OMNI}.{setting}" for setting in settings)


@dataclass(frozen=True)
class Gain:
    """How much better one arm is than another, seed by seed, and what is claimed of it.

    Parameters
    ----------
    better, worse : names of arms; of several, separated by |, the best of each seed
    bound : what the gain must reach by its interval, in accuracy
    claim : key of the record's verdict
    """

    better: str
    worse: str
    claim: str
    bound: float = 0.0
    measure: str = "accuracy"

    @property
    def metric(self) -> str:
        """Name of the gain among the record's metrics."""
        return f"gain.{self.better}.over.{self.worse}"


@dataclass(frozen=True)
class Choice:
    """A comparison of arms: the claim, the arms, and what would confirm it."""

    claim: str
    arms: tuple[Arm, ...]
    gains: tuple[Gain, ...]
    settings: tuple[str, ...] = ()  # of all arms, the plain one too

    def tasks(self, config: Config, seeds: Sequence[int], results: Path, runs: Path) -> list[Task]:
        """All runs, seed by seed, so that a part of them is of use."""
        own = override(config, self.settings)
        return [
            Task(arm.name, arm.configured(own, seed), results, runs)
            for seed in seeds
            for arm in self.arms
        ]


_ALL = Arm(PLAIN)
CHOICES: dict[str, Choice] = {
    "O5": Choice(
        "Training every part in the omni stage beats freezing the encoders",
        (
            _ALL,
            Arm("frozen encoders", omni("train=connector,decoder")),
            Arm("frozen encoders and connectors", omni("train=decoder")),
            Arm("frozen decoder", omni("train=image,audio,connector")),
        ),
        (
            Gain(PLAIN, "frozen encoders", "all parameters beat frozen encoders"),
            Gain(PLAIN, "frozen decoder", "all parameters beat a frozen decoder"),
        ),
    ),
    "O6": Choice(
        "A mask that opens between modalities during the omni stage helps",
        (
            _ALL,
            Arm("opening text>image+audio", omni("interaction=text>image=0:1@0.5,text>audio=0:1@0.5")),
            Arm("opening audio>image", omni("interaction=audio>image=0:1@0.5")),
            Arm(
                "half all along",
                omni("interaction=text>image=0.5,text>audio=0.5,audio>image=0.5"),
            ),
            Arm("closing audio>image", omni("interaction=audio>image=1:0@0.5")),
        ),
        (
            Gain("opening text>image+audio", PLAIN, "an opening mask from text helps"),
            Gain("opening audio>image", PLAIN, "an opening mask between image and audio helps"),
        ),
    ),
    "O8": Choice(
        "Unimodal stages that train the encoder alone prepare the omni stage as well as others",
        (
            _ALL,
            *(
                Arm(
                    name,
                    tuple(
                        f"training.stages.{stage}.train={parts.format(stage=stage, sense=sense)}"
                        for stage, sense in (("vision", "image"), ("audio", "audio"))
                    ),
                )
                for name, parts in (
                    ("encoder only", "{sense}"),
                    ("connector only", "connector"),
                    ("encoder and connector", "{sense},connector"),
                )
            ),
        ),
        (
            Gain("encoder only", PLAIN, "the encoder alone is enough", bound=-0.02),
            Gain("connector only", "encoder only", "the connector alone is better (MiniCPM-o 4.5)"),
        ),
    ),
    "O9": Choice(
        "Starting from the unimodal stages beats starting from new weights",
        (
            _ALL,
            Arm("from scratch", scratch=True),
            Arm("from scratch, all steps in omni", omni("steps=1020"), scratch=True),
        ),
        (
            Gain(PLAIN, "from scratch", "at as many omni steps"),
            Gain(PLAIN, "from scratch, all steps in omni", "at as many steps in all"),
        ),
    ),
    "O10": Choice(
        "Omni training pays up to 1.2 times the unimodal stages, and less beyond",
        tuple(Arm(f"{m:g} x", omni(f"steps_multiple={m}")) for m in (0.3, 0.6, 1.2, 2.4)),
        (
            Gain("1.2 x", "0.6 x", "1.2 beats 0.6 by .01", bound=0.01),
            Gain("2.4 x", "1.2 x", "2.4 still beats 1.2 by .01", bound=0.01),
        ),
    ),
    "O11": Choice(
        "Alignment first and generation later beats both together",
        (
            _ALL,  # alignment fades while generation goes on
            Arm("no alignment", omni("align_weight=0")),
            Arm(
                "alignment first, cap .2",
                omni(
                    "phases=+align,+write", "phases.align.stream=0", "phases.align.caption=0",
                    "phases.align.cap=0.2", "phases.write.ramp=0.1",
                ),
            ),
            Arm(
                "alignment first, by competence",
                omni(
                    "phases=+align,+write", "phases.align.stream=0", "phases.align.caption=0",
                    "phases.align.until=align", "phases.align.below=2.7", "phases.align.cap=0.4",
                    "phases.write.ramp=0.1",
                ),
            ),
            Arm(
                "generation first",
                omni(
                    "align_fraction=1", "phases=+write,+align", "phases.write.align=0",
                    "phases.write.cap=0.5",
                ),
            ),
        ),
        (
            Gain(
                "alignment first, cap .2|alignment first, by competence", PLAIN,
                "alignment first beats both together",
            ),
            Gain(PLAIN, "no alignment", "alignment beats none"),
            Gain(
                "alignment first, cap .2|alignment first, by competence", "generation first",
                "alignment first beats generation first",
            ),
        ),
    ),
    "O16": Choice(
        "An omni rate of .6 to .8 of the unimodal one is best",
        tuple(
            Arm(PLAIN if r == 1 else f"{r:g} x", omni(f"lr_scale={r}"))
            for r in (0.3, 0.6, 0.7, 0.8, 1.0, 1.5)
        ),
        (Gain("0.6 x|0.7 x|0.8 x", f"0.3 x|{PLAIN}|1.5 x", ".6 to .8 beats all others"),),
    ),
    "O17": Choice(
        "Clipping by modality with thresholds renewed now and then beats other clipping",
        (
            _ALL,  # a fixed threshold for every part
            Arm("none", omni("clip.rule=none")),
            Arm("running, every 20", omni("clip.rule=running", "clip.every=20")),
            Arm("running, every step", omni("clip.rule=running", "clip.every=1")),
            Arm("by tensor", omni("clip.rule=tensor", "clip.factor=1.05")),
        ),
        (
            Gain("running, every 20", "none", "renewed thresholds beat no clipping"),
            Gain("running, every 20", PLAIN, "renewed thresholds beat a fixed one"),
        ),
    ),
    "O18": Choice(
        "Images : texts : sounds at 8 : 1 : 1 are the best mixture beside omni clips",
        (
            _ALL,  # omni clips alone
            *(
                Arm(
                    f"{ratio}, in {unit}",
                    omni(f"ratio_unit={unit}", f"sources=gallery.omni=10,{sources}"),
                )
                for ratio, sources in (
                    ("8 : 1 : 1", "gallery.image=8,gallery.text=1,gallery.audio=1"),
                    ("1 : 1 : 1", "gallery.image=3,gallery.text=3,gallery.audio=3"),
                    ("1 : 1 : 8", "gallery.image=1,gallery.text=1,gallery.audio=8"),
                )
                for unit in ("clips", "tokens")
            ),
        ),
        (
            Gain("8 : 1 : 1, in clips", "1 : 1 : 1, in clips", "8 : 1 : 1 beats 1 : 1 : 1, in clips"),
            Gain("8 : 1 : 1, in tokens", "1 : 1 : 1, in tokens", "and in tokens"),
            Gain("8 : 1 : 1, in clips|8 : 1 : 1, in tokens", PLAIN, "and omni clips alone"),
        ),
    ),
}  # fmt: skip


def carried_by(row: dict[str, Any], sense: str) -> list[str]:
    """Facts of a run that a sense carries alone; `both` has those that need image and audio."""
    carriers = ["image", "audio"] if sense == "both" else [sense]
    return [fact for fact, score in row["facts"].items() if score["carriers"] == carriers]


def scores(row: dict[str, Any]) -> dict[str, float]:
    """Scores of one run: mean accuracy and loss over facts, in all and by the sense that carries them."""
    facts = row["facts"]
    out = {f"accuracy.{fact}": score["accuracy"] for fact, score in facts.items()}
    groups = {"": list(facts)} | {f".{sense}": carried_by(row, sense) for sense in SENSES}
    for name, own in groups.items():
        for measure in ("accuracy", "loss"):
            values = [facts[fact][measure] for fact in own]
            key = f"mean.{measure}{name}"
            out[key] = sum(values) / max(1, len(values))
    return out | {"training_loss": row["final_loss"]}


def numbers(choice: Choice, rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Metrics of one seed, flat: scores of every arm, and the gains that are claimed."""
    scored = {arm: scores(row) for arm, row in rows.items()}
    out = {f"{arm}.{name}": value for arm, own in scored.items() for name, value in own.items()}
    for gain in choice.gains:
        best, other = (
            max(scored[arm]["mean.accuracy"] for arm in names.split("|"))
            for names in (gain.better, gain.worse)
        )
        out[gain.metric] = best - other
    if PLAIN in scored:
        plain = scored[PLAIN]["mean.accuracy"]
        for arm, own in scored.items():
            if arm != PLAIN:
                out[f"against_plain.{arm}"] = own["mean.accuracy"] - plain
    return out


def reproduce(
    name: str, config: Config, seeds: int, results: Path, runs: Path, quick: bool = False,
    jobs: int = 1,
) -> dict:  # fmt: skip
    """All arms of a comparison, once per seed, with its record and its picture."""
    from omni_lab.plots.training.arms import draw_arms

    choice, folder = CHOICES[name], results / f"{name}{'-quick' if quick else ''}"
    config = override(config, BASE + (QUICK if quick else ()))
    seeds = 1 if quick else seeds
    kept = folder if quick else results
    rows = run_all(choice.tasks(config, range(seeds), kept, runs), jobs)
    arms = len(choice.arms)
    # a row that another experiment needed too has the name that the arm has there
    by_seed = [
        dict(zip((arm.name for arm in choice.arms), rows[first : first + arms], strict=True))
        for first in range(0, len(rows), arms)
    ]
    flat = [numbers(choice, own) for own in by_seed]
    metrics = {metric: [one[metric] for one in flat] for metric in flat[0]}
    criteria = [
        Criterion(gain.metric, gain.bound, by_interval=True, claim=gain.claim)
        for gain in choice.gains
    ]
    details = {
        "arms": {arm.name: list(arm.settings) for arm in choice.arms},
        "curves": {
            arm.name: [
                {name: own[arm.name]["curves"][name] for name in ("step", "stream")}
                for own in by_seed
            ]
            for arm in choice.arms
        },
        "seconds": {arm.name: [own[arm.name]["seconds"] for own in by_seed] for arm in choice.arms},
    }
    call = f"omni-lab reproduce {name} --seeds {seeds}{' --quick' if quick else ''}"
    record = write_record(folder, choice.claim, call, range(seeds), metrics, criteria, details)

    keep_figure(results, folder.name, draw_arms(record).png)
    return record
