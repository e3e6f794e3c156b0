"""Beginnings that runs share: stages of the demo, a stage alone, parts taken over from a trained model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from omni_lab.config import Config, StageConfig
from omni_lab.model.omni import OmniModel


def demo_stages(config: Config, seed: int, names: Collection[str]) -> Config:
    """Settings of some of the configured stages, on one thread."""
    stages = tuple(stage for stage in config.training.stages if stage.name in names)
    return replace(config, seed=seed, training=replace(config.training, stages=stages, threads=1))


def one_stage(config: Config, seed: int, stage: StageConfig) -> Config:
    """Settings of a stage alone, on one thread, without checkpoints on the way."""
    training = replace(config.training, stages=(stage,), threads=1, checkpoint_every=10**6)
    return replace(config, seed=seed, training=training)


def with_parts(model: OmniModel, source: OmniModel, parts: Collection[str]) -> OmniModel:
    """A model whose named parts have the weights of another one's."""
    for part in parts:
        getattr(model, part).load_state_dict(getattr(source, part).state_dict())
    return model
