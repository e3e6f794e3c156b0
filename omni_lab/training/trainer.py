"""Trainer: a list of stages, resumable, the same under `python`, `torchrun`, `accelerate launch`.

An interrupted run goes on as if nothing had happened: a batch is a function of (seed, stage, step,
rank), so is what a step draws at random, and a checkpoint holds weights and optimizer state. A step
without a finite loss stops all processes before it moves a weight.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from omni_lab.config import Config, StageConfig, TrainingConfig
from omni_lab.data.batch import StageData, TrainingBatch
from omni_lab.data.sources import no_table, training_data
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import hash_of
from omni_lab.errors import UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import set_rope
from omni_lab.parallel.decoder_hook import register_context_parallel
from omni_lab.progress import Progress
from omni_lab.sequences.masking import Strength, strengths
from omni_lab.training import checkpoint
from omni_lab.training.faults.batch_file import StepInputs
from omni_lab.training.faults.disk import full_disk_told
from omni_lab.training.faults.watch import Watch
from omni_lab.training.interruption import interruption
from omni_lab.training.losses.groups import means_by_group, sums_by_group
from omni_lab.training.losses.objective import scalars, stage_objective, supervised
from omni_lab.training.models import new_model
from omni_lab.training.optimizers import build_optimizers
from omni_lab.training.processes import Processes
from omni_lab.training.rules.controls import Controls
from omni_lab.training.rules.schedules import contrastive_weight
from omni_lab.training.run import RunFolder
from omni_lab.training.selection.frozen import check_models
from omni_lab.triplets.record import Triplet


class Trainer:
    """Training of one model through a list of stages.

    Parameters
    ----------
    settings : optimizers, checkpoints, context parallelism
    model : what is trained, in place
    run : folder for metrics and checkpoints
    progress : show bars
    watch : called with the stage's name and the number of steps done, after each step
    """

    def __init__(
        self,
        settings: TrainingConfig,
        model: OmniModel,
        run: RunFolder,
        progress: bool = True,
        watch: Callable[[str, int], None] | None = None,
    ) -> None:
        self.settings, self.model, self.run, self.progress = settings, model, run, progress
        self.watch = watch
        self.processes = Processes(settings)
        self.accelerator = self.processes.accelerator
        self.guard = Watch(run, self.processes)
        if self.processes.collectives:
            register_context_parallel(model.decoder, settings.engine)

    def fit(self, stages: Sequence[StageData]) -> OmniModel:
        """Train all stages, one after the other, going on where the run folder stands.

        A folder that holds the checkpoint of another run's stage goes on from there: runs may
        have their beginning in common.

        Raises
        ------
        UsageError
            a stage's settings do not fit together, or the number of processes does not fit them
        InputError
            a checkpoint cannot be read or is of other settings, or the disk is full
        NonFiniteError
            a loss or gradient of a step is no finite number; its batch is kept, to be run again
        """
        with full_disk_told(self.run.checkpoints):
            return self._fit(stages)

    def _fit(self, stages: Sequence[StageData]) -> OmniModel:
        self._check(stages)
        names = tuple(data.settings.name for data in stages)
        found = checkpoint.latest(self.run.checkpoints, names)
        if self.processes.main:
            self.run.truncate_metrics(names, found and found[1])

        left = stages[names.index(found[1].stage) if found else 0 :]
        _check_references(left)
        for data in left:
            here = found if found and found[1].stage == data.settings.name else None
            self.run_stage(data, here)
            self.accelerator.wait_for_everyone()
        return self.accelerator.unwrap_model(self.model).eval()

    def run_stage(
        self, data: StageData, found: tuple[Path, checkpoint.Place] | None = None
    ) -> None:
        """Train one stage, from its first step or from a checkpoint within it."""
        stage = data.settings
        objective = stage_objective(self.model, self.settings, stage, self.processes)
        optimizers = build_optimizers(objective, self.settings, stage)
        controls = Controls(stage, self.settings, objective)
        first = found[1].step if found else 0
        if 0 < first < stage.steps:
            self.run.check_data(stage.name, data.fingerprint, data.fingerprint_parts)
        elif not found and self.processes.main:
            self.run.begin_stage(stage.name, data.fingerprint, data.fingerprint_parts)
        if found:
            unfinished = optimizers if first < stage.steps else []
            checkpoint.restore(found[0], self.model, unfinished, self.run.config)
            controls.load(checkpoint.controls(found[0]))
        if stage.rope_theta:
            set_rope(self.model.decoder, stage.rope_theta)
        data.enter(self.model)
        if first == stage.steps:
            return

        if objective.selection:
            objective.selection.open(self.model, hash_of(build_vocabulary(self.run.config)))
        if optimizers:  # else nothing trains, and nothing is to be prepared for it
            objective, *optimizers = self.accelerator.prepare(objective, *optimizers)
        self.model.train()
        shown = self.progress and self.processes.main
        bar = Progress(stage.steps, f"{stage.name:>6}", "step", first, shown)
        with interruption() as interrupted, bar:
            began = time.perf_counter()
            for step, batch in enumerate(data.batches(first, *self.processes.place), first):
                figures = self.train_step(objective, optimizers, batch, controls, step)
                ended = time.perf_counter()
                self._log(data, step, figures, ended - began, bar)
                if self.watch:
                    self.watch(stage.name, step + 1)
                began = time.perf_counter() if self.watch else ended
                stop = self.processes.any(interrupted[0])
                self._save(stage, step + 1, optimizers, controls, stop)
        self.accelerator.free_memory()

    def train_step(
        self,
        objective: nn.Module,
        optimizers: list,
        batch: TrainingBatch,
        controls: Controls,
        step: int,
    ) -> dict:
        """Forward, backward and update on one batch; what it gave, averaged over processes."""
        stage = controls.stage
        batch = batch.to(self.accelerator.device)
        strength = strengths(interactions(stage), step / stage.steps)
        if selection := self.accelerator.unwrap_model(objective).selection:
            batch = selection.prepare(batch, step, self.processes.place, strength)
        whole = batch
        if self.processes.collectives:
            batch = batch.sharded(self.processes.collectives, strength)
        factor = controls.set_rates(optimizers, step)

        counts = tuple(self.processes.mean(supervised(batch, selection)).tolist())
        weights, by_sense = controls.curriculum.weights(step), controls.balance.loss_weights()
        given = {"weights": weights, "counts": counts, "strength": strength, "by_sense": by_sense}
        seed = self.processes.seed(self.run.config.seed, stage.name, step)
        losses = objective(batch, **given)
        if optimizers:
            self.accelerator.backward(losses["loss"])
        clipped = controls.clip(objective, step)
        figures = self._averaged(batch, losses)
        inputs = StepInputs(stage, step, seed, whole, given)
        self.guard.check(inputs, objective, scalars(losses), figures, clipped["grad_norm"])

        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        figures |= {"lr": self.settings.muon_lr * stage.lr_scale * factor}
        return figures | controls.observe(figures, step) | clipped

    def _averaged(self, batch: TrainingBatch, losses: dict) -> dict:
        """Losses and tokens of a step over all processes."""
        named = scalars(losses) | losses["directions"]
        values = torch.stack([value.detach() for value in named.values()])
        tokens = torch.tensor([float(batch.tokens)], device=values.device)
        *means, tokens = self.processes.mean(torch.cat([values, tokens])).tolist()

        figures: dict = dict(zip(named, means, strict=True))
        directions = {name: figures.pop(name) for name in losses["directions"]}
        sums = self.processes.all(sums_by_group(batch, losses["tokens"], losses["kept"]))
        return {
            **figures,
            "tokens": round(tokens * self.accelerator.num_processes),
            **({"directions": directions} if directions else {}),
            **means_by_group(sums),
        }

    def _log(
        self, data: StageData, step: int, figures: dict, seconds: float, bar: Progress
    ) -> None:
        if not self.processes.main:
            return
        lesson = {"data": name} if (name := data.lesson(step)) else {}
        place = {"stage": data.settings.name, "step": step, **lesson}
        self.run.log({**place, **figures, "seconds": seconds})
        parts = {
            name: f"{figures[name]:.3f}"
            for name in ("loss", "caption", "align")
            if figures.get(name)
        }
        bar.update(**parts, **{"tokens/s": f"{figures['tokens'] / seconds:,.0f}"})

    def _save(
        self, stage: StageConfig, done: int, optimizers: list, controls: Controls, stop: bool
    ) -> None:
        """Checkpoint where one is due; KeyboardInterrupt where a stop was asked for."""
        due = done in (stage.steps, *stage.milestones)
        due = due or done % self.settings.checkpoint_every == 0
        if self.processes.main and (stop or due):
            place = checkpoint.Place(stage.name, done)
            self.run.flush()  # before a checkpoint says that their steps are done
            checkpoint.save(
                self.run.checkpoints, place, self.model, optimizers, controls.state,
                self.run.config,
            )  # fmt: skip
        if stop and done < stage.steps:
            raise KeyboardInterrupt

    def _check(self, stages: Sequence[StageData]) -> None:
        """Refuse what could fail after an hour: wrong interactions, alignment on sharded rows."""
        for data in stages:
            stage = data.settings
            interactions(stage)
            if self.processes.collectives and contrastive_weight(0, stage) > 0:
                size = self.settings.context_parallel
                message = (
                    f"a rank has no whole moments to align; set align_fraction=0 of {stage.name}"
                )
                raise UsageError(f"training.context_parallel={size}: {message}")


def _check_references(stages: Sequence[StageData]) -> None:
    """Refuse references of later stages that are not there, or whose table is of others."""
    for data in stages:
        stage = data.settings
        if stage.selection.rule != "none":
            check_models(stage)
            if stage.selection.table and not data.known:
                raise no_table(stage)


@functools.cache
def interactions(stage: StageConfig) -> tuple[Strength, ...]:
    """Strengths of attention between modalities over a stage.

    Raises
    ------
    UsageError
        one is not written as a strength is
    """
    return tuple(Strength.read(text) for text in stage.interaction)


def train(
    config: Config, run: RunFolder, films: list[Triplet] | None = None, progress: bool = True
) -> OmniModel:
    """Train the stages of `config.training` on their sources; see `train_stages`.

    Parameters
    ----------
    films : clips read back from shards, mixed into the gallery's omni lessons
    """
    stages = [training_data(config, stage, films) for stage in config.training.stages]
    return train_stages(config, run, stages, progress)


def train_stages(
    config: Config, run: RunFolder, stages: Sequence[StageData], progress: bool = True
) -> OmniModel:
    """Train a new model through stages, or go on where the run folder stands; the trained model."""
    return Trainer(config.training, new_model(config), run, progress).fit(stages)
