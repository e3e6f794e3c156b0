"""Perceptual hashes for near-duplicates: 64 bits of picture, 64 bits of sound, Hamming search.

A copy that was encoded again, scaled or brightened differs in a few bits; other clips differ in
about half of them. Two clips are near-duplicates only where both their pictures and their sounds
are: one slide with other words stays. What has too little detail (a plain wall, a steady tone) has
no hash: nothing can be told of it. Silence has one, the same for all.

Sources: perceptual hashes of pictures take the low frequencies of a cosine transform (Zauner,
2010); audio fingerprints take the signs of changes between neighbouring bands (Haitsma & Kalker,
2002); multi-index hashing finds every code within a Hamming radius by its pieces, since some piece
differs in few bits (Norouzi et al., 2012).

Glossary: a hash is 64 bits, written as 16 hexadecimal digits.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, combinations, pairwise

import numpy as np
from jaxtyping import Float, Int16

from omni_lab.config import TICKS_PER_SECOND

Codes = tuple[int | None, int | None]  # of pictures, of sounds
PIECES, WIDTH = 4, 16  # a hash of 64 bits is looked up by 4 pieces of 16 bits
SIDE = 32  # pixels per side of the grey pictures that are hashed
STANDS = 40  # bits from the mean picture
CHANGES = 24  # bits from the difference between the clip's second half and its first
DETAIL = 16  # fewest bits of 64 that must come from more than noise: fewer tell nothing apart
FAINT = 8.0  # cosine weight (amplitude in grey levels × 16) up to which it may be encoder noise
WINDOW = 512  # samples of one spectrum
BANDS, PARTS = 9, 9  # of frequency, of time
LOW_HZ, HIGH_HZ = 150, 4500  # the range that every codec keeps
SILENT = 0.001  # root mean square (of 1) below which a sound is silence
SILENCE = "0" * 16  # hash of silence
QUIET = 1e-4  # power floor, relative to the loudest part of a clip
STEP = 0.3  # change of a band's loudness (natural log) up to which it may be encoder noise


def picture_hash(jpegs: Sequence[bytes], times: Sequence[int], length: int) -> str | None:
    """Perceptual hash of a clip's frames: low DCT frequencies of their mean and of their change.

    The change is the mean of the second half of the clip minus that of the first.

    Parameters
    ----------
    jpegs : the clip's frames
    times : of each frame, ticks from the clip's start
    length : of the clip, ticks

    Returns
    -------
    16 hexadecimal digits; None without frames, or where they show too little detail
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
    # without the lowest frequency, which is the brightness
    stands = _low_frequencies(greys.mean(axis=0))[1 : STANDS + 1]
    return _digits(np.r_[stands, _low_frequencies(change)[:CHANGES]], FAINT)


def sound_hash(audio: Int16[np.ndarray, " samples"] | None) -> str | None:
    """Audio fingerprint: does the step from band to band grow from one part of time to the next?

    Parameters
    ----------
    audio : 16 kHz mono

    Returns
    -------
    16 hexadecimal digits, `SILENCE` for silence; None without sound, or where it is shorter than
    0.3 s or too steady
    """
    if audio is None or audio.size < PARTS * WINDOW:
        return None
    if np.sqrt((audio.astype(np.float32) ** 2).mean()) < SILENT * 32768:
        return SILENCE
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
    return _digits(np.diff(np.diff(loudness, axis=0), axis=1).ravel(), STEP)


def distance(one: str, other: str) -> int:
    """Hamming distance of two hashes, in bits.

    >>> distance("00000000000000ff", "000000000000000f")
    4
    """
    return (int(one, 16) ^ int(other, 16)).bit_count()


class Fingerprints:
    """Near-duplicate index by multi-index hashing: exact search that compares with few clips.

    Every hash is filed under each of its four pieces. Of two hashes that differ in `n` bits, some
    piece differs in at most `n // 4`: so looking up all pieces within that distance finds every
    near-duplicate, and little else.

    Parameters
    ----------
    picture_bits, sound_bits : largest Hamming distance of near-duplicates, bits of 64
    """

    def __init__(self, picture_bits: int, sound_bits: int):
        self.limits = picture_bits, sound_bits
        self.compared = 0  # pairs compared so far: the cost of the search
        self._known: list[tuple[str, Codes]] = []
        self._files: dict[tuple, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._near = [_masks(limit // PIECES) for limit in self.limits]

    def add(self, clip_id: str, picture: str | None, sound: str | None) -> None:
        """Insertion of a clip by its hashes; one without any hash has no near-duplicates."""
        codes = _codes(picture, sound)
        for sense in _senses(codes):
            for i, piece in enumerate(_pieces(codes[sense])):
                self._files[_senses(codes), sense, i][piece].append(len(self._known))
        self._known.append((clip_id, codes))

    def find(
        self,
        picture: str | None,
        sound: str | None,
        confirmed: Callable[[int], bool] = lambda number: True,
    ) -> tuple[str, int] | None:
        """First near-duplicate in order of insertion, with its Hamming distance; None without one.

        Near-duplicates have the same modalities, and each differs in no more bits than its limit.

        Parameters
        ----------
        picture, sound : hashes
        confirmed : second test of a clip whose hashes agree, by its number in order of insertion
        """
        codes = _codes(picture, sound)
        # picture or sound alone finds every near-duplicate: take the one with fewer candidates
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
            near = all(bits <= limit for bits, limit in zip(apart, self.limits, strict=True))
            if near and confirmed(number):
                return clip_id, sum(apart)
        return None

    def _filed(self, codes: Codes, sense: int) -> list[list[int]]:
        """Candidates: numbers of clips filed under pieces near those of one modality."""
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
    """Bit masks of one piece with at most `bits` bits set.

    >>> len(_masks(0)), len(_masks(1))
    (1, 17)
    """
    return [
        sum(1 << i for i in flips)
        for count in range(bits + 1)
        for flips in combinations(range(WIDTH), count)
    ]


def _digits(figures: Float[np.ndarray, " bits"], noise: float) -> str | None:
    """Hash of 64 bits, dealt out over its pieces; None where noise alone decides nearly all.

    So bits with little information (the changes of a still picture) do not fill one piece alone.

    Parameters
    ----------
    figures : a bit is set where its figure is above `noise`
    noise : size of a figure up to which it may be the encoder's noise
    """
    if (np.abs(figures) > noise).sum() < DETAIL:
        return None
    return np.packbits((figures > noise).reshape(-1, PIECES).T.ravel()).tobytes().hex()


def _grey(jpeg: bytes) -> Float[np.ndarray, "side side"]:
    """Grey picture from a JPEG, decoded at low resolution: the decoder skips unused detail."""
    from PIL import Image

    image = Image.open(io.BytesIO(jpeg))
    image.draft("L", (2 * SIDE, 2 * SIDE))
    return np.asarray(
        image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32
    )


def _low_frequencies(grey: Float[np.ndarray, "side side"]) -> Float[np.ndarray, " weights"]:
    """DCT weights of a picture from the lowest frequency up, diagonal by diagonal."""
    k, x = np.arange(10)[:, None], np.arange(SIDE)[None]
    cosines = np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)) * np.sqrt(np.where(k == 0, 1, 2) / SIDE)
    weights = cosines @ grey @ cosines.T
    return np.array([weights[row, total - row] for total in range(10) for row in range(total + 1)])
