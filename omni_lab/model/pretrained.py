"""Pretrained parts: the towers and the decoder that a configuration names, whole and of a known family.

Every tensor of a folder has a place in the model, or loading is refused by name. A trained model
keeps their Hugging Face configurations beside its own, so that it loads from its checkpoint alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from omni_lab.config import ModelConfig, SequenceConfig
from omni_lab.errors import ConfigError, UsageError, typed
from omni_lab.model.rope import rope_of
from omni_lab.progress import library_bars_off


class Family(NamedTuple):
    """Architecture of a part, as its folder's `model_type` names it."""

    load: str  # class of transformers that reads the folder
    unused: str = r"(?!)"  # names of tensors that belong to what is not this part
    used: str = ""  # names of tensors that must not be missing


_SIGLIP = Family("SiglipVisionModel", unused=r"text_model\.|logit_(scale|bias)$")
FAMILIES = {
    "image": {"siglip": _SIGLIP, "siglip_vision_model": _SIGLIP},
    "audio": {
        "whisper": Family(
            "WhisperModel", unused=r"(model\.)?decoder\.|proj_out\.", used=r"encoder\."
        )
    },
    "decoder": {"qwen2": Family("Qwen2ForCausalLM"), "qwen3": Family("Qwen3ForCausalLM")},
}
_HEAD = "lm_head.weight"
_PLURAL = {"image": "image towers", "audio": "audio towers", "decoder": "decoders"}


def load_parts(
    model: ModelConfig, sequence: SequenceConfig, vocabulary: int
) -> dict[str, PreTrainedModel]:
    """Load every part whose `pretrained` is set, by name (image, audio, decoder), in float32.

    The decoder comes with its output layer, which is the embedding where both are one, or where the
    folder is of a base model that has none. Rows of tokens beyond the vocabulary are cut off; those
    of new tokens are drawn around the mean of the old ones, which stay as they are.

    Raises
    ------
    ConfigError
        A part cannot be loaded, is of another family, or does something that training would not
        keep; a tensor has no place, is missing or of another size; the part's sizes are not those
        of the configuration.
    """
    parts = {}
    for name in FAMILIES:
        if source := getattr(model, name).pretrained:
            try:
                parts[name] = _load(name, source)
            except ConfigError as fault:
                raise ConfigError(f"model.{name}.pretrained={source!r}: {fault}") from fault
    _check_sizes(model, sequence, parts)

    if decoder := parts.get("decoder"):
        decoder.config.tie_word_embeddings = (
            decoder.lm_head.weight is decoder.model.embed_tokens.weight
        )
        with _library_reports_off():
            decoder.resize_token_embeddings(vocabulary)
        decoder.config.use_cache = False
    return parts


def empty_part(name: str, data: dict) -> PreTrainedModel:
    """The module of a part's Hugging Face configuration, its weights still to be filled in."""
    family = FAMILIES[name][data["model_type"]]
    kind = WhisperEncoder if name == "audio" else getattr(transformers, family.load)
    return kind(kind.config_class.from_dict(data))


def _load(name: str, source: str) -> PreTrainedModel:
    """One part with all its weights."""
    # loading fails in more ways than transformers documents
    with typed("cannot be loaded", ConfigError), library_bars_off(), _library_reports_off():
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        family = _family(name, config)
        part, found = getattr(transformers, family.load).from_pretrained(
            source, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )

    if getattr(part, "_hf_peft_config_loaded", False):
        raise ConfigError("an adapter beside the weights; merge it into them, or take it away")
    if name == "decoder" and _is_headless(config, found):
        part.lm_head.weight = part.model.embed_tokens.weight
        found["missing_keys"] -= {_HEAD}
    _check_tensors(family, found)
    if name == "decoder":
        _check_positions(part)
    return part.encoder if name == "audio" else part


@contextmanager
def _library_reports_off() -> Iterator[None]:
    """No tables of the model library's own about tensors: what they tell is checked here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _family(name: str, config: PretrainedConfig) -> Family:
    """Family of a folder's configuration, where it is one that this part is built of."""
    families = FAMILIES[name]
    if config.model_type not in families:
        known = ", ".join(families)
        raise ConfigError(f"a {config.model_type} model; {_PLURAL[name]} are of {known}")
    if getattr(config, "quantization_config", None):
        raise ConfigError("quantized weights, which cannot be trained; name the model in full")
    if name == "decoder":
        _check_attention(config)
    return families[config.model_type]


def _is_headless(config: PretrainedConfig, found: dict[str, Any]) -> bool:
    """Whether a folder is of a base model, which was saved without an output layer."""
    saved = config.architectures or ["unknown"]
    return _HEAD in found["missing_keys"] and all(name.endswith("Model") for name in saved)


def _check_tensors(family: Family, found: dict[str, Any]) -> None:
    """Refuse a folder with tensors that have no place, that are missing, or of another size."""
    left_over = sorted(key for key in found["unexpected_keys"] if not re.match(family.unused, key))
    missing = sorted(key for key in found["missing_keys"] if re.match(family.used, key))
    resized = sorted(key for key, *_ in found["mismatched_keys"])
    for names, wrong, right in (
        (left_over, "without a place in this model", "name a folder without such tensors"),
        (
            resized,
            "of other sizes than config.json says",
            "name a folder whose files belong together",
        ),
        (missing, "missing", "name a folder that is whole"),
    ):
        if names:
            weights = f"{len(names)} weight{' is' if len(names) == 1 else 's are'}"
            raise ConfigError(f"{weights} {wrong}, such as {names[0]}; {right}")


def _check_attention(config: PretrainedConfig) -> None:
    """Refuse attention that our masks would undo: over both sides, or within a window."""
    if not getattr(config, "is_causal", True):
        raise ConfigError("not causal, so that a token would see those that it has to predict")
    if "sliding_attention" in config.layer_types:
        window = f"a sliding window of {config.sliding_window} tokens"
        raise ConfigError(f"{window}, which a mask of documents would lift; switch it off")


def _check_positions(part: PreTrainedModel) -> None:
    """Refuse rotary positions that stages of training cannot change and checkpoints cannot name."""
    try:
        rope_of(part.model)
    except UsageError as fault:
        raise ConfigError(str(fault)) from fault


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
