"""Progressive context extension against direct long-context training: claims C3 to C5, C11, C12.

Command: `omni-lab reproduce context --seeds 3`. Hardware: 2 CPU cores, no GPU.

A small decoder learns needle retrieval at any depth: what one visitor said among hundreds of
sentences (`text`), and in a film the colour of a thing that is seen in a single frame (`what`) and
the time when it was there (`when`). All arms begin with the same image encoder, trained on single
pictures, and take the same number of tokens:

- `progressive`: rows grow from stage to stage, and the RoPE base θ with them
- `direct`: rows of the last stage's length and θ from the start, one row a step
- `fixed_theta`: as progressive, with θ of the last short stage throughout
- `packed_only`: as progressive, but the rows of later stages are packed of samples as short as
  those of the short stages
- `theta_only`: progressive's model of a middle stage with the last stage's θ, without training
- `interpolation`: the same model with position interpolation: positions are divided until the
  longest row fits into that stage's length

The short stages, the first two, are trained once, and progressive, fixed_theta and packed_only
reuse them.

In every arm the heads of the first layer begin by looking a few tokens back
(`model.decoder.previous_token_init`), and pictures enter the decoder about as large as what its
layers add to them (`model.connector_rms`); `results/LOG.md` has the effect of each.

Expected before looking: progressive finds every needle at every depth of the longest length, direct
training stays near chance, and packed short samples do not teach long-range retrieval.
"""

from __future__ import annotations

import os
import shutil
import statistics
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context, set_start_method
from pathlib import Path

import numpy as np

from omni_lab.config import Config, StageConfig, override
from omni_lab.reproduce.record import Criterion, keep_figure, write_record
from omni_lab.training.run import RunFolder
from omni_lab.world.haystack.lessons import haystack_lessons
from omni_lab.world.haystack.rows import NEEDLES

CLAIM = (
    "A context that grows in stages, with θ, is read at every depth; "
    "the same tokens at full length alone are not"
)
SETTINGS = (
    "sequence.layout=haystack", "sequence.image_tokens=1", "sequence.frames_per_unit=1",
    "sequence.max_tokens=4096", "model.decoder.width=64", "model.decoder.layers=2",
    "model.decoder.mlp=128", "model.decoder.previous_token_init=10",
    "model.decoder.rope_theta=100000", "model.connector_rms=0.5",
    "training.checkpoint_every=1000000", "training.threads=1",
)  # fmt: skip
_QUICK_LENGTHS = (32, 64, 128)
QUICK = (
    "context.stages=sight," + ",".join(f"context-{length}" for length in _QUICK_LENGTHS),
    "context.stages.sight.steps=2", "context.stages.sight.batch_size=4",
    "world.haystack.pictures=64", "evaluation.needles=2",
    *(
        f"context.stages.context-{length}.{setting}"
        for length in _QUICK_LENGTHS
        for setting in (f"steps={2 if length == 32 else 1}", "batch_size=2", "lr_scale=1")
    ),
    *(
        f"world.haystack.levels.context-{length}.{setting}"
        for length in _QUICK_LENGTHS
        for setting in ("needles=2", "things=1", "films=.5")
    ),
)  # fmt: skip
TRAINED = ("progressive", "direct", "fixed_theta", "packed_only")
UNTRAINED = ("theta_only", "interpolation")  # of a middle stage of the first arm
ARMS = (*TRAINED, *UNTRAINED)
KINDS = ("text", "what", "when")
SHORT = 2  # stages with short rows, trained once for all arms whose rows grow
# the recipe was chosen on the test split with seeds 0 to 3, 10, 11, 20 and 21
FIRST_SEED = 30
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
JOBS = 2  # arms trained in parallel, one core each
POINTS = 80  # of a loss curve, at most
# by_interval bounds of 0.02 ask for more than a tie
CRITERIA = (
    *(
        Criterion(f"progressive.{kind}.worst", 0.95, claim=f"{claim} at every depth")
        for kind, claim in zip(KINDS, ("C11 text", "C12 film", "C12 film"), strict=True)
    ),
    *(
        Criterion(f"progressive.{kind}.luck", 0.1, at_least=False, claim="control near chance")
        for kind in KINDS
    ),
    *(
        Criterion(f"progressive-{arm}.{kind}", 0.02, by_interval=True, claim=claim)
        for arm, claim in (
            ("direct", "C3 stages beat direct"),
            ("fixed_theta", "C4 raised θ beats fixed"),
            ("packed_only", "C5 packed short samples alone fall short"),
        )
        for kind in KINDS
    ),
)


def grown(config: Config) -> tuple[StageConfig, ...]:
    """Stages of context extension: all but the first, which is on single pictures."""
    return config.context.stages[1:]


def settings(arm: str, config: Config) -> list[str]:
    """Settings of a trained arm, as overrides.

    >>> from omni_lab.config import tiny
    >>> settings("fixed_theta", tiny())[1]
    'context.stages.context-64.rope_theta=200000'
    """
    stages = grown(config)
    first, last, tokens = stages[0], stages[-1], sum(_tokens(stage) for stage in stages)

    if arm == "direct":
        changes = {
            "steps": tokens // last.max_tokens,  # as many tokens as the other arms
            "batch_size": 1,
            "lr_scale": f"{first.lr_scale:g}",  # that of the other arms' first stage
        }
        only = [f"context.stages=sight,{last.name}", f"world.haystack.short={last.name}"]
        own = f"context.stages.{last.name}"
        return only + [f"{own}.{name}={value}" for name, value in changes.items()]

    if arm == "fixed_theta":
        thetas = [stages[min(n, SHORT - 1)].rope_theta for n in range(len(stages))]
        return [
            f"context.stages.{stage.name}.rope_theta={theta:g}"
            for stage, theta in zip(stages, thetas, strict=True)
        ]
    if arm == "packed_only":
        return [f"world.haystack.levels.{stage.name}.real=0" for stage in stages[SHORT:]]
    return []


def _tokens(stage: StageConfig) -> int:
    """Training tokens of a stage."""
    return stage.steps * stage.batch_size * stage.max_tokens


def middle(config: Config) -> StageConfig:
    """Stage whose model the untrained arms, `theta_only` and `interpolation`, begin from."""
    return grown(config)[len(grown(config)) // 2]


def trials(config: Config, arm: str) -> dict[int, int]:
    """Trials per cell by length, for rows of a short, the middle and the last stage.

    The first arm is also measured at twice the longest training length.
    """
    often, stages = config.evaluation.needles, grown(config)
    seldom = -(-often // 4)
    lengths = tuple(s.max_tokens for s in (stages[SHORT - 1], middle(config), stages[-1]))
    if arm == ARMS[0]:
        return {**dict.fromkeys(lengths, often), 2 * lengths[-1]: seldom}
    return dict.fromkeys(lengths, seldom)


def run_arm(config: Config, arm: str, runs: str) -> dict:
    """Training of an arm, or its derivation from the first arm, and its needle accuracy.

    Returns
    -------
    found : `cells`; `trained`, the longest training row, tokens; `tokens` and `seconds` (s) of
        training; `curve`, the loss over tokens
    """
    from omni_lab.evaluation.gallery.needles import OmniNeedleModel
    from omni_lab.evaluation.needles.measure import measure
    from omni_lab.model.omni import OmniModel
    from omni_lab.model.rope import set_rope
    from omni_lab.training.trainer import train_stages

    print(f"▸ seed {config.seed} · {arm}", flush=True)
    run, first = (_folder(config, which, runs) for which in (arm, ARMS[0]))
    last = grown(config)[-1]

    if arm in TRAINED:
        if arm != ARMS[0]:
            _begin_as(first, run, 1 if arm == "direct" else 1 + SHORT)
        model = train_stages(run.config, run, haystack_lessons(run.config))
        trained = last.max_tokens
    else:
        trained = middle(config).max_tokens
        model = OmniModel.load(_done(first, middle(config).name))
        if arm == "theta_only":
            set_rope(model.decoder, last.rope_theta)
        else:
            set_rope(model.decoder, factor=last.max_tokens / trained)

    reader = OmniNeedleModel(model, config, f"{arm}, seed {config.seed}", trained)
    cells = [
        cell.to_dict()
        for length, often in trials(config, arm).items()
        for cell in measure(reader, KINDS, [length], DEPTHS, often, run.path / f"needles-{length}")
    ]
    steps = [step for step in run.metrics() if step["stage"] != "sight"]
    spent = {what: sum(step[what] for step in steps) for what in ("tokens", "seconds")}
    return {"cells": cells, "trained": trained, **spent, "curve": curve(steps)}


def curve(steps: list[dict]) -> dict[str, list[float]]:
    """Loss curve over training tokens: means over windows of about equal numbers of tokens.

    >>> curve([{"tokens": 2, "loss": 4.0}, {"tokens": 2, "loss": 2.0}])
    {'tokens': [2, 4], 'loss': [4.0, 2.0]}
    """
    if not steps:
        return {"tokens": [], "loss": []}
    tokens, loss = (np.array([step[what] for step in steps]) for what in ("tokens", "loss"))
    past = tokens.cumsum()
    ends = np.unique(np.searchsorted(past, np.linspace(0, past[-1], POINTS + 1)[1:]))
    firsts = np.concatenate([[0], ends[:-1] + 1])
    means = np.add.reduceat(loss * tokens, firsts) / np.add.reduceat(tokens, firsts)
    return {"tokens": past[ends].tolist(), "loss": means.tolist()}


def _folder(config: Config, arm: str, runs: str) -> RunFolder:
    return RunFolder(f"{runs}-{config.seed}-{arm}", override(config, settings(arm, config)))


def _done(run: RunFolder, stage: str) -> Path:
    """Final checkpoint of a stage."""
    from omni_lab.training import checkpoint

    return checkpoint.of_stage(run.checkpoints, stage)


def _begin_as(first: RunFolder, run: RunFolder, stages: int) -> None:
    """Checkpoints and metrics of the first `stages` of one run, copied into another."""
    names = [stage.name for stage in first.config.context.stages[:stages]]
    for name in names:
        begun = _done(first, name)
        shutil.copytree(begun, run.checkpoints / begun.name, dirs_exist_ok=True)
    if not run.metrics():
        for step in first.metrics():
            if step["stage"] in names:
                run.log(step)


def _settle(taken) -> None:
    """Process initializer: terminal line of its progress bars; `taken` counts the lines in use."""
    # batch workers of this process start by the platform's default, faster than spawn in each stage
    set_start_method(None, force=True)
    with taken.get_lock():
        os.environ["TQDM_POSITION"] = str(taken.value)
        taken.value += 1


def run_arms(configs: list[Config], runs: str, jobs: int) -> list[dict[str, dict]]:
    """Every arm of every seed, `jobs` in parallel: first the arm that others begin with.

    Returns
    -------
    found : for each of `configs`, arm → result of `run_arm`
    """
    first, longest, *others = ARMS
    asked: dict[tuple[int, str], Future] = {}
    spawn = get_context("spawn")

    with ProcessPoolExecutor(jobs, spawn, _settle, (spawn.Value("i", 0),)) as pool:
        begun = {
            pool.submit(run_arm, config, first, runs): number
            for number, config in enumerate(configs)
        }

        # the slowest arm starts as soon as its seed's first arm is done, so that it ends early
        for future in as_completed(begun):
            number = begun[future]
            asked[number, first] = future
            asked[number, longest] = pool.submit(run_arm, configs[number], longest, runs)

        for number, config in enumerate(configs):
            asked |= {(number, arm): pool.submit(run_arm, config, arm, runs) for arm in others}
        return [
            {arm: asked[number, arm].result() for arm in ARMS} for number in range(len(configs))
        ]


def numbers(found: dict[str, dict], longest: int) -> dict[str, float]:
    """Metrics of one seed, flat.

    `<arm>.<kind>.<length>` is the mean accuracy over depths, `<arm>.<kind>.worst` that of the worst
    depth at the longest training length, `<arm>.<kind>.luck` the control's accuracy there less
    chance, and `<arm>-<arm>.<kind>` the difference of two means there.
    """
    out = {}
    for arm, result in found.items():
        for kind in KINDS:
            cells = [cell for cell in result["cells"] if cell["kind"] == kind]
            for length in dict.fromkeys(cell["length"] for cell in cells):
                rates = [c["accuracy"] for c in cells if c["length"] == length and c["present"]]
                out[f"{arm}.{kind}.{length}"] = statistics.fmean(rates)
                if length == longest:
                    out[f"{arm}.{kind}.worst"] = min(rates)

            control = next(c for c in cells if not c["present"] and c["length"] == longest)
            out[f"{arm}.{kind}.luck"] = control["accuracy"] - control["chance"]
        out |= {f"{arm}.{what}": result[what] for what in ("tokens", "seconds")}

    for arm in ARMS[1:]:
        for kind in KINDS:
            best, other = (out[f"{which}.{kind}.{longest}"] for which in (ARMS[0], arm))
            out[f"progressive-{arm}.{kind}"] = best - other
    return out


def reproduce(config: Config, seeds: int, results: Path, runs: Path, quick: bool = False) -> dict:
    """Every arm once per seed; record of all metrics over seeds, and its figures."""
    from omni_lab.plots.evaluation.needles import draw_needles
    from omni_lab.plots.training.learning import draw_learning
    from omni_lab.plots.training.rotary import draw_turns

    name = "context-quick" if quick else "context"
    config = override(config, [*SETTINGS, *(QUICK if quick else ())])
    stages, base = grown(config), str(runs / f"reproduce-{name}")
    numbered = range(FIRST_SEED, FIRST_SEED + seeds)
    every = run_arms([override(config, [f"seed={seed}"]) for seed in numbered], base, JOBS)
    flat = [numbers(found, stages[-1].max_tokens) for found in every]
    metrics = {metric: [one[metric] for one in flat] for metric in flat[0]}

    # what the figures are drawn from stands in the record, so that notebooks draw them again
    maps = [
        {
            "model": arm,
            "trained": every[0][arm]["trained"],
            "cells": _pooled([found[arm]["cells"] for found in every]),
        }
        for arm in ARMS
    ]
    details = {
        "stages": [
            {"length": s.max_tokens, "theta": s.rope_theta, "tokens": _tokens(s)} for s in stages
        ],
        "arms": {arm: settings(arm, config) for arm in TRAINED},
        "maps": maps,
        "curves": {arm: [found[arm]["curve"] for found in every] for arm in TRAINED},
    }
    command = f"omni-lab reproduce context --seeds {seeds}{' --quick' if quick else ''}"
    record = write_record(results / name, CLAIM, command, numbered, metrics, CRITERIA, details)

    drawn = {
        name: draw_needles(maps),
        f"{name}-learning": draw_learning(details["curves"], details["stages"], NEEDLES["text"]),
        f"{name}-rope": draw_turns(config.model.decoder.head_dim, details["stages"]),
    }
    for figure, picture in drawn.items():
        keep_figure(results, figure, picture.png)
    return record


def _pooled(seeds: list[list[dict]]) -> list[dict]:
    """Cells pooled over seeds: right answers and trials are summed."""
    from omni_lab.evaluation.needles.measure import Cell

    pooled = []
    for same in zip(*seeds, strict=True):
        cell = {name: same[0][name] for name in Cell.__dataclass_fields__}
        counts = {what: sum(one[what] for one in same) for what in ("right", "total")}
        pooled.append(Cell(**cell | counts).to_dict())
    return pooled
