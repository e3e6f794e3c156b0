"""Settings of the model: encoders, connectors, decoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni_lab.config.types import Count, Fraction, NonNegative, Positive


@dataclass(frozen=True)
class ImageEncoderConfig:
    """The SigLIP vision tower."""

    size: Count = 48  # pixels per side
    patch: Count = 8  # pixels per side of a patch
    width: Count = 64  # of a patch's vector
    layers: Count = 2  # transformer blocks
    heads: Count = 4  # attention heads
    mlp: Count = 128  # inner width of the feed-forward
    pretrained: str | None = None  # local path or hub name; None builds it from this config


@dataclass(frozen=True)
class AudioEncoderConfig:
    """The Whisper encoder, run on chunks of one unit."""

    mels: Count = 40  # mel bands
    frames: Count = 100  # log-mel frames per second
    width: Count = 64  # of a position's vector
    layers: Count = 1  # transformer blocks
    heads: Count = 4  # attention heads
    pretrained: str | None = None  # local path or hub name; None builds it from this config


@dataclass(frozen=True)
class DecoderConfig:
    """The Qwen decoder."""

    width: Count = 96  # of a token's vector
    layers: Count = 3  # transformer blocks
    heads: Count = 4  # query heads
    kv_heads: Count = 4  # key and value heads; fewer than `heads` are shared by groups of them
    head_dim: Count = 32  # width of a head's queries, keys and values
    mlp: Count = 288  # inner width of the gated feed-forward
    rope_theta: Positive = 10_000.0  # base of the rotary positions; larger reaches further
    tie_word_embeddings: bool = True  # output layer is the embedding; a pretrained decoder decides
    previous_token_init: NonNegative = 0.0  # previous-token bias of first-layer heads; 0 is off
    pretrained: str | None = None  # local path or hub name; None builds it from this config


@dataclass(frozen=True)
class ModelConfig:
    """Two encoders, their connectors and a decoder."""

    image: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    audio: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    wide_init: bool = True  # wide initialisation of small random models; pretrained weights stay
    frame_difference_init: Fraction = 0.5  # of the image connector, begins as frame differences
    connector_rms: NonNegative = 0.0  # RMS of connector outputs at first (words: 0.1); 0 is off
