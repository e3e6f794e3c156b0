"""Presets: `tiny()` trains on a laptop in minutes, `small()` on one GPU, `full_7b()` on a cluster.

Each is derived from the one before, so reading the three functions tells what scale changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omni_lab.config import overrides
from omni_lab.config.checks import validate
from omni_lab.config.data import HaystackLevel
from omni_lab.config.renamed import modern
from omni_lab.config.root import Config
from omni_lab.config.training import (
    ClipConfig,
    ContextConfig,
    StageConfig,
    context_stages,
    measured_in_stages,
)


def tiny() -> Config:
    """The preset of `omni-lab demo`: 0.8 M parameters, trained in minutes on two cores, no GPU."""
    sight = StageConfig("sight", steps=200, batch_size=64, decay_fraction=0.4)
    grown = context_stages(
        lengths=(32, 64, 128, 256, 512, 1024, 2048),
        thetas=(1e5, 2e5, 4e5, 8e5, 1.6e6, 3.2e6, 6.4e6),
        tokens=(400_000, 1_000_000, 200_000, 300_000, 200_000, 500_000, 900_000),
        rows=(32, 32, 16, 16, 8, 8, 4),
        lr_scales=(1.0, 1.0, 1.0, 0.7, 0.5, 0.4, 0.3),
    )
    return validate(Config(context=ContextConfig((sight, *grown))))


def small() -> Config:
    """`tiny()` grown for one GPU: 224-pixel frames, about 0.11 B parameters, bf16.

    The same films serve: shards already keep frames at 240 pixels. Learning rates and lengths are starting points, not
    measured results.
    """
    base = tiny()
    return validate(
        replace(
            base,
            name="small",
            triplets=replace(base.triplets, clips_per_shard=1024),
            sequence=replace(base.sequence, image_tokens=49, audio_tokens=10, max_tokens=4096),
            model=replace(
                base.model,
                image=replace(base.model.image, size=224, patch=16, width=384, layers=12, heads=6, mlp=1536),
                audio=replace(base.model.audio, mels=80, width=384, layers=4, heads=6),
                decoder=replace(
                    base.model.decoder, width=768, layers=12, heads=12, kv_heads=4, head_dim=64, mlp=2304,
                ),
            ),
            training=replace(
                base.training,
                stages=stages(
                    base,
                    vision={"steps": 20_000, "batch_size": 256},
                    audio={"steps": 20_000, "batch_size": 256},
                    omni={"steps": 40_000, "batch_size": 32, "seconds": 32, "align_fraction": 0.25},
                ),
                muon_lr=2e-3,
                adamw_lr=6e-4,
                weight_decay=0.05,
                warmup_steps=1000,
                checkpoint_every=1000,
                precision="bf16",
            ),
            context=ContextConfig(
                (
                    replace(base.context.stages[0], steps=5000, batch_size=256),
                    *context_stages(
                        lengths=(512, 2048, 8192, 32_768),
                        thetas=(10_000.0, 100_000.0, 1_000_000.0, 5_000_000.0),
                        tokens=(400_000_000, 200_000_000, 200_000_000, 400_000_000),
                        rows=(256, 64, 16, 4),
                        lr_scales=(1.0, 0.5, 0.5, 0.25),
                    ),
                )
            ),
            world=replace(
                base.world,
                haystack=replace(
                    base.world.haystack,
                    pictures=20_000,
                    short="context-512",
                    levels=(
                        HaystackLevel("context-512", 8, 4, 0.25),
                        HaystackLevel("context-2048", 16, 4, real=0.5),
                        HaystackLevel("context-8192", 16, 4, real=0.5),
                        HaystackLevel("context-32768", 16, 4, real=0.5),
                    ),
                ),
            ),
            evaluation=replace(base.evaluation, clips=1000, retrieval_rooms=1000, reliance_clips=1000),
        )
    )  # fmt: skip


def full_7b() -> Config:
    """`small()` on a cluster: pretrained SigLIP, Whisper encoder and Qwen2.5-7B behind the same connectors.

    Sizes are those of the named checkpoints. One token sees 3 × 3 patches, as in `tiny()`: 384 // 14 = 27 patches a
    side make 9 × 9 = 81 tokens. Audio keeps 25 tokens a second, two encoder positions each. The decoder first moves in
    the omni stage. Gradients are clipped by part, at thresholds renewed every 2,000 steps (claim
    O17). Learning rates and lengths are starting points, not measured results.
    """
    base, running = small(), ClipConfig("running", every=2000)
    return validate(
        replace(
            base,
            name="full_7b",
            triplets=replace(base.triplets, image_size=384),
            sequence=replace(base.sequence, image_tokens=81, audio_tokens=25, max_tokens=32_768, grids="omchat"),
            model=replace(
                base.model,
                image=replace(
                    base.model.image, size=384, patch=14, width=1152, layers=27, heads=16, mlp=4304,
                    pretrained="google/siglip-so400m-patch14-384",
                ),
                audio=replace(
                    base.model.audio, width=1024, layers=24, heads=16, pretrained="openai/whisper-medium"
                ),
                decoder=replace(
                    base.model.decoder, width=3584, layers=28, heads=28, kv_heads=4, head_dim=128, mlp=18_944,
                    rope_theta=1_000_000.0, tie_word_embeddings=False, pretrained="Qwen/Qwen2.5-7B-Instruct",
                ),
                wide_init=False,
            ),
            training=replace(
                base.training,
                stages=stages(
                    base,
                    vision={
                        "batch_size": 1024, "train": ("image", "connector"), "clip": running,
                    },
                    audio={"batch_size": 1024, "train": ("audio", "connector"), "clip": running},
                    omni={"batch_size": 256, "seconds": 128, "clip": running},
                ),
                muon_lr=2e-4,
                adamw_lr=2e-5,
                warmup_steps=2000,
            ),
            context=ContextConfig(
                (
                    base.context.stages[0],
                    *context_stages(
                        lengths=(4096, 32_768, 131_072, 524_288),
                        thetas=(1_000_000.0, 5_000_000.0, 20_000_000.0, 50_000_000.0),
                        tokens=(4_000_000_000, 2_000_000_000, 2_000_000_000, 2_000_000_000),
                        rows=(1024, 128, 32, 8),
                        lr_scales=(1.0, 0.5, 0.5, 0.25),
                    ),
                )
            ),
            world=replace(
                base.world,
                haystack=replace(
                    base.world.haystack,
                    short="context-4096",
                    levels=(
                        HaystackLevel("context-4096", 8, 4, 0.25),
                        HaystackLevel("context-32768", 16, 4, real=0.5),
                        HaystackLevel("context-131072", 16, 4, real=0.5),
                        HaystackLevel("context-524288", 16, 4, real=0.5),
                    ),
                ),
            ),
        )
    )  # fmt: skip


def stages(base: Config, **changes: Mapping[str, Any]) -> tuple[StageConfig, ...]:
    """The stages of `base`, each with the changes that are given under its name."""
    return tuple(replace(stage, **changes[stage.name]) for stage in base.training.stages)


def override(config: Config, settings: Sequence[str]) -> Config:
    """A copy of `config` with dotted settings put in, each typed by its field.

    >>> changed = override(tiny(), ["training.stages=omni", "training.stages.omni.steps=50"])
    >>> [(stage.name, stage.steps) for stage in changed.training.stages]
    [('omni', 50)]

    Raises
    ------
    ConfigError
        A key does not exist (the message names the nearest right one) or a value cannot be.
    """
    for setting in settings:
        config = overrides.with_setting(config, setting)
    return validate(_with_steps(config))


def from_dict(data: Mapping[str, Any]) -> Config:
    """The configuration that `to_dict` wrote; a setting that `data` does not name keeps `tiny()`'s value.

    Raises
    ------
    ConfigError
        A key does not exist, or a value cannot be.
    """
    return validate(_with_steps(overrides.merged(tiny(), modern(data))))


def _with_steps(config: Config) -> Config:
    """The configuration with the steps of stages that are measured in those before them."""
    stages = measured_in_stages(config.training.stages)
    return replace(config, training=replace(config.training, stages=stages))


def section_from_dict(cls: type, data: Mapping[str, Any]) -> Any:
    """One section as `to_dict` wrote it, of any time, by itself: `section_from_dict(ModelConfig, …)`.

    Raises
    ------
    ConfigError
        A key does not exist, or a value is not of its field's type.
    """
    return overrides.merged(cls(), modern(data))


PRESETS = {"tiny": tiny, "small": small, "full_7b": full_7b}
