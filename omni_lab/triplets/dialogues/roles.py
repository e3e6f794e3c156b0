"""Speaker roles from subtitle marks: `NAME:`, `[NAME]`, a dash, or `>>` at a change of speaker.

A candidate name may be a word ("Remember: …"), a sound ("[LAUGHTER]") or a number (`3:2`, `at 10:
…`). The film itself decides: names in capitals stand out where the rest is not in capitals, other
names come back, and a name is no word that the film also uses in lower case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from omni_lab.media.subtitles.reader import Cue, Word, divide
from omni_lab.media.subtitles.words import words_of

_LEAD = r"\s*(?:[-–—―－]\s*|>{2,3}\s*)?"
# up to four words that begin with a letter, then an aside such as (softly)
_WHO = (
    r"(?P<name>[^\W\d_][\w.'’&#・-]*(?: [\w.'’&#・-]+){0,3}?)"
    r"(?P<aside>\s?[(（][^()（）]{1,40}[)）])?"
)
# a space after the colon: no 3:2, no https://
_NAME = re.compile(rf"{_LEAD}{_WHO}(?:\s?:(?=\s|$)|\s?：)\s*")
_BRACKET = re.compile(rf"{_LEAD}\[{_WHO}\](?P<colon>\s?[:：])?\s*")
_DASH = re.compile(r"\s*(?:(?P<arrows>>{2,3})|[-–—―－](?![-–—\d]))\s*(?=\S)")
_OFF_SCREEN = re.compile(
    r"v\.? ?o\.?|o\.? ?[sc]\.?|cont['’]?d\.?|off|on screen|voice[- ]?over", re.IGNORECASE
)
_SOUND = re.compile(
    r"\b(?:music|song|theme|applause|silence|inaudible|footsteps|thunder|gunshots?|explosion"
    r"|sirens?|(?:laugh|chuckl|giggl|sigh|gasp|groan|scream|shout|cheer|cough|sob|cry|whisper"
    r"|ring|knock|bark|beep|click|play)(?:e?s|ing|ter)|cries)\b",
    re.IGNORECASE,
)
USUAL = 20  # a name that is also a word has to open at least one line in this many


class Mark(NamedTuple):
    """Candidate speaker mark at the head of a line, and the text after it."""

    name: str
    text: str
    colon: bool  # a colon follows: [GUIDE]: and GUIDE:, but not [GUIDE]


@dataclass(frozen=True)
class Usage:
    """Word statistics of a film, which separate names from words."""

    heads: Counter  # number of lines that each candidate name opens
    lines: int
    words: frozenset[str]  # in lower case, outside of marks
    shouted: bool  # no word is in lower case, so capitals carry no information
    alone: frozenset[str]  # names in brackets with nothing after them: sounds


def read_roles(cues: tuple[Cue, ...]) -> tuple[Cue, ...]:
    """Cues with roles from speaker marks; a cue with several speakers is split.

    A dash marks a change of speaker without a name: its role stays None, with `role_source` "dash".
    The time of a split cue is divided in proportion to the length of text. A cue whose role the
    file already names keeps it. Line breaks become spaces. Every word stays, except for the marks.

    >>> read_roles((Cue(0, 16000, "VISITOR: Ratio?\\nGUIDE: It is 3:2."),))[1].role
    'guide'
    """
    usage = _usage(line for cue in cues if cue.role is None for line in cue.text.splitlines())
    return tuple(piece for cue in cues for piece in _split(cue, usage))


def _usage(lines: Iterator[str]) -> Usage:
    """Word statistics from one pass over all lines of a film."""
    heads: Counter = Counter()
    words, alone = set(), set()
    count, capitals = 0, False
    for line in lines:
        count += 1
        mark = _mark(line)
        if mark:
            heads[mark.name.lower()] += 1
            if not mark.colon and not mark.text:
                alone.add(mark.name.lower())
        for word in re.findall(r"[^\W\d_]+", mark.text if mark else line):
            if word.islower():
                words.add(word)
            capitals = capitals or (word.isupper() and len(word) > 1)
    return Usage(heads, count, frozenset(words), capitals and not words, frozenset(alone))


def _mark(line: str) -> Mark | None:
    """Candidate speaker mark of a line; an aside, as in `ANNA (softly):`, stays text."""
    found = _NAME.match(line)
    colon = found is not None
    if not found:
        found = _BRACKET.match(line)
        colon = bool(found and found["colon"])
    if not found:
        return None
    aside = (found["aside"] or "").strip()
    kept = "" if _OFF_SCREEN.fullmatch(aside[1:-1]) else f"{aside} "
    return Mark(found["name"], f"{kept}{line[found.end() :]}".strip(), colon)


def _is_name(mark: Mark, usage: Usage) -> bool:
    """Decision whether a mark is a name, not a word, a sound or a number."""
    name = mark.name.lower()
    if not mark.colon and (not mark.text or name in usage.alone or _SOUND.search(name)):
        return False
    if mark.name.isupper() and len(re.findall(r"[^\W\d_]", name)) > 1 and not usage.shouted:
        return True
    if usage.heads[name] < 2 or any(word[0].islower() for word in mark.name.split()):
        return False
    is_word = not usage.words.isdisjoint(name.split())
    return not is_word or usage.heads[name] * USUAL >= usage.lines


def _split(cue: Cue, usage: Usage) -> list[Cue]:
    """One cue split at its speaker marks, word times included."""
    if cue.role is not None:
        return [replace(cue, text=" ".join(cue.text.split()))]

    lines = cue.text.splitlines()
    marks = [mark if (mark := _mark(line)) and _is_name(mark, usage) else None for line in lines]
    dashes = [_DASH.match(line) for line in lines]
    several = len(lines) > 1
    # word times follow their words only where there is one for each
    every = cue.words if len(cue.words) == len(words_of(cue.text)) else ()
    # role, its source, texts, word times
    pieces: list[tuple[str | None, str, list[str], list[Word]]] = []
    passed = 0

    for i, (line, mark, dash) in enumerate(zip(lines, marks, dashes, strict=True)):
        follows = i + 1 < len(lines) and not marks[i + 1] and not dashes[i + 1]
        role, source, spoken = None, "none", line
        if mark and (mark.text or follows):
            role, source, spoken = " ".join(mark.name.lower().split()), "prefix", mark.text
        elif dash and (several or dash["arrows"]):
            source, spoken = "dash", line[dash.end() :]

        if source != "none" or not pieces:
            pieces.append((role, source, [], []))
        words = words_of(spoken)
        passed += len(words_of(line))
        own = every[passed - len(words) : passed]
        pieces[-1][2].extend(spoken.split())
        pieces[-1][3].extend(
            replace(word, text=text) for word, text in zip(own, words, strict=False)
        )

    split = [
        replace(cue, text=" ".join(texts), role=role, role_source=source, words=tuple(words))
        for role, source, texts, words in pieces
    ]
    if len(split) == 1:
        return [split[0] if every else replace(split[0], words=cue.words)]
    return divide(cue, split)
