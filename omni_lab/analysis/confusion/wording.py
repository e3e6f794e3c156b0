"""Answer normalisation: case, punctuation, articles and white space do not make answers different.

As SQuAD compares answers (Rajpurkar et al. 2016), and Unicode forms too (NFKC). Numbers keep their
signs, points and commas. Answers are compared by digests, eight bytes each, however long they are.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata

MISSING = 0  # digest of a cell without content
_ABSENT = {"", "nan", "null", "n/a", "<na>"}
_ARTICLES = {"a", "an", "the"}
_IN_NUMBERS = re.compile(r"(?<=\d)[.,:/](?=\d)|(?<![\w)])-(?=\d)")
_WHOLE = re.compile(r"(-?\d+)\.0+")


class _Spaced(dict):
    """Translation of letters: apostrophes go, all other punctuation becomes a space."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        mark = unicodedata.category(letter).startswith("P")
        self[code] = "" if letter in "'’ʼ" else " " if mark else letter
        return self[code]


_SPACED = _Spaced()


def normalised(text: str) -> str:
    """Answer without what does not count; what is nothing but marks or articles stays.

    >>> normalised("The  Red, ball!"), normalised("ＲＥＤ"), normalised("-3.50"), normalised("2.0")
    ('red ball', 'red', '-3.50', '2')
    >>> normalised("a"), normalised("?")
    ('a', '?')
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
    kept = _IN_NUMBERS.sub(lambda mark: chr(0xE000 + ord(mark[0])), plain)
    words = kept.translate(_SPACED).split()
    words = [word for word in words if word not in _ARTICLES] or words or plain.split()
    found = re.sub("[\ue000-\ue07f]", lambda mark: chr(ord(mark[0]) - 0xE000), " ".join(words))
    whole = _WHOLE.fullmatch(found)
    return whole[1] if whole else found


def absent(text: str) -> bool:
    """Whether a cell has no content: empty, or the name that a program gives to nothing."""
    return text.strip().lower() in _ABSENT


@functools.lru_cache(maxsize=100_000)
def digest(text: str) -> int:
    """Digest of a normalised answer, above 0; MISSING for a cell without content.

    >>> digest("The ball") == digest("ball.") != digest("bell"), digest(" ")
    (True, 0)
    """
    return MISSING if absent(text) else raw_digest(normalised(text))


def raw_digest(text: str) -> int:
    """Digest of a text as it stands, above 0."""
    found = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "big") or 1
