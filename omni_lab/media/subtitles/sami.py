"""SAMI subtitles (`.smi`) as timed entries: one language of the several that a file may hold.

A paragraph is displayed until the next one of its class begins, be that an empty one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.languages import language_rank

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SYNC = re.compile(r"<sync\b[^>]*?\bstart\s*=\s*[\"']?\s*(-?\d{1,12})[^>]*>", re.IGNORECASE)
_PARAGRAPH = re.compile(r"<p\b([^>]*)>", re.IGNORECASE)
_CLASS = re.compile(r"\bclass\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_LANGUAGE = re.compile(r"\.([\w-]+)\s*\{[^{}]*?\blang\s*:\s*([\w-]+)", re.IGNORECASE)
_END = re.compile(r"</(?:body|sami)\s*>", re.IGNORECASE)
_LINE = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Markup that only lays out; what styles words stays, and is known to the reader
_LAYOUT = re.compile(r"</?(?!(?:[ibus]|font|rt|ruby)\b)[a-z][^<>]*>", re.IGNORECASE)
_BLANK = re.compile(r"(?:\s|&nbsp;?|&#160;|&#xa0;|<[^<>]*>)*", re.IGNORECASE)

Entry = tuple[int, int | None, str]  # start and end in ticks, text with markup


def is_sami(text: str) -> bool:
    """Whether a text begins as a SAMI document does."""
    return re.search(r"<sami\b", text[:1000], re.IGNORECASE) is not None


def read_sami(text: str, language: str | None = None) -> list[Entry]:
    """Entries of a SAMI document in one language, in order of time.

    Parameters
    ----------
    text : the document
    language : the wanted one, two or three letters; else, or without it, the one with most entries

    Raises
    ------
    ValueError
        no `<SYNC Start=…>` in it

    >>> read_sami("<SAMI><SYNC Start=500><P Class=EN>One<br>two<SYNC Start=900><P Class=EN>&nbsp;")
    [(8000, 14400, 'One\\ntwo')]
    """
    _, *blocks = _SYNC.split(_END.split(_COMMENT.sub("", text))[0])
    if not blocks:
        raise ValueError("no <SYNC Start=...> in it")

    tracks: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for start, block in zip(map(int, blocks[::2]), blocks[1::2], strict=True):
        loose, *paragraphs = _PARAGRAPH.split(block)
        if loose.strip() or not paragraphs:
            paragraphs = ["", loose, *paragraphs]
        for attributes, words in zip(paragraphs[::2], paragraphs[1::2], strict=True):
            named = _CLASS.search(attributes)
            tracks[named[1].lower() if named else ""][max(0, start)].append(words)

    shared = tracks.pop("", {})  # without a class: part of every language
    languages = {name.lower(): spoken for name, spoken in _LANGUAGE.findall(text)}
    entries = [
        (language_rank(languages.get(name), language) if language else 0, _track(own, shared))
        for name, own in (tracks or {"": {}}).items()
    ]
    return min(entries, key=lambda entry: (entry[0], -len(entry[1])))[1]


def _track(own: dict[int, list[str]], shared: dict[int, list[str]]) -> list[Entry]:
    """Entries of one language."""
    times = sorted({*own, *shared})
    texts = ["\n".join(own.get(time, []) + shared.get(time, [])) for time in times]
    ends = [following for _, following in pairwise(times)]
    ticks = TICKS_PER_SECOND // 1000
    return [
        (start * ticks, end if end is None else end * ticks, _marked(text))
        for start, end, text in zip(times, [*ends, None], texts, strict=True)
        if not _BLANK.fullmatch(text)
    ]


def _marked(text: str) -> str:
    """Text of a paragraph with one line for each that HTML shows."""
    lines = [" ".join(_LAYOUT.sub("", line).split()) for line in _LINE.split(text)]
    return "\n".join(lines)
