"""Speaker roles from subtitle marks: `NAME:`, `[NAME]`, a dash, or `>>` at a change of speaker.

A text without a mark has no role, with two exceptions that captioners agree on: a sentence that
runs on is its speaker's, and where `>>` marks every change, a speaker stays until the next one. In
other files a name is written only where the picture does not show who speaks, so that silence says
nothing.

A candidate name may be a word ("Remember: …"), a sound ("[LAUGHTER]") or a number (`3:2`, `at 10:
…`). The film itself decides: names in capitals stand out where the rest is not in capitals, other
names come back, and a name is no word that the film also uses in lower case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND
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
_ARROWS = re.compile(r"\s*>{2,3}(?!>)\s*(?=\S)")
_INNER_ARROWS = re.compile(r"(?<=[\s.!?…。！？♪])>{2,3}(?!>)\s*(?=\S)")
_INNER_DASH = re.compile(r"(?<=[\s.!?…。！？])([-–—―－])\s?(?=[^\W\d_])")
_STOP = re.compile(r"[.!?…。！？♪][\"'”’)\]」』]*\s*$")  # a sentence ends
_NOBODY = re.compile(r"[\[(（♪].*[\])）♪]")  # a sound, or a song
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
RUNS_ON = TICKS_PER_SECOND  # longest pause within a sentence
STAYS = 5 * TICKS_PER_SECOND  # longest pause after which a speaker is still the same
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
    arrows: int  # number of lines that `>>` opens


def read_roles(cues: tuple[Cue, ...]) -> tuple[Cue, ...]:
    """Cues with roles from speaker marks; a cue with several speakers is split.

    A dash marks a change of speaker without a name: its role stays None, with `role_source` "dash".
    Marks count within a line too, after a sentence. The time of a split cue is divided in
    proportion to the length of text. A cue whose role the file already names keeps it. Line breaks
    become spaces. Every word stays, except for the marks.

    >>> read_roles((Cue(0, 16000, "VISITOR: Ratio?\\nGUIDE: It is 3:2."),))[1].role
    'guide'
    """
    lines = [line for cue in cues if cue.role is None for line in cue.text.splitlines()]
    arrows = sum(_ARROWS.match(line) is not None for line in lines)
    usage = _usage((turn for line in lines for turn in _turns(line, arrows)), arrows)
    return tuple(_carried((piece for cue in cues for piece in _split(cue, usage)), usage))


def _turns(line: str, arrows: int) -> list[str]:
    """Line cut before each mark inside it that changes the speaker.

    `>>` does after a sentence, or anywhere if it also opens lines; else it may be a sign of
    programmers. A dash does after a sentence, in a line that such a dash opens.
    """
    found = [m for m in _INNER_ARROWS.finditer(line) if arrows or _stops(line, m.start())]
    head = line.lstrip()
    if head and head[0] in "-–—―－":
        dashes = (m for m in _INNER_DASH.finditer(line) if m[1] == head[0])
        found += [m for m in dashes if _stops(line, m.start())]

    inside = sorted(m.start() for m in found if m.start() > len(line) - len(head))
    return [line[a:b] for a, b in pairwise([0, *inside, len(line)])]


def _stops(text: str, at: int) -> bool:
    """Whether a sentence ends before index `at`."""
    return _STOP.search(text, max(0, at - 8), at) is not None


def _carried(pieces: Iterator[Cue], usage: Usage) -> Iterator[Cue]:
    """Pieces with the role of the piece before, where they only continue it."""
    speaker: Cue | None = None  # the newest piece that somebody speaks
    for piece in pieces:
        if _NOBODY.fullmatch(piece.text):
            yield piece
            continue
        if speaker and speaker.role_source == "prefix" and piece.role_source == "none":
            pause = piece.start - speaker.end
            first = next((c for c in piece.text if c.isalpha()), "")
            runs_on = (
                first.islower() and not _stops(speaker.text, len(speaker.text)) and pause <= RUNS_ON
            )
            if runs_on or (usage.arrows > 1 and pause <= STAYS):
                piece = replace(piece, role=speaker.role, role_source="prefix")
        speaker = piece
        yield piece


def _usage(lines: Iterator[str], arrows: int) -> Usage:
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
    shouted = capitals and not words
    return Usage(heads, count, frozenset(words), shouted, frozenset(alone), arrows)


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

    lines = [turn for line in cue.text.splitlines() for turn in _turns(line, usage.arrows)]
    marks = [mark if (mark := _mark(line)) and _is_name(mark, usage) else None for line in lines]
    dashes = [_DASH.match(line) for line in lines]
    several = len(lines) > 1
    # word times follow their words only where there is one for each
    every = cue.words if len(cue.words) == sum(len(words_of(line)) for line in lines) else ()
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
