"""Settings of the data: the gallery, clips, and sequences of tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni_lab.config.training import StageConfig, StageList
from omni_lab.config.types import (
    Boundary,
    Control,
    Count,
    Detector,
    FewBits,
    Fraction,
    Grids,
    JpegQuality,
    Layout,
    Natural,
    NonNegative,
    Positive,
    Scenes,
)


@dataclass(frozen=True)
class HaystackLevel:
    """What rows of one stage of context extension hold."""

    name: str = ""  # of the stage
    needles: Count = 3  # asked about in one text, at most 23 of the 24 visitors
    things: Count = 1  # the most asked about in one film, at most 7 of the 8 shapes
    films: Fraction = 0.5  # fraction of samples that are films, not texts
    real: Fraction = 1.0  # fraction of rows that are one sample, not packed short ones


@dataclass(frozen=True)
class HaystackConfig:
    """Long texts and films of the gallery with needles in them."""

    pictures: Count = 4096  # in the bank that a stage's films are put together from
    mark: Count = 2  # frames of a film that one time mark is for; it stands before them
    others: Fraction = 0.3  # of a text's sentences: said by visitors who are not asked about
    short: str = "context-64"  # the stage whose samples packed rows are made of
    levels: tuple[HaystackLevel, ...] = (
        HaystackLevel("context-32", 3, 1, 0.3),
        HaystackLevel("context-64", 6, 4, 0.8),
        HaystackLevel("context-128", 8, 4, 0.6),
        HaystackLevel("context-256", 12, 4, 0.6),
        HaystackLevel("context-512", 16, 6),
        HaystackLevel("context-1024", 16, 6),
        HaystackLevel("context-2048", 16, 6),
    )  # one for every stage of context extension


@dataclass(frozen=True)
class CaptionSetConfig:
    """Finite set of captioned pictures, some of whose words contradict the picture."""

    count: Count = 600  # pictures
    first: Natural = 0  # number of the first; sets that begin elsewhere have other pictures
    wrong: Fraction = 0.4  # fraction of colours and shapes that are wrong
    grey: bool = False  # without pictures: what text alone tells


@dataclass(frozen=True)
class WorldConfig:
    """The gallery that films are made of."""

    room_s: Count = 2  # a new room every so many seconds
    questions_per_second: Natural = 3  # asked in training streams; films to watch ask fewer
    asked: tuple[str, ...] = ()  # how often facts are asked about, where changed: word=6,sign=0
    unnamed_colours: Fraction = 0.35  # fraction of objects whose colour has no name (never asked)
    blobs: Fraction = 0.1  # fraction of objects whose shape has no name (never asked)
    signs: Fraction = 0.5  # fraction of rooms with a sign to read
    beeps: Fraction = 0.3  # fraction of seconds with beeps instead of a spoken word
    image_noise: NonNegative = 0.03  # standard deviation of the camera's noise, of 1
    audio_noise: NonNegative = 0.004  # standard deviation of the room's noise, of full scale
    image_lost: Fraction = 0.0  # fraction of rooms whose pictures are noise alone
    audio_lost: Fraction = 0.0  # fraction of rooms whose sound is noise alone
    captions: CaptionSetConfig = field(default_factory=CaptionSetConfig)
    haystack: HaystackConfig = field(default_factory=HaystackConfig)


@dataclass(frozen=True)
class AlbumConfig(StageList):
    """Several pictures at once and short videos: what the formats for many images are compared on."""

    fewest: Count = 1  # pictures in an album that is no video
    most: Count = 5  # pictures in an album that is no video, at most 9: every number is one word
    videos: Fraction = 0.5  # fraction of albums that are a video
    frames: Count = 6  # most frames of a video, 3 to 9; the fewest are two less, never below 3
    questions: Count = 8  # asked about one album, where it has so many to ask
    stages: tuple[StageConfig, ...] = (
        StageConfig(
            "albums",
            train=("connector", "decoder"),
            steps=1200,
            batch_size=12,
            lr_scale=0.4,
            decay_fraction=0.4,
            curriculum_fraction=0.35,
        ),
    )  # of training on albums


@dataclass(frozen=True)
class TripletConfig:
    """How any film becomes clips of frames, audio and text."""

    frames_per_second: Positive = 2.0  # frames kept per second of film
    image_size: Count = 240  # shorter side of a kept frame, pixels (never enlarged)
    jpeg_quality: JpegQuality = 92  # of frames in shards
    min_s: Positive = 5.0  # shortest clip (a film shorter than this is one clip)
    max_s: Positive = 15.0  # longest clip
    target_s: Positive = 10.0  # the length that cutting prefers
    clips_per_shard: Count = 256  # clips in one tar
    language: str = "en"  # preferred track language where a file has several
    recogniser: str = "none"  # recognition where text is missing: none, or a Whisper checkpoint
    detector: Detector = "silero"  # voice activity detection: silero (extra `real`) or energy
    align_words: bool = False  # forced alignment of English subtitles (pocketsphinx, extra `real`)
    voices: bool = False  # diarisation: where no mark names a speaker, group cues by their voices
    scenes: Scenes = "difference"  # scene cuts: difference (of frames) or pyscenedetect
    min_speech_fraction: Fraction = 0.0  # a clip with a smaller fraction of speech is dropped
    max_black_fraction: Fraction = 0.95  # a clip with more black pictures is dropped
    max_static_fraction: Fraction = 1.0  # a clip with more still pictures is dropped
    max_clipped_fraction: Fraction = 0.01  # a clip with more samples at full scale is dropped
    max_av_offset_s: Positive = 1.0  # a clip whose sound is surely further off is dropped
    near_duplicate_bits: FewBits = 3  # hash bits by which copies may differ, of 64; -1 is off
    file_timeout_s: Positive = 3600.0  # a film that takes longer is stopped and recorded as failed
    file_memory_mb: Count = 8192  # a film that takes more memory is stopped and recorded as failed


@dataclass(frozen=True)
class DataConfig:
    """Where the data sources lie that stages name, and the tokenizer that reads their text."""

    shards: str = ""  # folder of `omni-lab triplets build`
    image_text: str = ""  # pairs: webdataset tars, a `datasets` folder, or chat messages (JSONL)
    audio_text: str = ""  # pairs, in the same forms
    chat: str = ""  # chat messages (JSONL) with pictures and sounds, with one of them, or neither
    text: str = ""  # plain text: a file, or a folder of .txt and .jsonl
    tokenizer: str = ""  # of Hugging Face; empty is the decoder's, or the gallery's words


@dataclass(frozen=True)
class SequenceConfig:
    """How a clip becomes a stream of tokens."""

    layout: Layout = "stream"  # stream (the omni stream), or a format for many images: F0 to F4
    unit_s: Positive = 1.0  # length of one unit of the omni stream
    boundary: Boundary = "explicit"  # unit marker: explicit (<unit>) or implicit (none)
    control: Control = "speak"  # marker of the model's text: speak (<speak>) or text (none)
    frames_per_unit: Count = 2  # frames whose patches one unit sees
    image_tokens: Count = 4  # per unit, or per tile of an image: a square number of cells
    tiles: Count = 1  # most tiles of an image, beside its thumbnail (AnyRes); 1 keeps it whole
    grids: Grids = "budget"  # grids of tiles: budget (all of at most `tiles`) or omchat (claim C2)
    audio_tokens: Count = 5  # audio tokens per unit
    max_tokens: Count = 256  # context length
    model_role: str = "guide"  # the role whose text the model learns to write
