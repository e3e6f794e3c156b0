"""Confirmation of near-duplicates: two clips whose hashes agree must also agree in what hashes miss.

A perceptual hash knows shapes and their change, not colour; not a tone's pitch within its band, not
length, not text. So a clip counts as a copy only where all of these are alike too: what differs in
one of them is not lost.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16, UInt8

from omni_lab.triplets.record import EncodedClip

SIDE = 8  # cells per side in which colours are compared
COLOURS = 32  # largest difference of a cell's mean colour in copies, of 255: one may be brighter
LENGTHS = 0.9  # smallest ratio of lengths in copies: cuts fall a little apart
WINDOW = 2048  # samples of one spectrum
BINS = 576  # of it, up to 4,500 Hz, the range that every codec keeps
SPECTRA = 0.9  # smallest cosine of the mean spectra of copies


@dataclass(frozen=True, eq=False)
class Likeness:
    """What two near-duplicates have in common besides their hashes."""

    length: int  # ticks
    text: bytes  # digest of the words and who says them
    colours: UInt8[np.ndarray, "halves side side 3"] | None  # mean of both halves; without frames
    spectrum: Float32[np.ndarray, " bins"] | None  # mean amplitudes, of unit norm; without sound

    def alike(self, other: Likeness) -> bool:
        """Whether two clips agree in length, text, colours and spectrum."""
        shorter, longer = sorted((self.length, other.length))
        if shorter < LENGTHS * longer or self.text != other.text:
            return False
        pairs = (self.colours, other.colours), (self.spectrum, other.spectrum)
        if any((one is None) != (two is None) for one, two in pairs):
            return False
        (one, two), (first, second) = pairs
        if one is not None and np.abs(one.astype(int) - two).max() > COLOURS:
            return False
        if first is None or not (first.any() or second.any()):
            return True
        return float(first @ second) >= SPECTRA


def likeness(clip: EncodedClip) -> Likeness:
    """Length, text, colours and spectrum of a clip, to compare with another's."""
    record = clip.record
    length = record["end"] - record["start"]
    words = [[cue["role"], *cue["text"].casefold().split()] for cue in record["cues"]]
    return Likeness(
        length,
        hashlib.blake2b(repr(words).encode(), digest_size=16).digest(),
        _colours(clip.jpegs, record["frame_times"], length),
        _spectrum(clip.audio),
    )


def _colours(
    jpegs: Sequence[bytes], times: Sequence[int], length: int
) -> UInt8[np.ndarray, "halves side side 3"] | None:
    """Mean colours of the frames in a clip's first and second half, in coarse cells."""
    if not jpegs:
        return None
    cells = np.stack([_cells(jpeg) for jpeg in jpegs])
    late = np.array(times) * 2 >= length
    halves = [cells[half] if half.any() else cells for half in (~late, late)]
    return np.stack([half.mean(axis=0) for half in halves]).astype(np.uint8)


def _cells(jpeg: bytes) -> UInt8[np.ndarray, "side side 3"]:
    """Mean colours of a JPEG in coarse cells, decoded at low resolution."""
    from PIL import Image

    image = Image.open(io.BytesIO(jpeg))
    image.draft("RGB", (8 * SIDE, 8 * SIDE))
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))


def _spectrum(audio: Int16[np.ndarray, " samples"] | None) -> Float32[np.ndarray, " bins"] | None:
    """Mean amplitude spectrum of a clip's sound, of unit norm; zeros in silence."""
    if audio is None:
        return None
    whole = max(1, audio.size // WINDOW)
    windows = np.resize(audio, whole * WINDOW).reshape(whole, WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32))) ** 2
    amplitudes = np.sqrt(power.mean(axis=0))[:BINS]
    return (amplitudes / (np.linalg.norm(amplitudes) or 1.0)).astype(np.float32)
