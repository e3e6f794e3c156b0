"""The whole configuration, from world to report."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni_lab.config.data import AlbumConfig, DataConfig, SequenceConfig, TripletConfig, WorldConfig
from omni_lab.config.model import ModelConfig
from omni_lab.config.training import ContextConfig, StageConfig, TrainingConfig
from omni_lab.config.types import Count, Natural


@dataclass(frozen=True)
class EvaluationConfig:
    """How much of the unseen world the trained model is asked about."""

    clips: Count = 160  # held-out clips of the training length
    fact_clips: Natural = 0  # of them, where more are wanted for accuracy per fact
    albums: Count = 700  # held-out albums of each sort: one picture, several, a video
    retrieval_rooms: Count = 118  # candidates in cross-modal retrieval
    reliance_clips: Count = 160  # clips whose modalities disagree
    needles: Count = 60  # trials of every kind, length and depth
    bootstrap: Count = 1000  # resamples for intervals


@dataclass(frozen=True)
class Config:
    """The whole way, from world to report."""

    name: str = "tiny"  # the preset this began as
    seed: Natural = 0  # of the world, the weights and the order of the data
    world: WorldConfig = field(default_factory=WorldConfig)
    albums: AlbumConfig = field(default_factory=AlbumConfig)
    triplets: TripletConfig = field(default_factory=TripletConfig)
    data: DataConfig = field(default_factory=DataConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def every_stage(self) -> dict[str, StageConfig]:
        """Stages of training, on albums and of context extension, by name."""
        lists = (self.training, self.albums, self.context)
        return {stage.name: stage for settings in lists for stage in settings.stages}
