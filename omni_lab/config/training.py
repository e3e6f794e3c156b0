"""Settings of training: stages, optimizers, context extension."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni_lab.config.types import Count, Engine, Fraction, Natural, NonNegative, Positive, Precision

# fmt: off


@dataclass(frozen=True)
class StageConfig:
    """One stage of training: what trains, for how long, how fast."""

    steps: Natural = 400  # optimizer steps
    batch: Count = 24  # samples per step, over all processes
    units: Count = 1  # seconds of film in one sample
    train: tuple[str, ...] = ("image", "connector", "decoder")  # parts whose weights move
    lr_scale: Positive = 1.0  # multiplies both learning rates
    decay: Fraction = 0.35  # share of the stage, at its end, over which the learning rate falls
    caption_weight: NonNegative = 1.0  # weight of captions in the loss, beside answers at 1
    find: Fraction = 0.0  # share of the stage with what is found sooner: captions that look words up, short albums
    align_weight: NonNegative = 0.0  # weight of the alignment loss (InfoNCE) at the stage's first step
    align: Fraction = 0.0  # share of the stage over which it falls to zero: alignment first, generation later
    interaction: tuple[str, ...] = ()  # how strongly modalities attend, such as text>audio=0.5 or text>audio=0:1@0.3


@dataclass(frozen=True)
class TrainingConfig:
    """Three stages, one for albums beside them, one optimizer, one loop."""

    vision: StageConfig = field(default_factory=lambda: StageConfig(steps=560, decay=0.4, find=0.5))
    audio: StageConfig = field(
        default_factory=lambda: StageConfig(steps=180, train=("audio", "connector", "decoder"), lr_scale=0.3),
    )
    omni: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=410, batch=16, units=8, train=("image", "audio", "connector", "decoder"),
            decay=0.8, caption_weight=0.5, align_weight=0.3, align=1.0,
        )
    )  # fmt: skip
    albums: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=1200, batch=12, train=("connector", "decoder"), lr_scale=0.4, decay=0.4, find=0.35
        )
    )
    muon_lr: Positive = 4e-3  # matrices (Muon)
    adamw_lr: Positive = 3e-3  # everything else (AdamW)
    weight_decay: NonNegative = 0.0  # decoupled, on matrices
    warmup_steps: Natural = 20  # steps over which the learning rates rise from zero
    align_units: Count = 2  # units whose image, audio and text alignment calls one moment
    grad_clip: Positive = 1.0  # per modality's part of the model
    checkpoint_every: Count = 100  # steps
    precision: Precision = "no"  # accelerate's mixed precision: no, bf16, fp16
    threads: Natural = 0  # torch threads per process; 0 leaves torch's choice
    ring: Count = 1  # processes that share the tokens of one row; 1 gives every process rows of its own
    engine: Engine = "auto"  # how they attend: auto, reference (the ring), ulysses, allgather or torch
    timeout_s: Positive = 300.0  # a process that the others of its ring wait for so long is lost, and ends them


@dataclass(frozen=True)
class ContextConfig:
    """Growing the context: stages, each longer than the one before, that learn to find needles in texts and films."""

    sight: StageConfig = field(default_factory=lambda: StageConfig(steps=200, batch=64, decay=0.4))  # before all others
    pictures: Count = 4096  # in the bank that a stage's films are put together from
    lengths: tuple[Count, ...] = (32, 64, 128, 256, 512, 1024, 2048)  # of every stage's rows, tokens
    thetas: tuple[Positive, ...] = (1e5, 2e5, 4e5, 8e5, 1.6e6, 3.2e6, 6.4e6)  # rotary base of a stage
    tokens: tuple[Count, ...] = (400_000, 1_000_000, 200_000, 300_000, 200_000, 500_000, 900_000)  # a stage learns from
    rows: tuple[Count, ...] = (32, 32, 16, 16, 8, 8, 4)  # per step, over all processes
    real: tuple[Fraction, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # of rows that are one sample, not packed
    short: Natural = 1  # the stage, counted from 0, whose samples packed rows are made of
    needles: tuple[Count, ...] = (3, 6, 8, 12, 16, 16, 16)  # asked about in one text, at most 23 of the 24 visitors
    things: tuple[Count, ...] = (1, 4, 4, 4, 6, 6, 6)  # the most asked about in one film, at most 7 of the 8 shapes
    films: tuple[Fraction, ...] = (0.3, 0.8, 0.6, 0.6, 0.5, 0.5, 0.5)  # share of samples that are films, not texts
    lr_scales: tuple[Positive, ...] = (1.0, 1.0, 1.0, 0.7, 0.5, 0.4, 0.3)  # multiplies both learning rates
    mark: Count = 2  # frames of a film that one time mark is for; it stands before them
    others: Fraction = 0.3  # share of a text's sentences that are said by visitors who are not asked about
    decay: Fraction = 0.5  # share of the last stage, at its end, over which the learning rate falls

# fmt: on
