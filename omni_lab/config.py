"""Every setting of the way of the data, as frozen dataclasses; a preset is a function.

`tiny()` trains on a laptop in minutes, `small()` on one GPU, `full_7b()` on a cluster: each is derived from the one
before, so reading the three functions tells what scale changes. Settings are overridden by dotted keys
(`training.omni.steps=50`); an unknown key or an impossible value is refused by name, with the nearest right one.

Units: lengths in pixels, tokens or ticks (16 kHz samples); a name that ends in `_s` is in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omni_lab import overrides
from omni_lab.limits import validate
from omni_lab.overrides import config_hash, describe, to_dict

TICKS_PER_SECOND = 16_000
MODALITIES = ("image", "audio", "text", "speech")


@dataclass(frozen=True)
class WorldConfig:
    """The gallery that films are made of."""

    room_s: int = 2  # a new room every so many seconds
    questions_per_second: int = 3  # asked in training streams; films ask fewer, so that they can be read
    unnamed_colours: float = 0.35  # share of objects whose colour has no name (never asked about)
    blobs: float = 0.1  # share of objects whose shape has no name (never asked about)
    signs: float = 0.5  # share of rooms with a sign to read
    beeps: float = 0.3  # share of seconds with beeps instead of a spoken word
    image_noise: float = 0.03  # standard deviation of the camera's noise in training arrays, of 1
    audio_noise: float = 0.004  # standard deviation of the room's noise in training arrays, of full scale


@dataclass(frozen=True)
class AlbumConfig:
    """Several pictures at once and short videos: what the formats for many images are compared on."""

    fewest: int = 1  # pictures in an album that is no video
    most: int = 5  # pictures in an album that is no video, at most 9: every number is one word
    videos: float = 0.5  # share of albums that are a video
    frames: int = 6  # most frames of a video, 3 to 9; the fewest are two less, and never less than 3
    questions: int = 8  # asked about one album, where it has so many to ask


@dataclass(frozen=True)
class TripletConfig:
    """How any film becomes clips of frames, audio and text."""

    frames_per_second: float = 2.0  # frames kept per second of film
    image_size: int = 240  # shorter side of a kept frame, pixels (never enlarged)
    jpeg_quality: int = 92  # of frames in shards
    min_s: float = 5.0  # shortest clip (a film shorter than this is one clip)
    max_s: float = 15.0  # longest clip
    target_s: float = 10.0  # the length that cutting prefers
    clips_per_shard: int = 256  # clips in one tar
    language: str = "en"  # preferred track language where a file has several
    recogniser: str = "none"  # what writes text for films without any: none, or a Whisper checkpoint (path or hub name)
    detector: str = "silero"  # what tells the recogniser where somebody speaks: silero (extra `real`) or energy
    align_words: bool = False  # find the time of every word of English subtitles (pocketsphinx, extra `real`)
    voices: bool = False  # where no mark names a speaker, group the cues by how their voices sound
    scenes: str = "difference"  # what finds scene cuts: difference (of neighbouring frames) or pyscenedetect
    min_speech_share: float = 0.0  # a clip with a smaller share of speech is dropped
    max_black_share: float = 0.95  # a clip with a larger share of black pictures is dropped
    max_static_share: float = 1.0  # a clip with a larger share of pictures like the one before is dropped
    max_clipped_share: float = 0.01  # a clip with a larger share of samples at full scale, in runs, is dropped
    max_av_offset_s: float = 1.0  # a clip whose sound is surely further from its picture (seconds) is dropped
    near_duplicate_bits: int = 3  # clips that differ in so few of 64 bits, and sound alike, are one; -1 is off
    file_timeout_s: float = 3600.0  # a film that takes longer is stopped and recorded as failed
    file_memory_mb: int = 8192  # a film that takes more memory is stopped and recorded as failed


@dataclass(frozen=True)
class SequenceConfig:
    """How a clip becomes a stream of tokens."""

    layout: str = "stream"  # stream (the omni stream), or a format for many images: F0, F1, F2, F3, F4
    unit_s: float = 1.0  # length of one unit of the omni stream
    boundary: str = "explicit"  # how the stream marks a unit's beginning: explicit (<unit>) or implicit (not at all)
    control: str = "speak"  # how the model says that it writes: speak (<speak>) or text (by writing)
    frames_per_unit: int = 2  # frames whose patches one unit sees
    image_tokens: int = 4  # image tokens per unit, or per tile of an image (a square number: cells of the picture)
    tiles: int = 1  # the most tiles an image is cut into, beside its thumbnail (AnyRes); 1 keeps it whole
    grids: str = "budget"  # which grids of tiles there are: budget (all of at most `tiles`) or omchat (claim C2's)
    audio_tokens: int = 5  # audio tokens per unit
    max_tokens: int = 256  # context length
    model_role: str = "guide"  # the role whose text the model learns to write


@dataclass(frozen=True)
class ImageEncoderConfig:
    """The SigLIP vision tower."""

    size: int = 48  # pixels per side
    patch: int = 8  # pixels per side of a patch
    width: int = 64  # of a patch's vector
    layers: int = 2  # transformer blocks
    heads: int = 4  # attention heads
    mlp: int = 128  # inner width of the feed-forward
    pretrained: str | None = None  # local path or hub name; None builds it from this config


@dataclass(frozen=True)
class AudioEncoderConfig:
    """The Whisper encoder, run on chunks of one unit."""

    mels: int = 40  # mel bands
    frames: int = 100  # log-mel frames per second
    width: int = 64  # of a position's vector
    layers: int = 1  # transformer blocks
    heads: int = 4  # attention heads
    pretrained: str | None = None  # local path or hub name; None builds it from this config


@dataclass(frozen=True)
class DecoderConfig:
    """The Qwen decoder."""

    width: int = 96  # of a token's vector
    layers: int = 3  # transformer blocks
    heads: int = 4  # query heads
    kv_heads: int = 4  # key and value heads; fewer than `heads` are shared by groups of them
    head_dim: int = 32  # width of a head's queries, keys and values
    mlp: int = 288  # inner width of the gated feed-forward
    rope_theta: float = 100.0  # base of the rotary positions; larger reaches further
    look_back: float = 0.0  # how firmly the first layer's heads look 1, 2, 3 … tokens back before training; 0 is off
    pretrained: str | None = None  # local path or hub name; None builds it from this config


@dataclass(frozen=True)
class ModelConfig:
    """Two encoders, their connectors and a decoder."""

    image: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    audio: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    wide_init: bool = True  # initialise small random models wide; pretrained weights are left as they are
    sense_size: float = 0.0  # root mean square that tokens of pictures and sounds begin with (words: 0.1); 0 is off


@dataclass(frozen=True)
class StageConfig:
    """One stage of training: what trains, for how long, how fast."""

    steps: int = 400  # optimizer steps
    batch: int = 24  # samples per step, over all processes
    units: int = 1  # seconds of film in one sample
    train: tuple[str, ...] = ("image", "connector", "decoder")  # parts whose weights move
    lr_scale: float = 1.0  # multiplies both learning rates
    decay: float = 0.35  # share of the stage, at its end, over which the learning rate falls
    caption_weight: float = 1.0  # weight of captions in the loss, beside answers at 1
    find: float = 0.0  # share of the stage with what is found sooner: captions that look words up, short albums
    align_weight: float = 0.0  # weight of the alignment loss (InfoNCE) at the stage's first step
    align: float = 0.0  # share of the stage over which it falls to zero: alignment first, generation later
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
    muon_lr: float = 4e-3  # matrices (Muon)
    adamw_lr: float = 3e-3  # everything else (AdamW)
    weight_decay: float = 0.0  # decoupled, on matrices
    warmup_steps: int = 20  # steps over which the learning rates rise from zero
    align_units: int = 2  # units whose image, audio and text alignment calls one moment
    grad_clip: float = 1.0  # per modality's part of the model
    checkpoint_every: int = 100  # steps
    precision: str = "no"  # accelerate's mixed precision: no, bf16, fp16
    threads: int = 0  # torch threads per process; 0 leaves torch's choice
    ring: int = 1  # processes that share the tokens of one row; 1 gives every process rows of its own
    engine: str = "auto"  # how they attend: auto, reference (the ring), ulysses, allgather or torch
    patience_s: float = 300.0  # a process that the others of its ring wait for so long is lost, and ends them


@dataclass(frozen=True)
class ContextConfig:
    """Growing the context: stages, each longer than the one before, that learn to find needles in texts and films."""

    sight: StageConfig = field(default_factory=lambda: StageConfig(steps=200, batch=64, decay=0.4))  # before all others
    pictures: int = 4096  # in the bank that a stage's films are put together from
    lengths: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)  # of every stage's rows, tokens
    thetas: tuple[float, ...] = (1e5, 2e5, 4e5, 8e5, 1.6e6, 3.2e6, 6.4e6)  # rotary base of a stage
    tokens: tuple[int, ...] = (400_000, 1_000_000, 200_000, 300_000, 200_000, 500_000, 900_000)  # a stage learns from
    rows: tuple[int, ...] = (32, 32, 16, 16, 8, 8, 4)  # per step, over all processes
    real: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # share of rows that are one sample, not packed ones
    short: int = 1  # the stage, counted from 0, whose samples packed rows are made of
    needles: tuple[int, ...] = (3, 6, 8, 12, 16, 16, 16)  # asked about in one text, at most 23 of the 24 visitors
    things: tuple[int, ...] = (1, 4, 4, 4, 6, 6, 6)  # the most asked about in one film, at most 7 of the 8 shapes
    films: tuple[float, ...] = (0.3, 0.8, 0.6, 0.6, 0.5, 0.5, 0.5)  # share of samples that are films, not texts
    lr_scales: tuple[float, ...] = (1.0, 1.0, 1.0, 0.7, 0.5, 0.4, 0.3)  # multiplies both learning rates
    mark: int = 2  # frames of a film that one time mark is for; it stands before them
    others: float = 0.3  # share of a text's sentences that are said by visitors who are not asked about
    decay: float = 0.5  # share of the last stage, at its end, over which the learning rate falls


@dataclass(frozen=True)
class EvaluationConfig:
    """How much of the unseen world the trained model is asked about."""

    clips: int = 160  # held-out clips of the training length
    albums: int = 700  # held-out albums of each sort: one picture, several, a video
    retrieval_rooms: int = 118  # candidates in cross-modal retrieval
    reliance_clips: int = 160  # clips whose modalities disagree
    needles: int = 60  # trials of every kind, length and depth
    bootstrap: int = 1000  # resamples for intervals


@dataclass(frozen=True)
class Config:
    """The whole way, from world to report."""

    name: str = "tiny"  # the preset this began as
    seed: int = 0  # of the world, the weights and the order of the data
    world: WorldConfig = field(default_factory=WorldConfig)
    albums: AlbumConfig = field(default_factory=AlbumConfig)
    triplets: TripletConfig = field(default_factory=TripletConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def tiny() -> Config:
    """The preset of `omni-lab demo`: 0.8 M parameters, trained in minutes on two cores without a GPU."""
    return validate(Config())


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
                    rope_theta=10_000.0,
                ),
            ),
            training=replace(
                base.training,
                vision=replace(base.training.vision, steps=20_000, batch=256),
                audio=replace(base.training.audio, steps=20_000, batch=256),
                omni=replace(base.training.omni, steps=40_000, batch=32, units=32, align=0.25),
                muon_lr=2e-3,
                adamw_lr=6e-4,
                weight_decay=0.05,
                warmup_steps=1000,
                checkpoint_every=1000,
                precision="bf16",
            ),
            context=ContextConfig(
                sight=replace(base.context.sight, steps=5000, batch=256), pictures=20_000, short=0,
                lengths=(512, 2048, 8192, 32_768), thetas=(10_000.0, 100_000.0, 1_000_000.0, 5_000_000.0),
                tokens=(400_000_000, 200_000_000, 200_000_000, 400_000_000), rows=(256, 64, 16, 4),
                real=(1.0, 0.5, 0.5, 0.5), needles=(8, 16, 16, 16), things=(4, 4, 4, 4), films=(0.25, 0.5, 0.5, 0.5),
                lr_scales=(1.0, 0.5, 0.5, 0.25),
            ),
            evaluation=replace(base.evaluation, clips=1000, retrieval_rooms=1000, reliance_clips=1000),
        )
    )  # fmt: skip


def full_7b() -> Config:
    """`small()` on a cluster: pretrained SigLIP, Whisper encoder and Qwen2.5-7B behind the same connectors.

    Sizes are those of the named checkpoints. One token sees 3 × 3 patches, as in `tiny()`: 384 // 14 = 27 patches a
    side make 9 × 9 = 81 tokens. Audio keeps 25 tokens a second, two encoder positions each. The decoder first moves in
    the omni stage. Learning rates and lengths are starting points, not measured results.
    """
    base = small()
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
                    rope_theta=1_000_000.0, pretrained="Qwen/Qwen2.5-7B-Instruct",
                ),
                wide_init=False,
            ),
            training=replace(
                base.training,
                vision=replace(base.training.vision, batch=1024, train=("image", "connector")),
                audio=replace(base.training.audio, batch=1024, train=("audio", "connector")),
                omni=replace(base.training.omni, batch=256, units=128),
                muon_lr=2e-4,
                adamw_lr=2e-5,
                warmup_steps=2000,
            ),
            context=replace(
                base.context,
                lengths=(4096, 32_768, 131_072, 524_288),
                thetas=(1_000_000.0, 5_000_000.0, 20_000_000.0, 50_000_000.0),
                tokens=(4_000_000_000, 2_000_000_000, 2_000_000_000, 2_000_000_000),
                rows=(1024, 128, 32, 8),
            ),
        )
    )  # fmt: skip


def override(config: Config, settings: Sequence[str]) -> Config:
    """A copy of `config` with dotted settings put in, each typed by its field.

    >>> override(tiny(), ["training.omni.steps=50", "training.omni.train=connector,decoder"]).training.omni.steps
    50

    Raises
    ------
    ConfigError
        A key does not exist (the message names the nearest right one) or a value cannot be.
    """
    return validate(overrides.merged(config, overrides.nested(config, tuple(settings))))


def from_dict(data: Mapping[str, Any]) -> Config:
    """The configuration that `to_dict` wrote; a setting that `data` does not name keeps `tiny()`'s value.

    Raises
    ------
    ConfigError
        A key does not exist, or a value cannot be.
    """
    return validate(overrides.merged(tiny(), data))


PRESETS = {"tiny": tiny, "small": small, "full_7b": full_7b}

__all__ = [
    "MODALITIES",
    "PRESETS",
    "TICKS_PER_SECOND",
    "AlbumConfig",
    "AudioEncoderConfig",
    "Config",
    "ContextConfig",
    "DecoderConfig",
    "EvaluationConfig",
    "ImageEncoderConfig",
    "ModelConfig",
    "SequenceConfig",
    "StageConfig",
    "TrainingConfig",
    "TripletConfig",
    "WorldConfig",
    "config_hash",
    "describe",
    "from_dict",
    "full_7b",
    "override",
    "small",
    "tiny",
    "to_dict",
    "validate",
]
