"""Text table of a sequence, as `omni-lab sequences show` prints it, and the same as JSON.

Supervised tokens stand in ⟦brackets⟧, so that they show without colour; text stands in quotes, so
that a subtitle that reads `<speak>` is not taken for the control token.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.sequences.items import KINDS, Sequence
from omni_lab.sequences.tokens import NO_ROLE, TEXT_KIND, Tokens
from omni_lab.sequences.vocabulary import UNKNOWN, Vocabulary
from omni_lab.triplets.table import harmless

# ANSI codes of a terminal
_COLOURS = {"image": "34", "audio": "33", "text": "32", "speech": "31", "control": "90"}
_NARROWEST = 24  # columns for a unit's content, however narrow the terminal


class _Word(NamedTuple):
    text: str
    kind: str
    supervised: bool


def table(
    sequence: Sequence,
    tokens: Tokens,
    vocabulary: Vocabulary,
    part: str = "unit",
    width: int = 100,
    colour: bool = False,
) -> str:
    """Text table of a sequence: totals, missing content, then every unit with its tokens.

    Parameters
    ----------
    tokens : of the sequence
    part : name of a unit in this layout
    width : of the terminal, columns
    colour : with ANSI colours, supervised tokens bold
    """
    facts = facts_of(sequence, tokens, vocabulary)
    total, learned = facts["tokens"], facts["supervised"]
    units = len(np.unique(tokens.unit))
    counts = ", ".join(f"{count} {kind}" for kind, count in facts["modalities"].items())

    lines = [
        f"name    {harmless(sequence.name)}",
        f"tokens  {total} in {units} {part}{'s' if units > 1 else ''}: {counts}",
        f"loss    {learned} of {total} ({learned / total:.1%}) supervised, in ⟦brackets⟧",
    ]
    if facts["roles"]:
        roles = (f"{harmless(role)} {count}" for role, count in facts["roles"].items())
        lines.append("roles   " + ", ".join(roles))
    lines += [f"lacks   {harmless(message)}" for message in sequence.missing]

    timed = bool(tokens.time.any())  # documents of pictures and texts have no times
    lines += ["", f"{part:>4}  {'   from  ' if timed else ''}tokens"]
    indent = " " * (len(lines[-1]) + 2)
    for unit in np.unique(tokens.unit):
        places = np.flatnonzero(tokens.unit == unit)
        start = f"{tokens.time[places[0]] / TICKS_PER_SECOND:7.2f}  " if timed else ""
        head = f"{unit:4d}  {start}{len(places):6d}  "
        words = list(_words(sequence, tokens, vocabulary, places))
        for row in _wrapped(words, max(_NARROWEST, width - len(indent))):
            lines.append(head + " ".join(_dyed(word) if colour else word.text for word in row))
            head = indent
    return "\n".join(lines)


def facts_of(sequence: Sequence, tokens: Tokens, vocabulary: Vocabulary) -> dict[str, Any]:
    """Sequence summary in plain JSON types: token counts, and every item; times in ticks."""
    kinds = Counter(tokens.kind.tolist())
    roles = Counter(tokens.role[tokens.role != NO_ROLE].tolist())
    runs = groupby(range(len(tokens.ids)), key=lambda token: int(tokens.item[token]))

    items = []
    for number, run in runs:
        ids = tokens.ids[list(run)]
        item = sequence.items[number]
        reads = vocabulary.decode(ids) if item.kind in ("text", "control") else ""
        items.append({**item._asdict(), "tokens": len(ids), "reads": reads})
    texts = sum(item.kind == "text" for item in sequence.items)

    return {
        "name": sequence.name,
        "tokens": len(tokens.ids),
        "modalities": {KINDS[kind]: kinds[kind] for kind in sorted(kinds)},
        "supervised": int(tokens.loss.sum()),
        "unknown": int((tokens.ids == vocabulary.control(UNKNOWN)).sum()),
        "text_tokens": int((tokens.kind == TEXT_KIND).sum()),
        "wordless": texts - sum(item["kind"] == "text" for item in items),
        "roles": {tokens.roles[role]: roles[role] for role in sorted(roles)},
        "missing": list(sequence.missing),
        "items": items,
    }


def columns(text: str) -> int:
    """Display width of a text in terminal columns: wide characters 2, combining marks 0.

    >>> columns("é"), columns("e\\N{COMBINING ACUTE ACCENT}"), columns("猫")
    (1, 1, 2)
    """
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _words(
    sequence: Sequence, tokens: Tokens, vocabulary: Vocabulary, places: np.ndarray
) -> Iterator[_Word]:
    """Words of a unit's tokens, with brackets around every supervised run."""
    for learned, run in groupby(places.tolist(), key=lambda token: bool(tokens.loss[token])):
        words = list(_of_one_kind(sequence, tokens, vocabulary, list(run), learned))
        if learned:
            words[0] = words[0]._replace(text=f"⟦{words[0].text}")
            words[-1] = words[-1]._replace(text=f"{words[-1].text}⟧")
        yield from words


def _of_one_kind(
    sequence: Sequence, tokens: Tokens, vocabulary: Vocabulary, run: list[int], learned: bool
) -> Iterator[_Word]:
    """Words of a run of tokens: media counted, controls by name, text decoded and in quotes."""
    for kind, same in groupby(run, key=lambda token: KINDS[tokens.kind[token]]):
        if kind not in ("text", "control"):
            yield _Word(f"{kind}×{len(list(same))}", kind, learned)
            continue
        for number, own in groupby(same, key=lambda token: int(tokens.item[token])):
            item, ids = sequence.items[number], tokens.ids[list(own)]
            reads = harmless(vocabulary.decode(ids))
            if kind == "control":
                own = (
                    item.kind == "text" or reads == item.text
                )  # the end of a text, or its own name
                role = "" if own else f"({harmless(item.role or item.text)})"
                yield _Word(reads + role, kind, learned)
            else:
                words = [
                    f"{word}×{n}" if n > 1 and word == UNKNOWN else word
                    for word, n in _counted(reads.split())
                ]
                yield from (_Word(word, kind, learned) for word in f'"{" ".join(words)}"'.split())


def _counted(words: list[str]) -> Iterator[tuple[str, int]]:
    """Run-length encoding of unknown words: (word, count) in order."""
    for word, run in groupby(words):
        count = len(list(run))
        yield from [(word, count)] if word == UNKNOWN else [(word, 1)] * count


def _wrapped(words: list[_Word], room: int) -> list[list[_Word]]:
    """Line wrapping to `room` columns; a word wider than that is split between letters."""
    rows: list[list[_Word]] = [[]]
    used = 0
    for word in (part for whole in words for part in _parted(whole, room)):
        wide = columns(word.text)
        if rows[-1] and used + 1 + wide > room:
            rows.append([])
            used = 0
        used += wide + (1 if rows[-1] else 0)
        rows[-1].append(word)
    return rows


def _parted(word: _Word, room: int) -> Iterator[_Word]:
    """Pieces of a word, each at most `room` columns wide."""
    start, used = 0, 0
    for place, letter in enumerate(word.text):
        wide = columns(letter)
        if used + wide > room:
            yield word._replace(text=word.text[start:place])
            start, used = place, 0
        used += wide
    yield word._replace(text=word.text[start:])


def _dyed(word: _Word) -> str:
    """Word with the ANSI colour of its modality."""
    bold = "1;" if word.supervised else ""
    return f"\x1b[{bold}{_COLOURS[word.kind]}m{word.text}\x1b[0m"
