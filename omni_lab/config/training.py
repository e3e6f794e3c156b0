"""Settings of training: stages as data, optimizers, checkpoints, context parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from omni_lab.config.types import (
    BalanceRule,
    ClipRule,
    Count,
    DecayShape,
    End,
    Engine,
    Fraction,
    Natural,
    NonNegative,
    Optimizer,
    Positive,
    Precision,
    ProperFraction,
    RatioUnit,
    Schedule,
    SelectionRule,
    SelectionScope,
    StageLayout,
)
from omni_lab.errors import ConfigError


@dataclass(frozen=True)
class PhaseConfig:
    """Phase of a stage's curriculum: weights of its losses, and the competence that ends it."""

    name: str = ""  # names the phase in settings and metrics
    stream: NonNegative = 1.0  # multiplies the loss on answers in streams
    caption: NonNegative = 1.0  # multiplies caption_weight
    align: NonNegative = 1.0  # multiplies the weight of the contrastive loss
    ramp: Fraction = 0.0  # of the stage, over which weights change from those of the phase before
    until: str = ""  # the loss that ends the phase, as metrics name it: align, facts.word
    below: NonNegative = 0.0  # nats: its running mean ends the phase there
    cap: Fraction = 1.0  # of the stage, at which the phase ends at the latest


@dataclass(frozen=True)
class BalanceConfig:
    """Balance of how fast modalities converge: a rule, and how strongly it acts."""

    rule: BalanceRule = "none"  # rates, weights: more for a slow one; ogm: less for a fast one
    strength: NonNegative = 1.0  # exponent of relative loss progress; slope of ogm
    every: Count = 10  # steps from one adjustment to the next
    most: Positive = 4.0  # largest factor; its reciprocal is the smallest
    noise: NonNegative = 0.0  # added to modulated gradients, in their own deviations (OGM-GE: 1)


@dataclass(frozen=True)
class ClipConfig:
    """Gradient clipping: where thresholds come from, and how often they are renewed."""

    rule: ClipRule = "fixed"  # fixed (training.grad_clip), running norms by part, tensor, or none
    every: Count = 2000  # steps after which running thresholds are renewed
    factor: Positive = 1.5  # of the running norm: the threshold (AdaGC, by tensor: 1.05)


@dataclass(frozen=True)
class SelectionConfig:
    """Selective training: the score of a text token, and the fraction of tokens with a loss."""

    rule: SelectionRule = "none"  # the score; excess is loss − λ · reference loss (SVLM, Rho-1)
    keep: ProperFraction = 0.6  # of the text tokens that have a score
    scope: SelectionScope = "batch"  # where the fraction is taken: sequence, batch, global
    end: End = "highest"  # scores that are kept
    weight: NonNegative = 1.0  # λ, of the reference loss in excess
    first: Natural = 0  # steps in which every token counts
    reference: str = ""  # run folder, or LoRA adapter, of a model trained on clean data
    base: str = ""  # run folder of the trainee's earlier weights (static, history)
    prior: str = ""  # run folder of a model that never saw pictures (prior)
    table: str = ""  # folder of their losses (`omni-lab svlm table`); empty computes them each step


@dataclass(frozen=True)
class StageConfig:
    """One stage of training: which sources teach which parts, for how long, how fast."""

    name: str = "omni"  # names the stage in settings, logs and checkpoints
    sources: tuple[str, ...] = ("gallery",)  # by name, with a ratio where several: shards=3,text=1
    ratio_unit: RatioUnit = "clips"  # what the ratio between sources counts: clips or tokens
    train: tuple[str, ...] = ("image", "connector", "decoder")  # parts whose weights move
    steps: Natural = 400  # optimizer steps
    batch_size: Count = 24  # rows per step, over all processes
    seconds: Count = 1  # of film in one sample
    layout: StageLayout = "same"  # sequence format; same is sequence.layout
    packed: bool = False  # several documents in one row, by best fit
    max_tokens: Natural = 0  # of a row; 0 is sequence.max_tokens
    rope_theta: NonNegative = 0.0  # RoPE base that the decoder is set to; 0 leaves it
    steps_multiple: NonNegative = 0.0  # of the steps of all stages before; 0 takes steps
    lr_scale: NonNegative = 1.0  # multiplies both learning rates; 0 moves nothing
    rates: tuple[str, ...] = ()  # learning rates of parts beside others: image=0.5,connector=2
    optimizer: Optimizer = "muon"  # muon (matrices; AdamW for the rest) or adamw alone
    schedule: Schedule = "wsd"  # of the rate: wsd (warmup, stable, decay), cosine or constant
    decay_fraction: Fraction = 0.35  # of the stage, at its end, over which wsd decays the rate
    decay_steps: Natural = 0  # the same in steps, exactly; 0 takes decay_fraction
    decay_shape: DecayShape = "linear"  # how wsd decays the rate: linear, cosine or exponential
    decay_floor: Fraction = 0.02  # of the full rate: what wsd and cosine end at
    milestones: tuple[Count, ...] = ()  # steps whose checkpoints are never removed, rising
    caption_weight: NonNegative = 1.0  # weight of captions in the loss, beside answers at 1
    curriculum_fraction: Fraction = 0.0  # of the stage that begins with what is learned sooner
    align_weight: NonNegative = 0.0  # weight of the contrastive loss (InfoNCE) at first
    align_fraction: Fraction = 0.0  # of the stage over which it falls to zero
    interaction: tuple[str, ...] = ()  # attention between modalities: text>audio=0:1@0.3
    phases: tuple[PhaseConfig, ...] = ()  # curriculum of the losses, one after the other
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)


class StageList:
    """A section that has stages, by name."""

    stages: tuple[StageConfig, ...]

    def stage(self, name: str) -> StageConfig:
        """The stage of that name.

        Raises
        ------
        ConfigError
            there is none; the message names those that there are
        """
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is None:
            there = ", ".join(stage.name for stage in self.stages) or "none"
            raise ConfigError(f"no stage {name!r}: there are {there}")
        return found


@dataclass(frozen=True)
class TrainingConfig(StageList):
    """Stages, one after the other, two optimizers, one loop."""

    stages: tuple[StageConfig, ...] = (
        StageConfig("vision", steps=560, decay_fraction=0.4, curriculum_fraction=0.6),
        StageConfig("audio", train=("audio", "connector", "decoder"), steps=260, lr_scale=0.3),
        StageConfig(
            "omni",
            train=("image", "audio", "connector", "decoder"),
            steps=410,
            batch_size=16,
            seconds=8,
            decay_fraction=0.8,
            caption_weight=0.5,
            align_weight=0.3,
            align_fraction=1.0,
        ),
    )  # one after the other
    muon_lr: Positive = 4e-3  # matrices (Muon)
    adamw_lr: Positive = 3e-3  # everything else (AdamW)
    weight_decay: NonNegative = 0.0  # decoupled, on matrices
    warmup_steps: Natural = 20  # steps over which the learning rates rise from zero
    align_units: Count = 2  # units whose image, audio and text the contrastive loss pairs
    grad_clip: Positive = 1.0  # gradient norm, per part of the model
    checkpoint_every: Count = 100  # steps
    precision: Precision = "no"  # accelerate's mixed precision: no, bf16, fp16
    threads: Natural = 0  # torch threads per process; 0 leaves torch's choice
    context_parallel: Count = 1  # ranks that share the tokens of one row
    engine: Engine = "auto"  # context-parallel attention: auto, ring, ulysses, allgather or torch
    timeout_s: Positive = 300.0  # a rank that others wait for so long is lost, and ends them


@dataclass(frozen=True)
class ContextConfig(StageList):
    """Context extension: stages of growing row length and RoPE base, after one on pictures."""

    stages: tuple[StageConfig, ...] = ()  # growing rows and RoPE bases, the pictures first


def measured_in_stages(stages: Sequence[StageConfig]) -> tuple[StageConfig, ...]:
    """Stages whose lengths are multiples of those before them, with their steps put in.

    >>> before = StageConfig("vision", steps=500)
    >>> measured_in_stages((before, StageConfig("omni", steps_multiple=1.2)))[1].steps
    600
    """
    found: list[StageConfig] = []
    for stage in stages:
        if stage.steps_multiple:
            before = sum(other.steps for other in found)
            stage = replace(stage, steps=round(stage.steps_multiple * before))
        found.append(stage)
    return tuple(found)


def context_stages(
    lengths: Sequence[int],
    thetas: Sequence[float],
    tokens: Sequence[int],
    rows: Sequence[int],
    lr_scales: Sequence[float],
    decay_fraction: float = 0.5,
) -> tuple[StageConfig, ...]:
    """Stages of growing context: as many steps as each one's tokens take; only the decoder trains.

    The learning rate falls at the end of the last stage alone (as in MiniCPM's warmup, stable,
    decay; Hu et al. 2024): every stage before hands on a model that still moves.

    >>> [s.name for s in context_stages((32, 64), (1e5, 2e5), (4096, 8192), (4, 2), (1.0, 0.5))]
    ['context-32', 'context-64']
    """
    last = len(lengths) - 1
    return tuple(
        StageConfig(
            f"context-{length}", train=("decoder",), steps=tokens[n] // (rows[n] * length),
            batch_size=rows[n], max_tokens=length, rope_theta=thetas[n], lr_scale=lr_scales[n],
            decay_fraction=decay_fraction if n == last else 0.0,
        )
        for n, length in enumerate(lengths)
    )  # fmt: skip
