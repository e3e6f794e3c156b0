"""The triplet: one clip of a film as frames, audio and text on one clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from omni_lab.media.subtitles import Cue


@dataclass(frozen=True, eq=False)
class Triplet:
    """A clip of some seconds: what is seen, heard and read in it, and what is known about it.

    A modality that the film lacks is absent from `has` and its array is empty: it is never replaced by silence or
    black. `start` and `end` are on the source's clock; everything inside the clip counts from the clip's start.
    """

    source_id: str  # content hash of the film
    start: int  # ticks on the source's clock
    end: int  # ticks on the source's clock
    frames: UInt8[np.ndarray, "frames height width 3"]  # sRGB, upright
    frame_times: Int64[np.ndarray, " frames"]  # each frame's own true time, ticks from the clip's start
    audio: Float32[np.ndarray, " samples"]  # 16 kHz mono in [-1, 1]: sample i is heard at tick i of the clip
    cues: tuple[Cue, ...]  # in ticks from the clip's start
    has: frozenset[str]  # of "image", "audio", "text"
    quality: dict = field(default_factory=dict)  # speech share, loudness, black and static picture: see build.py
    facts: tuple[dict, ...] = ()  # what is known to be true in it (films of the world), rebased to the clip
    config_hash: str = ""  # of the settings that made it

    @property
    def clip_id(self) -> str:
        """Name the clip by where it comes from: source and ticks."""
        return f"{self.source_id}_{self.start}_{self.end}"

    @property
    def duration(self) -> int:
        """Length of the clip in ticks."""
        return self.end - self.start
