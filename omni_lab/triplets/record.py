"""The triplet: one clip of a film as frames, audio and text on one clock."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Int16, Int64, UInt8

from omni_lab.media.subtitles.reader import Cue, Word


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
    frame_times: Int64[
        np.ndarray, " frames"
    ]  # each frame's own true time, ticks from the clip's start
    audio: Float32[
        np.ndarray, " samples"
    ]  # 16 kHz mono in [-1, 1]: sample i is heard at tick i of the clip
    cues: tuple[Cue, ...]  # in ticks from the clip's start
    has: frozenset[str]  # of "image", "audio", "text"
    quality: dict = field(
        default_factory=dict
    )  # speech share, loudness, fingerprints …: see quality.py
    facts: tuple[
        dict, ...
    ] = ()  # what is known to be true in it (films of the world), rebased to the clip
    config_hash: str = ""  # of the settings that made it

    @property
    def clip_id(self) -> str:
        """Name the clip by where it comes from: source and ticks."""
        return f"{self.source_id}_{self.start}_{self.end}"

    @property
    def duration(self) -> int:
        """Length of the clip in ticks."""
        return self.end - self.start

    def window(self, start: int, end: int) -> Triplet:
        """The part of a clip between two ticks: frames, samples and the cues and facts that begin inside.

        A sense of which nothing lies inside is absent from the part, as it would be from a clip. Of what was measured,
        the part keeps only where there really is sound.
        """
        inside = (self.frame_times >= start) & (self.frame_times < end)
        frames = self.frames[inside]
        cues = tuple(cue.moved(-start) for cue in self.cues if start <= cue.start < end)
        spans = np.clip(self.quality.get("audio_spans", [[0, len(self.audio)]]), start, end) - start
        spans = [span for span in spans.tolist() if span[0] < span[1]]
        audio = self.audio[start:end] if spans else self.audio[:0]
        absent = {
            s
            for s, content in (("image", frames), ("audio", audio), ("text", cues))
            if not len(content)
        }
        return replace(
            self,
            start=self.start + start,
            end=self.start + end,
            frames=frames,
            frame_times=self.frame_times[inside] - start,
            audio=audio,
            has=self.has - absent,
            quality={"audio_spans": spans},
            cues=cues,
            facts=tuple(
                {**fact, "start": fact["start"] - start, "end": fact["end"] - start}
                for fact in self.facts
                if start <= fact["start"] < end
            ),
        )


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip as it lies in a shard: pictures as JPEG, sound as 16-bit samples, the rest as plain JSON values."""

    clip_id: str
    record: dict  # everything but pictures and sound; see `Triplet` for the meaning of each key
    jpegs: tuple[bytes, ...]
    audio: Int16[np.ndarray, " samples"] | None

    def decode(self) -> Triplet:
        """Turn it into arrays.

        Raises
        ------
        ValueError
            a picture is broken, or the record lacks something
        """
        record = self.record
        audio = self.audio if self.audio is not None else np.zeros(0, dtype=np.int16)
        try:
            return Triplet(
                source_id=record["source"]["id"],
                start=record["start"],
                end=record["end"],
                frames=_pictures(self.jpegs),
                frame_times=np.array(record["frame_times"], dtype=np.int64),
                audio=audio.astype(np.float32) / 32768,
                cues=tuple(cue_from(cue) for cue in record["cues"]),
                has=frozenset(record["has"]),
                quality=record["quality"],
                facts=tuple(record["facts"]),
                config_hash=record["config_hash"],
            )
        except KeyError as error:
            raise ValueError(f"the record lacks {error}") from None


def cue_from(data: dict) -> Cue:
    """Rebuild a cue from its JSON form."""
    return Cue(**{**data, "words": tuple(Word(**word) for word in data["words"])})


def _pictures(jpegs: tuple[bytes, ...]) -> UInt8[np.ndarray, "frames height width 3"]:
    """Decode JPEGs of one size into one array."""
    from PIL import Image, UnidentifiedImageError

    try:
        pictures = [np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in jpegs]
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"a picture cannot be decoded ({error})") from None
    return np.stack(pictures) if pictures else np.zeros((0, 0, 0, 3), dtype=np.uint8)
