"""What a clip is worth: speech, dark or still pictures, overdriven sound, sound away from its picture, copies.

`measure` writes numbers into every clip's record; a `Sieve` compares them with the thresholds of the settings and says
in words why a clip is not kept. What cannot be known of a clip is None or absent, and nothing is dropped for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int16

from omni_lab.config import TripletConfig
from omni_lab.media.decode import Film
from omni_lab.media.speech.vad import runs
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.building.av_offset import av_offset, onsets_of
from omni_lab.triplets.building.fingerprints import Fingerprints, picture_hash, sound_hash
from omni_lab.triplets.cutting.cut import Clip, speech_blocks
from omni_lab.triplets.record import EncodedClip

BLACK = 0.04  # mean brightness (of 1) below which a picture is black
STATIC = 0.002  # mean change (of 1) below which a picture is the one before
FULL_SCALE = (
    31_129  # half a decibel below the limit: codecs round off the corners of what was cut off
)
RUN = 3  # samples at full scale in a row: a single one may be a peak
SOUND_BITS = 7  # bits of 64 in which sounds that are alike may differ


def measure(
    film: Film,
    piece: Clip,
    cues: Sequence[Cue],
    jpegs: Sequence[bytes],
    times: Sequence[int],
    audio: Int16[np.ndarray, " samples"] | None,
    spans: list[list[int]],
) -> dict:
    """Measure what later choices go by: shares are of 1, levels of full scale.

    Parameters
    ----------
    film, piece : the film, and which part of it the clip is
    cues, jpegs, times, audio : what the clip holds; ticks from its start
    spans : where in `audio` there really is sound
    """
    length = piece.end - piece.start
    spoken = sum(end - start for start, end in speech_blocks((cue.start, cue.end) for cue in cues))
    quality: dict = {"speech_share": round(spoken / max(1, length), 4), "cut": piece.reason}
    if audio is not None:
        heard = np.concatenate([audio[a:b] for a, b in spans])
        level = heard.astype(np.float32) / 32768
        quality["audio_spans"] = spans
        quality["audio_rms"] = round(float(np.sqrt((level**2).mean())), 5)
        quality["audio_peak"] = round(float(np.abs(level).max()), 5)
        quality["clipped_share"] = round(float(clipped(heard).mean()), 4)
    inside = (film.frame_times >= piece.start) & (film.frame_times < piece.end)
    if inside.any():
        quality["black_share"] = round(float((film.brightness[inside] < BLACK).mean()), 4)
        quality["static_share"] = round(float((film.motion[inside] < STATIC).mean()), 4)
    quality["picture_hash"] = picture_hash(jpegs, times, length)
    quality["sound_hash"] = sound_hash(audio)
    changes = film.changes[(film.changes >= piece.start) & (film.changes < piece.end)] - piece.start
    known = (
        av_offset(changes, onsets_of(audio), length) if audio is not None and changes.size else None
    )
    quality["av_offset_s"], quality["av_offset_sureness"] = known or (None, None)
    return quality


def clipped(audio: Int16[np.ndarray, " samples"]) -> Bool[np.ndarray, " samples"]:
    """Mark the samples that are at full scale with neighbours that are so too: the tops that a recorder cut off.

    >>> clipped(np.array([0, 32767, 32767, 32767, 0, 32767], np.int16)).tolist()
    [False, True, True, True, False, False]
    """
    full = np.abs(audio.astype(np.int32)) >= FULL_SCALE
    marks = np.zeros(audio.size, dtype=bool)
    for start, end in runs(full):
        marks[start:end] = end - start >= RUN
    return marks


class Sieve:
    """Judge clips one by one, in order: the same clips in the same order are always judged the same.

    Parameters
    ----------
    config : thresholds
    known : clips that were kept before, each with `clip_id`, `picture_hash` and `sound_hash`, as rows of the index are
    """

    def __init__(self, config: TripletConfig, known: Iterable[Mapping] = ()):
        self.config = config
        self.seen = (
            Fingerprints(config.near_duplicate_bits, SOUND_BITS)
            if config.near_duplicate_bits >= 0
            else None
        )
        for row in known if self.seen else ():
            self.seen.add(row["clip_id"], row["picture_hash"], row["sound_hash"])

    def judge(self, clip: EncodedClip) -> str | None:
        """Say why a clip is dropped; None keeps it, and no later clip may be like it."""
        quality, config = clip.record["quality"], self.config
        late = quality["av_offset_s"]
        for name, value, most in (
            ("black picture", quality.get("black_share"), config.max_black_fraction),
            ("static picture", quality.get("static_share"), config.max_static_fraction),
            ("clipped sound", quality.get("clipped_share"), config.max_clipped_fraction),
            (
                "sound away from picture by",
                None if late is None else abs(late),
                config.max_av_offset_s,
            ),
        ):
            if value is not None and value > most:
                return f"{name} {value:g} > {most:g}"
        if quality["speech_share"] < config.min_speech_fraction:
            return f"speech {quality['speech_share']:g} < {config.min_speech_fraction:g}"
        return self._repeats(clip.clip_id, quality["picture_hash"], quality["sound_hash"])

    def _repeats(self, clip_id: str, picture: str | None, sound: str | None) -> str | None:
        """Say which clip this one repeats, or remember it."""
        if self.seen is None:
            return None
        found = self.seen.find(picture, sound)
        if found:
            return f"near-duplicate of {found[0]} ({found[1]} bits)"
        self.seen.add(clip_id, picture, sound)
        return None
