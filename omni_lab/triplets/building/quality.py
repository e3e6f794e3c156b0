"""Quality filter: speech, black or static pictures, clipping, audio/video offset, near-duplicates.

`measure` writes numbers into every clip's record; a `Sieve` compares them with the thresholds of
the settings and gives the reason for each dropped clip. An unknown figure is None or absent, and no
clip is dropped for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int16

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import Film
from omni_lab.media.speech.vad import runs
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.building.av_offset import av_offset, onsets_of
from omni_lab.triplets.building.fingerprints import Fingerprints, picture_hash, sound_hash
from omni_lab.triplets.cutting.cut import Clip, speech_blocks
from omni_lab.triplets.record import EncodedClip

BLACK = 0.04  # mean brightness (of 1) below which a picture is black
STATIC = 0.002  # mean change (of 1) below which a picture repeats the one before
FULL_SCALE = 31_129  # half a decibel below the limit: codecs round the corners of clipped peaks
RUN = 3  # samples at full scale in a row: a single one may be a peak
SOUND_BITS = 7  # largest Hamming distance of near-duplicate sounds, bits of 64


def measure(
    film: Film,
    piece: Clip,
    cues: Sequence[Cue],
    jpegs: Sequence[bytes],
    times: Sequence[int],
    audio: Int16[np.ndarray, " samples"] | None,
    spans: list[list[int]],
) -> dict:
    """Quality figures of a clip: fractions of 1, levels of full scale, hashes, offset in seconds.

    Parameters
    ----------
    film : that the clip was cut from
    piece : start and end of the clip in the film, ticks
    cues, jpegs, times, audio : content of the clip; ticks from its start
    spans : parts [start, end) of `audio` that hold real sound, not padding

    Returns
    -------
    JSON values by name; the figures of a missing modality are absent
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
    offset = None
    if audio is not None and changes.size:
        offset = av_offset(changes, onsets_of(audio), length)
    quality["av_offset_s"], quality["av_offset_sureness"] = offset or (None, None)
    return quality


def clipped(audio: Int16[np.ndarray, " samples"]) -> Bool[np.ndarray, " samples"]:
    """Clipping detection: samples in runs at full scale, the tops that a recorder cut off.

    >>> clipped(np.array([0, 32767, 32767, 32767, 0, 32767], np.int16)).tolist()
    [False, True, True, True, False, False]
    """
    full = np.abs(audio.astype(np.int32)) >= FULL_SCALE
    marks = np.zeros(audio.size, dtype=bool)
    for start, end in runs(full):
        marks[start:end] = end - start >= RUN
    return marks


class Sieve:
    """Quality filter over a sequence of clips: the verdicts depend on the clips and their order.

    Parameters
    ----------
    config : thresholds
    known : clips kept by earlier runs, each with `clip_id`, `picture_hash` and `sound_hash`, such
        as rows of the index
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
        """Reason to drop a clip; None keeps it, and later near-duplicates of it are dropped."""
        quality, config = clip.record["quality"], self.config
        offset = quality["av_offset_s"]
        apart = None if offset is None else abs(offset)
        for name, value, most in (
            ("black picture", quality.get("black_share"), config.max_black_fraction),
            ("static picture", quality.get("static_share"), config.max_static_fraction),
            ("clipped sound", quality.get("clipped_share"), config.max_clipped_fraction),
            ("sound away from picture by", apart, config.max_av_offset_s),
        ):
            if value is not None and value > most:
                return f"{name} {value:g} > {most:g}"
        if quality["speech_share"] < config.min_speech_fraction:
            return f"speech {quality['speech_share']:g} < {config.min_speech_fraction:g}"
        return self._repeats(clip.clip_id, quality["picture_hash"], quality["sound_hash"])

    def _repeats(self, clip_id: str, picture: str | None, sound: str | None) -> str | None:
        """Near-duplicate check; a clip without one is inserted."""
        if self.seen is None:
            return None
        found = self.seen.find(picture, sound)
        if found:
            return f"near-duplicate of {found[0]} ({found[1]} bits)"
        self.seen.add(clip_id, picture, sound)
        return None
