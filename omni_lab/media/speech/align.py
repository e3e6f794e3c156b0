"""Forced alignment of English subtitles: the time of every word in the sound.

A cue's text becomes the phones of CMU's dictionary, and pocketsphinx finds the most likely path of
exactly these phones, with optional silence between words, through the cue's sound and a margin
around it. Words that the dictionary lacks are spelled out by rough rules: between two known words,
a rough guess is good enough.

Measured on sentences of eight of the world's words in both its voices (24 for each length of
pause), the start of a word is off by 14 ms in the mean without pauses and with pauses of 0.3 s,
19 ms with 0.08 s. Among the short words of real English single ones are off by up to 0.7 s. Text
that differs from what is spoken is refused in about seven of ten cues; else its times mean nothing.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import unicodedata
from dataclasses import replace

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import UsageError
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.media.subtitles.words import words_of

FRAME = TICKS_PER_SECOND // 100  # pocketsphinx decides every 10 ms
CENTRE = 205  # samples from a frame's start to the middle of its 25.6 ms
DITHER = 4  # standard deviation, of 32768: inaudible
MARGIN = TICKS_PER_SECOND // 4  # subtitles begin and end off their speech by about that much
ENGLISH = 0.8  # fraction of a film's words that the dictionary must know
_SPOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*'?|\d+|%|&")
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SOUNDS = {  # letters and the phones that they most often stand for, longer groups first
    "tch": "CH", "igh": "AY", "sch": "SH", "th": "TH", "sh": "SH", "ch": "CH", "ph": "F", "wh": "W",
    "ck": "K", "ng": "NG", "qu": "K W", "gh": "G", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW",
    "ow": "OW", "ai": "EY", "ay": "EY", "oa": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO",
    "ar": "AA R", "er": "ER", "ir": "ER", "ur": "ER", "or": "AO R", "a": "AE", "b": "B", "c": "K",
    "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L",
    "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH",
    "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_SPELLING = re.compile("|".join(_SOUNDS))


def align(
    cues: tuple[Cue, ...], audio: Int16[np.ndarray, " samples"], start: int = 0
) -> tuple[Cue, ...]:
    """Forced alignment: the time of every word of English cues; a cue's start and end stay.

    Cues that have words already, and those whose text is not found in their sound, stay as they
    are, and so does everything where the dictionary knows less than `ENGLISH` of the words: then
    it is another language. A word as written ("well-known,") is one word; punctuation alone, such
    as a dash, has no duration.

    Parameters
    ----------
    cues : in order of time
    audio : 16 kHz mono
    start : tick of the first sample

    Raises
    ------
    UsageError
        pocketsphinx is not installed
    """
    aligner = _aligner()
    words = [word for cue in cues for token in words_of(cue.text) for word in spoken(token)]
    if sum(aligner.known(word) is not None for word in words) < ENGLISH * max(1, len(words)):
        return cues

    aligned = []
    for cue in cues:
        first = max(0, cue.start - MARGIN - start)
        sound = audio[first : max(0, cue.end + MARGIN - start)]
        words = () if cue.words else aligner.align(words_of(cue.text), sound, start + first)
        aligned.append(replace(cue, words=words) if words else cue)
    return tuple(aligned)


def check_aligner() -> None:
    """Availability check of forced alignment.

    Raises
    ------
    UsageError
        pocketsphinx is not installed
    """
    if importlib.util.find_spec("pocketsphinx") is None:
        raise UsageError("triplets.align_words needs pocketsphinx: pip install -e '.[real]'")


def spoken(token: str) -> list[str]:
    """Text normalisation: the spoken words of one written token.

    >>> spoken("Well-known,"), spoken("1969:"), spoken("50%"), spoken("—")
    (['well', 'known'], ['nineteen', 'sixty', 'nine'], ['fifty', 'percent'], [])
    """
    decomposed = unicodedata.normalize("NFKD", token.lower().replace("’", "'"))
    plain = decomposed.encode("ascii", "ignore").decode()
    words: list[str] = []
    for part in _SPOKEN.findall(re.sub(r"(?<=\d),(?=\d{3})", "", plain)):
        words += _number(part) if part.isdigit() else [{"%": "percent", "&": "and"}.get(part, part)]
    return words


def guess(word: str) -> str:
    """Grapheme-to-phoneme rules for a word that is not in the dictionary, as CMU phones.

    >>> guess("teshik")
    'T EH SH IH K'
    """
    return " ".join(_SOUNDS[letters] for letters in _SPELLING.findall(word))


def _number(digits: str) -> list[str]:
    """Spoken words of a number: years in pairs, long numbers digit by digit."""
    number = int(digits)
    if len(digits) > 6 or (len(digits) > 1 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10 - 2], *(_number(str(number % 10)) if number % 10 else [])]

    if 1100 <= number < 2100 and number // 10 != 200:
        rest = number % 100
        ending = _number(str(rest)) if rest > 9 else ["oh", _ONES[rest]] if rest else ["hundred"]
        return _number(digits[:2]) + ending
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = _number(str(number % size)) if number % size else []
    return [*_number(str(number // size)), name, *rest]


class _Aligner:
    """Forced aligner: pocketsphinx with its English model, slow to load and quick to run."""

    def __init__(self):
        check_aligner()
        from pocketsphinx import Decoder

        # A pause is as likely as none; by default, words would absorb short pauses.
        self.decoder = Decoder(lm=None, loglevel="FATAL", silprob=1.0)
        self.guessed: set[str] = set()

    def known(self, word: str) -> str | None:
        """Dictionary form of a word, or None; an apostrophe may only end a quotation."""
        for form in (word, word.removesuffix("'")):
            if form not in self.guessed and self.decoder.lookup_word(form) is not None:
                return form
        return None

    def align(self, tokens: list[str], sound: np.ndarray, start: int) -> tuple[Word, ...]:
        """Words with times, of tokens in a sound from tick `start` on; none without a path."""
        parts = [spoken(token) for token in tokens]
        text = [word for words in parts for word in words]
        frames = self._path(text, sound) if text and sound.size else None
        if frames is None:
            return ()

        times, end = iter(frames), frames[0][0]
        words: list[Word] = []
        origin = start + CENTRE
        for token, count in zip(tokens, map(len, parts), strict=True):
            spans = [next(times) for _ in range(count)] or [(end, end)]
            end = spans[-1][1]
            words.append(Word(origin + spans[0][0] * FRAME, origin + end * FRAME, token))
        return tuple(words)

    def _path(self, text: list[str], sound: np.ndarray) -> list[tuple[int, int]] | None:
        """Frames (first, one past the last) of every word, None where there is no path."""
        text = [self.known(word) or word for word in text]
        for word in text:
            if self.decoder.lookup_word(word) is None:
                self.decoder.add_word(word, guess(word), True)
                self.guessed.add(word)

        # Digital silence has no logarithm: paths through it break off.
        noisy = sound + DITHER * np.random.default_rng(0).standard_normal(sound.size)
        self.decoder.set_align_text(" ".join(text))
        self.decoder.start_utt()
        samples = np.clip(noisy, -32768, 32767).astype(np.int16)
        self.decoder.process_raw(samples.tobytes(), full_utt=True)
        try:
            self.decoder.end_utt()
        except RuntimeError:  # pocketsphinx found no path
            return None
        if self.decoder.hyp() is None:
            return None

        path = [(s.word, s.start_frame, s.end_frame + 1) for s in self.decoder.seg()]
        path = [(re.sub(r"\(\d+\)$", "", word), a, b) for word, a, b in path]
        found = [(a, b) for word, a, b in path if word[0] not in "<[("]
        return found if len(found) == len(text) else None


@functools.lru_cache(maxsize=1)
def _aligner() -> _Aligner:
    """Forced aligner of this process."""
    return _Aligner()
