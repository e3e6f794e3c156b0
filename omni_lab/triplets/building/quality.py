"""Quality filter: speech, black or static pictures, clipping, audio/video offset, near-duplicates.

`measure` writes numbers into every clip's record; a `Sieve` compares them with the thresholds of
the settings and gives the reason for each dropped clip. An unknown figure is None or absent, and no
clip is dropped for it. A black picture with good sound costs the clip its picture only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int16

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import Film
from omni_lab.media.speech.vad import runs
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.building.av_offset import av_offset, onsets_of
from omni_lab.triplets.building.fingerprints import (
    SILENCE,
    SILENT,
    Fingerprints,
    picture_hash,
    sound_hash,
)
from omni_lab.triplets.building.likeness import Likeness, likeness
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
    known : rows of the index, of the clips kept by earlier runs
    read : a clip of these rows by its clip_id, asked of those that a later clip may be a copy of
    """

    def __init__(
        self,
        config: TripletConfig,
        known: Iterable[Mapping] = (),
        read: Callable[[str], EncodedClip] | None = None,
    ):
        self.config = config
        self.seen = (
            Fingerprints(config.near_duplicate_bits, SOUND_BITS)
            if config.near_duplicate_bits >= 0
            else None
        )
        self._read = read
        # of the clips in `seen`; of unread ones their clip_id, and None of those that are replaced
        self._kept: list[Likeness | str | None] = []
        self._numbers: dict[str, list[int]] = defaultdict(list)  # in `seen`, by source id
        for row in known if self.seen else ():
            has = [kind for kind in ("image", "audio") if row[kind]]
            if _telling(has, row["picture_hash"], row["sound_hash"]):
                hashes = row["picture_hash"], row["sound_hash"]
                self._insert(row["clip_id"], *hashes, row["clip_id"])

    def forget(self, source_id: str) -> None:
        """Removal of a film's clips: nothing is a copy of what will be replaced."""
        for number in self._numbers.pop(source_id, []):
            self._kept[number] = None

    def judge(self, clip: EncodedClip) -> str | None:
        """Reason to drop a clip; None keeps it, and later near-duplicates of it are dropped.

        A clip with a black picture and good sound has to lose its picture first (see `unseen`).
        """
        quality, config = clip.record["quality"], self.config
        offset = quality["av_offset_s"]
        apart = None if offset is None else abs(offset)
        black = quality.get("black_share") if clip.jpegs else None
        static = quality.get("static_share") if clip.jpegs else None
        for name, value, most in (
            ("black picture", black, config.max_black_fraction),
            ("static picture", static, config.max_static_fraction),
            ("clipped sound", quality.get("clipped_share"), config.max_clipped_fraction),
            ("sound away from picture by", apart, config.max_av_offset_s),
        ):
            if value is not None and value > most:
                return f"{name} {value:g} > {most:g}"
        if quality["speech_share"] < config.min_speech_fraction:
            return f"speech {quality['speech_share']:g} < {config.min_speech_fraction:g}"
        return self._repeats(clip)

    def _repeats(self, clip: EncodedClip) -> str | None:
        """Near-duplicate check; a clip without one is inserted.

        Where a picture or a sound has no detail, there is no verdict: nothing can be told of it.
        """
        hashes = [clip.record["quality"][name] for name in ("picture_hash", "sound_hash")]
        if self.seen is None or not _telling(clip.record["has"], *hashes):
            return None
        own = likeness(clip)
        found = self.seen.find(*hashes, lambda number: self._alike(number, own))
        if found:
            return f"near-duplicate of {found[0]} ({found[1]} bits)"
        self._insert(clip.clip_id, *hashes, own)
        return None

    def _insert(
        self, clip_id: str, picture: str | None, sound: str | None, kept: Likeness | str
    ) -> None:
        """Insertion of a kept clip, which later clips may be copies of."""
        self._numbers[clip_id.split("_")[0]].append(len(self._kept))
        self.seen.add(clip_id, picture, sound)
        self._kept.append(kept)

    def _alike(self, number: int, other: Likeness) -> bool:
        """Whether a clip is like the n-th in `seen`, which is read if it is of an earlier run."""
        found = self._kept[number]
        if isinstance(found, str):
            found = self._kept[number] = likeness(self._read(found))
        return found is not None and found.alike(other)


def unseen(clip: EncodedClip, config: TripletConfig) -> EncodedClip | None:
    """Clip without its black picture, where its sound is good; None for every other clip."""
    quality, record = clip.record["quality"], clip.record
    black = quality.get("black_share", 0) > config.max_black_fraction
    silent = clip.audio is None or quality["audio_rms"] < SILENT
    if not clip.jpegs or not black or silent:
        return None
    has = [kind for kind in record["has"] if kind != "image"]
    quality = {**quality, "picture_hash": None}
    return EncodedClip(
        clip.clip_id, {**record, "has": has, "frame_times": [], "quality": quality}, (), clip.audio
    )


def _telling(has: Iterable[str], picture: str | None, sound: str | None) -> bool:
    """Whether a clip has detail in a picture or a sound, and each that it has a hash."""
    hashes = {"image": picture, "audio": sound}
    present = {hashes[kind] for kind in has if kind in hashes}
    return None not in present and bool(present - {SILENCE})
