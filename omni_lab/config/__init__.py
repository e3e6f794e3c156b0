"""Every setting, as frozen dataclasses whose fields carry their range; a preset is a function.

Settings are overridden by dotted keys (`training.stages.omni.steps=50`); an unknown key or an
impossible value is refused by name, with the nearest right one. Units: lengths in pixels, tokens or
ticks (16 kHz samples); a name that ends in `_s` is in seconds.
"""

from omni_lab.config.checks import validate
from omni_lab.config.data import (
    AlbumConfig,
    DataConfig,
    HaystackConfig,
    HaystackLevel,
    SequenceConfig,
    TripletConfig,
    WorldConfig,
)
from omni_lab.config.model import AudioEncoderConfig, DecoderConfig, ImageEncoderConfig, ModelConfig
from omni_lab.config.overrides import config_hash, describe, to_dict
from omni_lab.config.presets import (
    PRESETS,
    from_dict,
    full_7b,
    override,
    section_from_dict,
    small,
    tiny,
)
from omni_lab.config.root import Config, EvaluationConfig
from omni_lab.config.training import (
    BalanceConfig,
    ClipConfig,
    ContextConfig,
    PhaseConfig,
    SelectionConfig,
    StageConfig,
    TrainingConfig,
    context_stages,
)
from omni_lab.config.types import MODALITIES, TICKS_PER_SECOND

__all__ = [
    "MODALITIES",
    "PRESETS",
    "TICKS_PER_SECOND",
    "AlbumConfig",
    "AudioEncoderConfig",
    "BalanceConfig",
    "ClipConfig",
    "Config",
    "ContextConfig",
    "DataConfig",
    "DecoderConfig",
    "EvaluationConfig",
    "HaystackConfig",
    "HaystackLevel",
    "ImageEncoderConfig",
    "ModelConfig",
    "PhaseConfig",
    "SelectionConfig",
    "SequenceConfig",
    "StageConfig",
    "TrainingConfig",
    "TripletConfig",
    "WorldConfig",
    "config_hash",
    "context_stages",
    "describe",
    "from_dict",
    "full_7b",
    "override",
    "section_from_dict",
    "small",
    "tiny",
    "to_dict",
    "validate",
]
