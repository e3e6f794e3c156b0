"""Types of settings: a number's range and a name's choices stand beside its field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

TICKS_PER_SECOND = 16_000
MODALITIES = ("image", "audio", "text", "speech")
# of the model: what a stage can train; a connector of one modality is a part of its own too
PARTS = (
    "image", "audio", "connector", "decoder", "speech", "connector.image", "connector.audio",
)  # fmt: skip


@dataclass(frozen=True)
class Range:
    """The values that a number can have, in words and as a test."""

    must_be: str
    holds: Callable[[float], bool]


Count = Annotated[int, Range("1 or more", lambda value: value >= 1)]
Natural = Annotated[int, Range("0 or more", lambda value: value >= 0)]
Positive = Annotated[float, Range("above 0", lambda value: value > 0)]
NonNegative = Annotated[float, Range("0 or more", lambda value: value >= 0)]
Fraction = Annotated[float, Range("between 0 and 1", lambda value: 0 <= value <= 1)]
ProperFraction = Annotated[float, Range("above 0 and at most 1", lambda value: 0 < value <= 1)]
JpegQuality = Annotated[int, Range("between 1 and 100", lambda value: 1 <= value <= 100)]
# unrelated 64-bit hashes differ in about 32 bits
FewBits = Annotated[
    int,
    Range("-1 (off) to 16: unrelated hashes differ in about 32", lambda value: -1 <= value <= 16),
]

FORMATS = ("F0", "F1", "F2", "F3", "F4")  # for many images
Layout = Literal[
    "stream", "F0", "F1", "F2", "F3", "F4", "haystack"
]  # omni stream, formats, long rows with needles
Boundary = Literal["explicit", "implicit"]
Control = Literal["speak", "text"]
Grids = Literal["budget", "omchat"]  # of tiles
Detector = Literal["silero", "energy"]  # of voice activity
Scenes = Literal["difference", "pyscenedetect"]
StageLayout = Literal["same", "stream", "F0", "F1", "F2", "F3", "F4", "haystack"]
RatioUnit = Literal["clips", "tokens"]
Schedule = Literal["wsd", "cosine", "constant"]  # of the learning rate
DecayShape = Literal["linear", "cosine", "exponential"]  # of the rate, where wsd lets it fall
Optimizer = Literal["muon", "adamw"]  # Muon for matrices and AdamW for the rest, or AdamW alone
BalanceRule = Literal["none", "rates", "weights", "ogm"]  # of how fast modalities converge
ClipRule = Literal["fixed", "running", "tensor", "none"]  # of the gradient's norm
# score of a token in selective training (`training.selection.scores`), and where its top is taken
SelectionRule = Literal[
    "none", "random", "loss", "reference", "excess", "static", "history", "visual", "prior",
    "switch", "oracle",
]  # fmt: skip
SelectionScope = Literal["sequence", "batch", "global"]
End = Literal["highest", "lowest"]
Precision = Literal["no", "bf16", "fp16"]
Engine = Literal[
    "auto", "ring", "ulysses", "allgather", "torch"
]  # of attention over a row on several ranks
DETECTORS = get_args(Detector)
PLANNED_ENGINES = ("ring", "ulysses", "allgather")  # whose cost is known in closed form
CHUNKS = {
    "contiguous": 1,
    "zigzag": 2,
}  # layouts of a row's tokens over ranks, and the chunks that each rank holds
