"""The triplet: one clip of a film as frames, audio and text on one clock."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Int16, Int64, UInt8

from omni_lab.media.subtitles.reader import Cue, Word


@dataclass(frozen=True, eq=False)
class Triplet:
    """Triplet of frames, audio and text: one clip of some seconds, with quality figures and facts.

    A modality that the film lacks is absent from `has` and its array is empty: it is never
    replaced by silence or black. `start` and `end` are ticks at 16 kHz on the source's clock;
    every time inside the clip counts from the clip's start.
    """

    source_id: str  # content hash of the film
    start: int  # ticks on the source's clock
    end: int  # ticks on the source's clock
    frames: UInt8[np.ndarray, "frames height width 3"]  # sRGB, upright
    frame_times: Int64[np.ndarray, " frames"]  # true presentation times, ticks from the start
    audio: Float32[np.ndarray, " samples"]  # 16 kHz mono in [-1, 1]: sample i is at tick i
    cues: tuple[Cue, ...]  # in ticks from the clip's start
    has: frozenset[str]  # of "image", "audio", "text"
    quality: dict = field(default_factory=dict)  # speech, loudness, hashes …: see quality.py
    facts: tuple[dict, ...] = ()  # ground truth (films of the world), ticks from the clip's start
    config_hash: str = ""  # of the settings that made it

    @property
    def clip_id(self) -> str:
        """Clip identifier: source id, start and end in ticks."""
        return f"{self.source_id}_{self.start}_{self.end}"

    @property
    def duration(self) -> int:
        """Clip length, ticks at 16 kHz."""
        return self.end - self.start

    def window(self, start: int, end: int) -> Triplet:
        """Sub-clip between two ticks: frames, samples, and the cues and facts that begin inside.

        A modality with nothing inside is absent from `has`, as it would be from a clip. Of the
        quality figures only `audio_spans` is kept, since the others describe the whole clip.

        Parameters
        ----------
        start, end : ticks from the clip's start
        """
        inside = (self.frame_times >= start) & (self.frame_times < end)
        frames = self.frames[inside]
        cues = tuple(cue.moved(-start) for cue in self.cues if start <= cue.start < end)

        # a window that lies in padding alone holds no sound
        spans = np.clip(self.quality.get("audio_spans", [[0, len(self.audio)]]), start, end) - start
        spans = [span for span in spans.tolist() if span[0] < span[1]]
        audio = self.audio[start:end] if spans else self.audio[:0]

        contents = {"image": frames, "audio": audio, "text": cues}
        absent = {modality for modality, content in contents.items() if not len(content)}
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
    """Encoded clip as stored in a shard: JPEG frames, 16-bit PCM audio, and a JSON record."""

    clip_id: str
    record: dict  # everything but frames and audio; `Triplet` documents the keys
    jpegs: tuple[bytes, ...]
    audio: Int16[np.ndarray, " samples"] | None

    def decode(self) -> Triplet:
        """Decoded triplet: frames as uint8 sRGB, audio as float32 in [-1, 1].

        Raises
        ------
        ValueError
            a JPEG does not decode, or the record lacks a key
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
            raise ValueError(f"record without the key {error}") from None


def cue_from(data: dict) -> Cue:
    """Cue, with its words, from its JSON form."""
    return Cue(**{**data, "words": tuple(Word(**word) for word in data["words"])})


def _pictures(jpegs: tuple[bytes, ...]) -> UInt8[np.ndarray, "frames height width 3"]:
    """Decoded JPEGs of one size, stacked."""
    from PIL import Image, UnidentifiedImageError

    try:
        pictures = [np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in jpegs]
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"undecodable JPEG ({error})") from None
    return np.stack(pictures) if pictures else np.zeros((0, 0, 0, 3), dtype=np.uint8)
