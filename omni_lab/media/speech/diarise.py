"""Speaker diarisation by sound alone: cues with similar voices get one name, "voice 1", "voice 2" …

A cue becomes a few plain statistics: the mean shape of its log-mel spectrum (the timbre of a voice)
and its median pitch. Cues are then clustered, nearest first, into as many groups as separate best,
or one where none separate.

Measured on the world's two voices, 20 lines, ten seeds each: of lines of three words, a fraction of
.005 (standard deviation .015) is assigned to the wrong voice at the speeds and pitches of training
and none at unseen ones; of single words .05 (.15) and .03 (.10): mostly none, but one film in ten
becomes one voice. A film with one voice is split in none of 20 with lines of three words, in 4 of
20 with single words. Two or three lines are too few to separate voices. These voices are synthetic
and the two settings below were chosen on them: people in one room, or with music, were not
measured.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Int16, Int64

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.reader import Cue

HOP = TICKS_PER_SECOND // 100  # 10 ms
FRAME = TICKS_PER_SECOND // 25  # 40 ms: two periods of the deepest voice
MELS = 24
LOWEST, HIGHEST = 60, 400  # Hz, of a voice's pitch
FEWEST = 15  # voiced frames; a cue with fewer has no voice
LONGEST = 30 * TICKS_PER_SECOND  # of a cue that is analysed: a title may last for the whole film
MOST_VOICES = 6
# Mean silhouette below which all cues are one voice: two voices had .51 to .70, one .23 to .56
SEPARATE = 0.5
PITCH_WEIGHT = 1.5  # of a semitone, relative to a decibel of spectral shape
OCTAVE = 0.02  # by which a pitch an octave higher is preferred
VOICED = 0.5  # correlation of a frame with itself a period later, at least
AT_ONCE = 2000  # cues that are clustered by distance; the rest join the nearest group


def name_voices(
    cues: tuple[Cue, ...], audio: Int16[np.ndarray, " samples"], start: int = 0
) -> tuple[Cue, ...]:
    """Speaker diarisation: cues without a role get the name of their voice.

    They also get `role_source` "voice" and a confidence in [0, 1]. Voices are numbered by their
    first cue. A cue with less than 0.15 s of voice stays without; of a long one the first half
    minute counts.

    Parameters
    ----------
    cues : in order of time; those with a role are returned as they are
    audio : 16 kHz mono
    start : tick of the first sample
    """
    vectors = {}
    for i, cue in enumerate(cues):
        if cue.role is None:
            end = min(cue.end, cue.start + LONGEST)
            vectors[i] = embed(audio[max(0, cue.start - start) : max(0, end - start)])
    vectors = {i: vector for i, vector in vectors.items() if vector is not None}
    if not vectors:
        return cues

    groups, confidence = group(np.stack(list(vectors.values())))
    named = list(cues)
    for i, voice, sure in zip(vectors, groups, confidence, strict=True):
        named[i] = replace(
            cues[i],
            role=f"voice {voice + 1}",
            role_source="voice",
            role_confidence=round(float(sure), 3),
        )
    return tuple(named)


def embed(audio: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, " features"] | None:
    """Speaker embedding: mean log-mel shape (dB) and median pitch (semitones above 60 Hz).

    None where fewer than 15 frames are voiced. `audio` is 16 kHz mono; there are 25 features.
    """
    if audio.size < FRAME:
        return None
    view = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP]
    frames = view.astype(np.float32) / 32768
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), 2 * FRAME)) ** 2
    loud = 10 * np.log10(power.mean(axis=1) + 1e-9)
    pitch = _pitch(frames)
    use = (loud > loud.max() - 25) & (pitch > 0)
    if use.sum() < FEWEST:
        return None
    shape = 10 * np.log10(power[use] @ _bank() + 1e-7)
    shape -= shape.mean(axis=1, keepdims=True)
    semitones = 12 * np.log2(np.median(pitch[use]) / LOWEST)
    return np.r_[shape.mean(axis=0) / np.sqrt(MELS), PITCH_WEIGHT * semitones].astype(np.float32)


def group(
    vectors: Float32[np.ndarray, "cues features"],
) -> tuple[Int64[np.ndarray, " cues"], Float[np.ndarray, " cues"]]:
    """Agglomerative clustering into one to six voices, numbered in order of appearance.

    The number of groups is the one with the largest mean silhouette (Rousseeuw 1987), one where
    that is below `SEPARATE`.

    Returns
    -------
    each cue's group, and a confidence: how much nearer the centre of its group is than the next
    one; with one group it is what the best split lacks of a perfect one
    """
    from scipy.spatial.distance import cdist

    # Distances between all cues of a long film would not fit in memory.
    at = np.linspace(0, len(vectors) - 1, min(len(vectors), AT_ONCE)).round().astype(int)
    chosen = vectors[at]
    best, labels = _best_split(chosen)
    if best < SEPARATE:
        return np.zeros(len(vectors), dtype=np.int64), np.full(len(vectors), 1.0 - best)

    centres = np.stack([chosen[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    away = cdist(vectors, centres)
    nearest = away.argmin(axis=1)
    own, other = np.sort(away, axis=1)[:, :2].T
    _, first, number = np.unique(nearest, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number], 1 - own / np.maximum(other, 1e-9)


def _best_split(vectors: Float32[np.ndarray, "cues features"]) -> tuple[float, np.ndarray]:
    """Best clustering by mean silhouette: that mean (0 for one group), and each cue's group."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import cdist

    best, labels = 0.0, np.zeros(len(vectors), dtype=np.int64)
    if len(vectors) < 3:
        return best, labels
    tree, distance = linkage(vectors, "average"), cdist(vectors, vectors)
    for count in range(2, min(MOST_VOICES, len(vectors) - 1) + 1):
        tried = fcluster(tree, count, "maxclust") - 1
        if tried.max() and (mean := float(_silhouette(distance, tried).mean())) > best:
            best, labels = mean, tried
    return best, labels


@functools.lru_cache(maxsize=1)
def _bank() -> Float32[np.ndarray, "bins mels"]:
    """Triangular mel filter bank of Whisper's kind (Slaney), from 100 to 7000 Hz."""
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(
        FRAME + 1, MELS, 100.0, 7000.0, TICKS_PER_SECOND, norm="slaney", mel_scale="slaney"
    )
    return bank.astype(np.float32)


def _pitch(frames: Float32[np.ndarray, "frames samples"]) -> Float32[np.ndarray, " frames"]:
    """Pitch of every frame (Hz), at the highest peak of its autocorrelation; 0 where unvoiced."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * FRAME)) ** 2
    correlation = np.fft.irfft(spectrum)[:, :FRAME]
    lags = np.arange(TICKS_PER_SECOND // HIGHEST, TICKS_PER_SECOND // LOWEST)
    strength = correlation[:, lags] / (1 - lags / FRAME) / (correlation[:, :1] + 1e-9)
    # Two periods correlate as well as one: prefer the one.
    best = (strength - OCTAVE * np.log2(lags)).argmax(axis=1)
    voiced = strength[np.arange(len(frames)), best] > VOICED
    return np.where(voiced, TICKS_PER_SECOND / lags[best], 0).astype(np.float32)


def _silhouette(distance, labels):
    """Silhouette of every cue: 1 far from all other groups, 0 half-way to the nearest.

    It compares the mean distance to the cue's group with that to the nearest other group.
    """
    sums = np.stack([distance[:, labels == label].sum(axis=1) for label in range(labels.max() + 1)])
    sizes = np.bincount(labels)
    index = np.arange(len(labels))
    own = sums[labels, index] / np.maximum(sizes[labels] - 1, 1)
    sums[labels, index] = np.inf
    other = (sums / sizes[:, None]).min(axis=0)
    apart = (other - own) / np.maximum(np.maximum(own, other), 1e-9)
    return np.where(sizes[labels] > 1, apart, 0.0)
