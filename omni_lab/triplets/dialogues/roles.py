"""Who speaks, read from marks in the text: `NAME:` before it, `[NAME]`, or a dash or `>>` where speakers change.

What looks like a name may be a word ("Remember: …"), a sound ("[LAUGHTER]") or a number (`3:2`, `at 10: …`). The film
itself tells: names in capitals stand out where the rest is not in capitals, other names come back, and a name is no
word that the film also uses in lower case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from omni_lab.media.subtitles.reader import Cue, Word, divide

_LEAD = r"\s*(?:[-–—―－]\s*|>{2,3}\s*)?"
# up to four words that begin with a letter, then what is said about how they speak
_WHO = r"(?P<name>[^\W\d_][\w.'’&#・-]*(?: [\w.'’&#・-]+){0,3}?)(?P<aside>\s?[(（][^()（）]{1,40}[)）])?"
_NAME = re.compile(
    rf"{_LEAD}{_WHO}(?:\s?:(?=\s|$)|\s?：)\s*"
)  # a space after the colon: no 3:2, no https://
_BRACKET = re.compile(rf"{_LEAD}\[{_WHO}\](?P<colon>\s?[:：])?\s*")
_DASH = re.compile(r"\s*(?:(?P<arrows>>{2,3})|[-–—―－](?![-–—\d]))\s*(?=\S)")
_OFF_SCREEN = re.compile(
    r"v\.? ?o\.?|o\.? ?[sc]\.?|cont['’]?d\.?|off|on screen|voice[- ]?over", re.IGNORECASE
)
_SOUND = re.compile(
    r"\b(?:music|song|theme|applause|silence|inaudible|footsteps|thunder|gunshots?|explosion|sirens?|(?:laugh|chuckl|giggl"
    r"|sigh|gasp|groan|scream|shout|cheer|cough|sob|cry|whisper|ring|knock|bark|beep|click|play)(?:e?s|ing|ter)|cries)\b",
    re.IGNORECASE,
)
USUAL = 20  # a name that is also a word has to open one line in so many


class Mark(NamedTuple):
    """A possible name at the head of a line, and what follows it."""

    name: str
    said: str
    told: bool  # a colon follows: [GUIDE]: and GUIDE:, but not [GUIDE]


@dataclass(frozen=True)
class Usage:
    """How a film uses words, by which a name is told from a word."""

    heads: Counter  # how many lines each possible name opens
    lines: int
    words: frozenset[str]  # all that stand in lower case outside of marks
    shouted: bool  # nothing stands in lower case, so capitals tell nothing
    alone: frozenset[str]  # brackets with nothing after them: sounds


def read_roles(cues: tuple[Cue, ...]) -> tuple[Cue, ...]:
    """Move the marks of speakers from the text into the role, splitting cues in which several speak.

    A dash says that the speaker changes but not to whom: its role stays None, with `role_source` "dash". Where a cue
    is split, its time is shared by length of text. A cue whose role the file already names keeps it. Line breaks
    become spaces. Every word stays, but for the marks.

    >>> read_roles((Cue(0, 16000, "VISITOR: Ratio?\\nGUIDE: It is 3:2."),))[1].role
    'guide'
    """
    usage = _usage(line for cue in cues if cue.role is None for line in cue.text.splitlines())
    return tuple(piece for cue in cues for piece in _split(cue, usage))


def _usage(lines: Iterator[str]) -> Usage:
    """Look once at all lines of a film."""
    heads: Counter = Counter()
    words, alone = set(), set()
    count, capitals = 0, False
    for line in lines:
        count += 1
        mark = _mark(line)
        if mark:
            heads[mark.name.lower()] += 1
            if not mark.told and not mark.said:
                alone.add(mark.name.lower())
        for word in re.findall(r"[^\W\d_]+", mark.said if mark else line):
            if word.islower():
                words.add(word)
            capitals = capitals or (word.isupper() and len(word) > 1)
    return Usage(heads, count, frozenset(words), capitals and not words, frozenset(alone))


def _mark(line: str) -> Mark | None:
    """Find what may be a name at the head of a line; how somebody speaks, as in `ANNA (softly):`, remains text."""
    found = _NAME.match(line)
    told = found is not None
    if not found:
        found = _BRACKET.match(line)
        told = bool(found and found["colon"])
    if not found:
        return None
    aside = (found["aside"] or "").strip()
    kept = "" if _OFF_SCREEN.fullmatch(aside[1:-1]) else f"{aside} "
    return Mark(found["name"], f"{kept}{line[found.end() :]}".strip(), told)


def _is_name(mark: Mark, usage: Usage) -> bool:
    """Tell a name from a word, a sound or a number."""
    name = mark.name.lower()
    if not mark.told and (not mark.said or name in usage.alone or _SOUND.search(name)):
        return False
    if mark.name.isupper() and len(re.findall(r"[^\W\d_]", name)) > 1 and not usage.shouted:
        return True
    if usage.heads[name] < 2 or any(word[0].islower() for word in mark.name.split()):
        return False
    is_word = not usage.words.isdisjoint(name.split())
    return not is_word or usage.heads[name] * USUAL >= usage.lines


def _split(cue: Cue, usage: Usage) -> list[Cue]:
    """Split one cue at its marks."""
    if cue.role is not None:
        return [replace(cue, text=" ".join(cue.text.split()))]
    lines = cue.text.splitlines()
    marks = [mark if (mark := _mark(line)) and _is_name(mark, usage) else None for line in lines]
    dashes = [_DASH.match(line) for line in lines]
    several = len(lines) > 1
    every = cue.words if len(cue.words) == len(cue.text.split()) else ()
    pieces: list[
        tuple[str | None, str, list[str], list[Word]]
    ] = []  # role, its source, what is said, its words
    passed = 0
    for i, (line, mark, dash) in enumerate(zip(lines, marks, dashes, strict=True)):
        follows = i + 1 < len(lines) and not marks[i + 1] and not dashes[i + 1]
        role, source, said = None, "none", line
        if mark and (mark.said or follows):
            role, source, said = " ".join(mark.name.lower().split()), "prefix", mark.said
        elif dash and (several or dash["arrows"]):
            source, said = "dash", line[dash.end() :]
        if source != "none" or not pieces:
            pieces.append((role, source, [], []))
        texts = said.split()
        passed += len(line.split())
        own = every[passed - len(texts) : passed]
        pieces[-1][2].extend(texts)
        pieces[-1][3].extend(
            replace(word, text=text) for word, text in zip(own, texts, strict=False)
        )
    split = [
        replace(cue, text=" ".join(said), role=role, role_source=source, words=tuple(words))
        for role, source, said, words in pieces
    ]
    if len(split) == 1:
        return [split[0] if every else replace(split[0], words=cue.words)]
    return divide(cue, split)
