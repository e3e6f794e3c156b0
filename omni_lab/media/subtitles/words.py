"""Word segmentation without a dictionary: the pieces in which a text is timed, cut and compared.

Words stand between spaces, except in scripts that write none between them. There the piece is the
least that may stand on a line of its own (Unicode UAX #14): a Chinese or Japanese character with
its punctuation, a run of Katakana, a cluster of letters in Thai, Lao, Khmer or Burmese, a Tibetan
syllable. Where a text marks its words by spaces of no width, as Khmer often does, these count.
Pieces join to the text as it was, since each is a span of it.
"""

from __future__ import annotations

import re
import unicodedata

_IDEOGRAPHS = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_HIRAGANA = "\u3041-\u309f\u3100-\u312f\u31a0-\u31bf"  # and Bopomofo
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_TIBETAN = "\u0f00-\u0fff"
# Thai and Lao, Burmese, Khmer, Tai Le to New Tai Lue, Tai Tham, Tai Viet
_STACKED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
)
_UNSPACED = f"{_IDEOGRAPHS}{_HIRAGANA}{_KATAKANA}{_TIBETAN}{_STACKED}"

_OPENING = "「『（《〈【〔〖〘｛［｟〝“‘"
# No line begins with these: small and long kana, iteration marks, variation selectors
_FOLLOWING = "ぁぃぅぇぉっゃゅょゎゕゖゝゞ々〻ー\u3099-\u309c\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BEFORE = "\u0e40-\u0e44\u0ec0-\u0ec4\u19b5-\u19b7\u19ba\uaab5\uaab6\uaab9\uaabb\uaabc"  # vowels
# Vowels, signs of repetition and full stops that follow their letter
_AFTER = "\u0e2f\u0e30\u0e32\u0e33\u0e45\u0e46\u0e5a\u0e5b\u0eaf\u0eb0\u0eb2\u0eb3\u0ebd\u0ec6"
_AFTER += "\u104a-\u104f\u17d4-\u17db"
_STACKING = "\u1039\u17d2\u1a60"  # join the next letter below


def _of(blocks: str, *categories: str) -> str:
    """Characters of blocks such as `a-zA-Z` that are in some of Unicode's general categories."""
    pairs = zip(blocks[::3], blocks[2::3], strict=True)
    inside = (chr(code) for a, b in pairs for code in range(ord(a), ord(b) + 1))
    return "".join(c for c in inside if unicodedata.category(c).startswith(categories))


_MARKS, _DIGITS = _of(_STACKED, "M"), _of(_STACKED, "N")
_PIECE = re.compile(
    rf"[^\w\s{_UNSPACED}]*(?:[{_KATAKANA}]+[{_FOLLOWING}]*|[{_IDEOGRAPHS}{_HIRAGANA}][{_FOLLOWING}]*"
    rf"|[{_TIBETAN}]+?[\u0f0b-\u0f14]+|[{_TIBETAN}]+|[{_DIGITS}]+"
    rf"|[{_BEFORE}]*[{_STACKED}](?:[{_STACKING}][{_STACKED}]|[{_MARKS}])*[{_AFTER}]*"
    rf"|[^\s{_UNSPACED}{_OPENING}]+)[^\w\s{_UNSPACED}{_OPENING}]*"
    rf"|[^\w\s{_UNSPACED}]+"
)
_BETWEEN_SPACES = re.compile(r"\S+")
_BETWEEN_MARKS = re.compile(r"\u200b*[^\u200b]+\u200b*|\u200b+")
LONGEST = 24  # characters of a word between spaces of no width: some are set by chance
_WITHOUT_SPACES = re.compile(f"[{_UNSPACED}]")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end index of every word of a text, in order; only spaces stand outside.

    >>> word_spans("so  what?")
    [(0, 2), (4, 9)]
    """
    spans: list[tuple[int, int]] = []
    for chunk in _BETWEEN_SPACES.finditer(text):
        if not _WITHOUT_SPACES.search(chunk[0]):
            spans.append(chunk.span())
            continue
        marked = "\u200b" in chunk[0]
        for part in _BETWEEN_MARKS.finditer(text, *chunk.span()):
            whole = marked and len(part[0]) <= LONGEST
            pieces = _PIECE.finditer(text, *part.span())
            spans += [part.span()] if whole else [piece.span() for piece in pieces]
    return spans


def words_of(text: str) -> list[str]:
    """Words of a text, with their punctuation.

    >>> words_of("「今日は」 red 2024年。")
    ['「今', '日', 'は」', 'red', '2024', '年。']
    """
    return [text[start:end] for start, end in word_spans(text)]


def may_part(text: str, at: int) -> bool:
    """Whether a text that is written step by step may pause before index `at`.

    At a space, or anywhere in a script without spaces.

    >>> may_part("so what", 2), may_part("so what", 4), may_part("今日は", 2)
    (True, False, True)
    """
    return text[at].isspace() or _WITHOUT_SPACES.search(text[at - 1 : at + 1]) is not None
