"""The loop: one for every stage, the same under `python` and under `torchrun`.

An interrupted run goes on as if nothing had happened: batches are a function of (seed, stage, step), and a checkpoint
holds weights and optimizer state.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
import torch.distributed as dist
from tqdm import tqdm

from omni_lab.config import Config, StageConfig, TrainingConfig
from omni_lab.data.batch import TrainingBatch
from omni_lab.data.sources import GALLERY_STAGES, lessons
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import set_rope
from omni_lab.parallel.collectives import Collectives
from omni_lab.parallel.decoder_hook import register_context_parallel
from omni_lab.sequences.masking import Strength, strengths
from omni_lab.training import checkpoint
from omni_lab.training.objective import Objective, supervised
from omni_lab.training.optimizers import build_optimizers, choose_trained, clip_per_part
from omni_lab.training.run import RunFolder
from omni_lab.training.schedules import alignment_weight, learning_rate_factor
from omni_lab.triplets.record import Triplet


@contextmanager
def _interruption() -> Iterator[list[bool]]:
    """Turn Ctrl-C into a flag, so that a step is finished and saved before the program ends."""
    asked = [False]
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread may set handlers
        yield asked
        return

    def note(*_) -> None:
        asked[0] = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _ring(accelerator, training: TrainingConfig) -> Collectives | None:
    """The ring of processes that share rows, where they do: neighbours by number."""
    ranks, size = accelerator.num_processes, training.ring
    if ranks % size:
        raise UsageError(
            f"training.ring={size}: {ranks} processes do not divide into rings of {size}"
        )
    if size == 1:
        return None
    groups = [dist.new_group(list(range(first, first + size))) for first in range(0, ranks, size)]
    return Collectives(groups[accelerator.process_index // size], training.timeout_s)


def _set_rates(optimizers: list, share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * share


@runtime_checkable
class Stage(Protocol):
    """What the loop asks of a stage: its name, its settings and what it learns from.

    A stage may have a `rope_theta`, which the model's rotary positions are set to, and a method `enter(model)`, which
    lets it see what the model makes of its data, whenever it begins, goes on or is found done.
    """

    stage: str
    settings: StageConfig

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Batches of this process from step `first` to the stage's end, a function of (seed, stage, step, rank)."""


def _enter(learned: Stage, model: OmniModel) -> None:
    if theta := getattr(learned, "rope_theta", None):
        set_rope(model.decoder, theta)
    if enter := getattr(learned, "enter", None):
        enter(model)


def _stage(
    accelerator,
    collectives: Collectives | None,
    model: OmniModel,
    learned: Stage,
    interaction: list[Strength],
    run: RunFolder,
    found,
    progress: bool,
) -> None:
    """Train one stage, from its start or from the checkpoint found in it; `exchange` is the ring that shares rows."""
    config, stage, settings = run.config, learned.stage, learned.settings
    objective = Objective(model, settings.caption_weight, config.training.align_units)
    choose_trained(objective, settings.train)
    optimizers = build_optimizers(objective, config.training, settings)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    first = 0
    if found and found[1].stage == stage:
        checkpoint.restore(found[0], model, optimizers)
        first = found[1].step
    _enter(learned, model)
    prepared, *optimizers = accelerator.prepare(objective, *optimizers)
    model.train()
    ranks, rank, main = (
        accelerator.num_processes,
        accelerator.process_index,
        accelerator.is_main_process,
    )
    rows = (
        rank // config.training.ring,
        ranks // config.training.ring,
    )  # whose rows these are, of how many rings
    bar = tqdm(
        total=settings.steps,
        initial=first,
        desc=f"{stage:>6}",
        unit="step",
        disable=not (progress and main),
    )
    started = time.perf_counter()
    with _interruption() as interrupted, bar:
        for step, batch in enumerate(learned.batches(first, *rows), first):
            batch = batch.to(accelerator.device)
            strength = strengths(interaction, step / settings.steps)
            if collectives:
                batch = batch.shared(collectives, strength)
            counts = accelerator.reduce(supervised(batch).to(accelerator.device), "mean").tolist()
            share = learning_rate_factor(step, settings, config.training.warmup_steps)
            _set_rates(optimizers, share)
            losses = prepared(batch, alignment_weight(step, settings), tuple(counts), strength)
            accelerator.backward(losses["loss"])
            norms = clip_per_part(objective, config.training.grad_clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            figures = [
                *(v.detach() for v in losses.values()),
                torch.tensor(float(batch.tokens), device=accelerator.device),
            ]
            *values, tokens = accelerator.reduce(torch.stack(figures), "mean").tolist()
            if main:
                now = time.perf_counter()
                run.log(
                    {
                        "stage": stage, "step": step, **dict(zip(losses, values, strict=True)),
                        "lr": config.training.muon_lr * settings.lr_scale * share,
                        "tokens": round(tokens * ranks), "seconds": now - started, "grad_norm": norms,
                    }
                )  # fmt: skip
                started = now
                bar.set_postfix(loss=f"{values[0]:.3f}")
            bar.update()
            done = step + 1
            stop = (
                accelerator.reduce(
                    torch.tensor(float(interrupted[0]), device=accelerator.device), "sum"
                ).item()
                > 0
            )
            if main and (
                stop or done == settings.steps or done % config.training.checkpoint_every == 0
            ):
                checkpoint.save(run.checkpoints, checkpoint.Place(stage, done), model, optimizers)
            if stop and done < settings.steps:
                raise KeyboardInterrupt
    accelerator.free_memory()


def train(
    config: Config, run: RunFolder, films: list[Triplet] | None = None, progress: bool = True
) -> OmniModel:
    """Train the stages of `config` on the world, going on where the run folder stands, and return the model.

    `films` are clips read back from shards, mixed into the omni stage.
    """
    return train_stages(config, run, lessons(config, films), progress)


def train_stages(
    config: Config, run: RunFolder, stages: Sequence[Stage], progress: bool = True
) -> OmniModel:
    """Train one stage after the other, going on where the run folder stands, and return the model.

    A run folder that holds the checkpoint of another run's stage goes on from there: runs may share their beginning.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    unused = DistributedDataParallelKwargs(
        find_unused_parameters=True
    )  # a stage leaves one sense out
    accelerator = Accelerator(mixed_precision=config.training.precision, kwargs_handlers=[unused])
    # of all stages at once: what cannot be is said now, not after an hour
    interactions = [
        [Strength.read(text) for text in learned.settings.interaction] for learned in stages
    ]
    collectives = _ring(accelerator, config.training)
    if collectives and (
        aligned := [part.stage for part in stages if alignment_weight(0, part.settings) > 0]
    ):
        message = f"training.ring={config.training.ring}: a rank has no whole moments to align; set training."
        raise UsageError(f"{message}{aligned[0]}.align=0")
    torch.manual_seed(config.seed)
    model = OmniModel.build(config, len(build_vocabulary(config)))
    if collectives:
        register_context_parallel(model.decoder, config.training.engine)
    names = tuple(learned.stage for learned in stages)
    found = checkpoint.latest(run.checkpoints, names)
    if found and accelerator.is_main_process:
        run.truncate_metrics(names, found[1].stage, found[1].step)
    elif accelerator.is_main_process:
        (run.path / "metrics.jsonl").unlink(missing_ok=True)
    for index, learned in enumerate(stages):
        if found and index < names.index(found[1].stage):
            continue
        if found and found[1] == checkpoint.Place(learned.stage, learned.settings.steps):
            checkpoint.restore(found[0], model, [])
            _enter(learned, model)
            continue
        _stage(accelerator, collectives, model, learned, interactions[index], run, found, progress)
        accelerator.wait_for_everyone()
    return accelerator.unwrap_model(model).eval()


def trained(folder: Path | str, stages: tuple[str, ...] = GALLERY_STAGES) -> OmniModel:
    """The model of a run folder's furthest checkpoint, of a run of those stages."""
    from omni_lab.errors import InputError

    found = checkpoint.latest(Path(folder) / "checkpoints", stages)
    if not found:
        raise InputError(f"{folder}: no checkpoint in it yet; train one with `omni-lab demo`")
    return OmniModel.load(found[0])
