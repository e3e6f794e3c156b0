"""Fingerprints that a copy keeps: 64 bits of what a clip shows, 64 bits of how it sounds, and a search among many.

A copy that was encoded again, scaled or brightened differs in a few bits; other clips differ in about half of them.
Two clips are alike only where both their pictures and their sounds are: one slide with other words stays.

Sources: perceptual hashes of pictures take the low frequencies of a cosine transform (Zauner, 2010); Haitsma & Kalker
(2002) tell sounds apart by how the differences of neighbouring bands change; a search that looks up pieces of a code
finds every code near enough, since one piece must be free of differing bits (Norouzi et al., 2012).

Glossary: bits of a hash are written as 16 hexadecimal digits.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, combinations, pairwise

import numpy as np
from jaxtyping import Bool, Float, Int16

from omni_lab.config import TICKS_PER_SECOND

Codes = tuple[int | None, int | None]  # of pictures, of sounds
PIECES, WIDTH = 4, 16  # a hash of 64 bits is looked up by its pieces
SIDE = 32  # pixels per side of the grey pictures that are hashed
STANDS, CHANGES = (
    40,
    24,
)  # bits from the mean picture, bits from how the clip's second half differs from its first
FAINT = 8.0  # weight of a cosine (its amplitude in grey levels × 16) up to which it may be the encoder's noise
WINDOW, BANDS, PARTS = (
    512,
    9,
    9,
)  # samples of one spectrum; bands of frequency and parts of time of a sound
LOW_HZ, HIGH_HZ = 150, 4500  # what every codec keeps
QUIET = 1e-4  # power beside the loudest of a clip below which nothing is told apart
STEP = 0.3  # change of a band's loudness (natural log) up to which it may be the encoder's noise


def picture_hash(jpegs: Sequence[bytes], times: Sequence[int], length: int) -> str | None:
    """Hash what a clip shows: the low frequencies of its mean picture, and of what changes from half to half.

    Parameters
    ----------
    jpegs : the clip's pictures
    times : of each picture, ticks from the clip's start
    length : of the clip, ticks

    Returns
    -------
    16 hexadecimal digits; None without pictures
    """
    if not jpegs:
        return None
    greys = np.stack([_grey(jpeg) for jpeg in jpegs])
    late = np.array(times) * 2 >= length
    change = (
        greys[late].mean(axis=0) - greys[~late].mean(axis=0)
        if 0 < late.sum() < late.size
        else 0 * greys[0]
    )
    stands = _low_frequencies(greys.mean(axis=0))[
        1 : STANDS + 1
    ]  # without the first, the brightness
    return _digits(np.r_[stands, _low_frequencies(change)[:CHANGES]] > FAINT)


def sound_hash(audio: Int16[np.ndarray, " samples"] | None) -> str | None:
    """Hash how a clip sounds: whether the step from band to band grows from each part of its time to the next.

    Returns
    -------
    16 hexadecimal digits; None without sound, or where it is shorter than 0.3 s
    """
    if audio is None or audio.size < PARTS * WINDOW:
        return None
    windows = (
        np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[:: WINDOW // 2].astype(np.float32)
        / 32768
    )
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32))) ** 2
    edges = np.geomspace(LOW_HZ, HIGH_HZ, BANDS + 1) * WINDOW / TICKS_PER_SECOND
    edges = np.round(edges).astype(int)
    bands = np.stack([power[:, a:b].sum(axis=1) for a, b in pairwise(edges)], axis=1)
    parts = np.stack([part.mean(axis=0) for part in np.array_split(bands, PARTS)])
    loudness = np.log(parts + QUIET * parts.max() + 1e-9)
    return _digits(np.diff(np.diff(loudness, axis=0), axis=1).ravel() > STEP)


def distance(one: str, other: str) -> int:
    """Count the bits in which two hashes differ.

    >>> distance("00000000000000ff", "000000000000000f")
    4
    """
    return (int(one, 16) ^ int(other, 16)).bit_count()


class Fingerprints:
    """Many clips' hashes, and the search for one that is alike; a search compares with few of them.

    Every hash is filed under each of its four pieces. Of two that differ in `n` bits, one piece differs in no more than
    `n // 4`: so looking up all pieces that are so near finds whatever is alike, and little else.

    Parameters
    ----------
    picture_bits, sound_bits : in how many bits at most the pictures and the sounds of clips that are alike differ
    """

    def __init__(self, picture_bits: int, sound_bits: int):
        self.limits = picture_bits, sound_bits
        self.compared = 0  # pairs looked at so far: what the search costs
        self._known: list[tuple[str, Codes]] = []
        self._files: dict[tuple, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._near = [_masks(limit // PIECES) for limit in self.limits]

    def add(self, clip_id: str, picture: str | None, sound: str | None) -> None:
        """Remember a clip; one with neither picture nor sound is like no other."""
        codes = _codes(picture, sound)
        for sense in _senses(codes):
            for i, piece in enumerate(_pieces(codes[sense])):
                self._files[_senses(codes), sense, i][piece].append(len(self._known))
        self._known.append((clip_id, codes))

    def find(self, picture: str | None, sound: str | None) -> tuple[str, int] | None:
        """Give the first clip remembered that is alike, and in how many bits they differ; None if there is none.

        Clips are alike where they have the same senses and each differs in no more bits than its limit.
        """
        codes = _codes(picture, sound)
        # either sense finds every clip that is alike: take the one that asks for fewer comparisons
        filed = min(
            (self._filed(codes, s) for s in _senses(codes)),
            key=lambda found: sum(map(len, found)),
            default=[],
        )
        for number in sorted(set(chain.from_iterable(filed))):
            self.compared += 1
            clip_id, others = self._known[number]
            apart = [
                (a ^ b).bit_count() if a is not None else 0
                for a, b in zip(codes, others, strict=True)
            ]
            if all(bits <= limit for bits, limit in zip(apart, self.limits, strict=True)):
                return clip_id, sum(apart)
        return None

    def _filed(self, codes: Codes, sense: int) -> list[list[int]]:
        """Give what is filed under pieces near those of one sense."""
        files = [self._files[_senses(codes), sense, i] for i in range(PIECES)]
        places = zip(files, _pieces(codes[sense]), strict=True)
        return [
            file[piece ^ mask]
            for file, piece in places
            for mask in self._near[sense]
            if piece ^ mask in file
        ]


def _codes(picture: str | None, sound: str | None) -> Codes:
    return tuple(None if digits is None else int(digits, 16) for digits in (picture, sound))


def _senses(codes: Codes) -> tuple[int, ...]:
    return tuple(sense for sense, code in enumerate(codes) if code is not None)


def _pieces(code: int) -> list[int]:
    return [code >> WIDTH * i & (1 << WIDTH) - 1 for i in range(PIECES)]


def _masks(bits: int) -> list[int]:
    """Give every piece with at most so many bits set.

    >>> len(_masks(0)), len(_masks(1))
    (1, 17)
    """
    return [
        sum(1 << i for i in flips)
        for count in range(bits + 1)
        for flips in combinations(range(WIDTH), count)
    ]


def _digits(bits: Bool[np.ndarray, " bits"]) -> str:
    """Write bits as a hash, dealt out over its pieces: those that say little (a still picture's changes) are in all."""
    return np.packbits(bits.reshape(-1, PIECES).T.ravel()).tobytes().hex()


def _grey(jpeg: bytes) -> Float[np.ndarray, "side side"]:
    """Decode a JPEG small and grey: the decoder leaves out the detail that nobody asks for."""
    from PIL import Image

    image = Image.open(io.BytesIO(jpeg))
    image.draft("L", (2 * SIDE, 2 * SIDE))
    return np.asarray(
        image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32
    )


def _low_frequencies(grey: Float[np.ndarray, "side side"]) -> Float[np.ndarray, " weights"]:
    """Give a picture's cosine weights from the lowest frequency up, diagonal by diagonal."""
    k, x = np.arange(10)[:, None], np.arange(SIDE)[None]
    cosines = np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)) * np.sqrt(np.where(k == 0, 1, 2) / SIDE)
    weights = cosines @ grey @ cosines.T
    return np.array([weights[row, total - row] for total in range(10) for row in range(total + 1)])
