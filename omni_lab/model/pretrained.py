"""Pretrained parts: the towers and the decoder that a configuration names, checked against its sizes.

A trained model keeps their Hugging Face configurations beside its own, so that it loads from its checkpoint alone.
"""

from __future__ import annotations

from transformers import PreTrainedModel

from omni_lab.config import ModelConfig, SequenceConfig
from omni_lab.errors import ConfigError


def load_parts(
    model: ModelConfig, sequence: SequenceConfig, vocabulary: int
) -> dict[str, PreTrainedModel]:
    """Load every part whose `pretrained` is set, by name (image, audio, decoder).

    Raises
    ------
    ConfigError
        A part cannot be loaded, or its sizes are not those of the configuration.
    """
    from transformers import Qwen2Model, SiglipVisionModel, WhisperModel

    kinds = {"image": SiglipVisionModel, "audio": WhisperModel, "decoder": Qwen2Model}
    parts = {}
    for name, kind in kinds.items():
        source = getattr(model, name).pretrained
        if not source:
            continue
        try:
            part = kind.from_pretrained(source)
        except (OSError, ValueError) as fault:
            reason = str(fault).splitlines()[0]
            raise ConfigError(
                f"model.{name}.pretrained={source!r}: cannot be loaded ({reason})"
            ) from fault
        parts[name] = part.encoder if name == "audio" else part
    _check_sizes(model, sequence, parts)
    if "decoder" in parts:
        parts["decoder"].resize_token_embeddings(vocabulary)
        parts["decoder"].config.use_cache = False
    return parts


def empty_part(name: str, data: dict) -> PreTrainedModel:
    """The module of a part's Hugging Face configuration, its weights still to be filled in."""
    from transformers import (
        Qwen2Config,
        Qwen2Model,
        SiglipVisionConfig,
        SiglipVisionModel,
        WhisperConfig,
    )
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    module, settings = {
        "image": (SiglipVisionModel, SiglipVisionConfig),
        "audio": (WhisperEncoder, WhisperConfig),
        "decoder": (Qwen2Model, Qwen2Config),
    }[name]
    return module(settings.from_dict(data))


def _check_sizes(
    model: ModelConfig, sequence: SequenceConfig, parts: dict[str, PreTrainedModel]
) -> None:
    image, audio = model.image, model.audio
    expected = {
        "image": {"size": (image.size, "image_size"), "patch": (image.patch, "patch_size")},
        "audio": {"mels": (audio.mels, "num_mel_bins")},
    }
    for name, sizes in expected.items():
        for key, (value, theirs) in sizes.items():
            if name in parts and (right := getattr(parts[name].config, theirs)) != value:
                raise ConfigError(f"model.{name}.{key}={value}: the pretrained part has {right}")
    if "audio" in parts:
        used, most = (
            round(audio.frames * sequence.unit_s) // 2,
            parts["audio"].config.max_source_positions,
        )
        if used > most:
            raise ConfigError(
                f"sequence.unit_s={sequence.unit_s}: a unit takes {used} positions of {most}"
            )
