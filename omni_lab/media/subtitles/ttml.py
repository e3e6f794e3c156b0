"""TTML subtitles (W3C Timed Text in all its namespaces, SMPTE-TT, EBU-TT, DFXP) as timed entries.

Times are nested: an element's `begin` and `end` count from its parent's beginning, or in a sequence
from the end of the element before. Many files count from the film's beginning nevertheless: of both
readings, the one that keeps more elements within their parents is taken. Spans of one word with
times are the words of their paragraph; longer ones are entries of their own.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.languages import language_rank
from omni_lab.media.subtitles.rolling import NEXT

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)(?::(\d+)(?:\.(\d+))?)?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|m|s|ms|f|t)?")
_ROOT = re.compile(r"<(?:[\w.-]+:)?tt[\s>]")
_NAMED = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)[a-z]\w*;", re.IGNORECASE)
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_NO_TEXT = ("metadata", "set", "animate", "title", "desc", "copyright", "agent", "name", "actor")
DEPTH = 100  # most elements inside each other

Entry = tuple[int, int | None, str]  # start and end in ticks, text with the markup of VTT


class _Span(NamedTuple):
    """Time span of an element, in ticks."""

    start: int
    end: int | None  # None where neither the element nor one around it says
    own: bool  # whether the element itself has times


class _Piece(NamedTuple):
    """Text with the time span of the element that it is in."""

    span: _Span
    text: str


@dataclass(frozen=True)
class _Clock:
    """Time expressions of a document: its rates, and whether times count from the film's start."""

    frames: Fraction  # per second
    nominal: int  # frames in a second of clock time
    parts: int  # subframes of a frame
    ticks: Fraction  # per second
    smpte: bool  # clock times count frames
    drop: bool  # and skip two frames each minute, except each tenth
    absolute: bool = False
    misfits: list[str] = field(default_factory=list)  # elements that leave their parents

    def ticks_of(self, text: str) -> int:
        """Ticks of a time expression.

        Raises
        ------
        ValueError
            it is none, or a time of day
        """
        text = text.strip().replace(",", ".")
        if found := _OFFSET.fullmatch(text):
            units = {"h": 3600, "m": 60, "ms": Fraction(1, 1000)}
            units |= {"f": 1 / self.frames, "t": 1 / self.ticks}
            return round(Fraction(found[1]) * units.get(found[2], 1) * TICKS_PER_SECOND)
        if not (found := _CLOCK.fullmatch(text)):
            raise ValueError(f"{text[:40]!r} is no time of TTML")

        minutes = int(found[1] or 0) * 60 + int(found[2])
        seconds = minutes * 60 + Fraction(found[3])
        frames = int(found[4] or 0) + Fraction(int(found[5] or 0), self.parts)
        if self.smpte:
            frames += seconds * self.nominal - 2 * (minutes - minutes // 10) * self.drop
            seconds = Fraction(0)
        return round((seconds + frames / self.frames) * TICKS_PER_SECOND)

    def span(self, element: ET.Element, parent: _Span, origin: int) -> _Span:
        """Time span of an element whose relative times count from `origin`."""
        times = {
            name: self.ticks_of(element.attrib[name])
            for name in ("begin", "end", "dur")
            if name in element.attrib
        }
        zero = 0 if self.absolute else origin
        start = zero + times["begin"] if "begin" in times else origin
        ends = [zero + times["end"]] if "end" in times else []
        ends += [start + times["dur"]] if "dur" in times else []

        inside = parent.end is None or max([start, *ends]) <= parent.end + NEXT
        if times and not (inside and start >= parent.start):
            self.misfits.append(element.tag)
        return _Span(start, min(ends, default=parent.end), bool(times))


def is_ttml(text: str) -> bool:
    """Whether a text begins as a TTML document does."""
    return text.lstrip().startswith("<") and _ROOT.search(text[:4000]) is not None


def read_ttml(text: str, language: str | None = None) -> list[Entry]:
    """Entries of a TTML document, in its order.

    Parameters
    ----------
    text : the document
    language : the wanted one, two or three letters, where each division has another; without it,
        or where none is in it, the first counts

    Raises
    ------
    ValueError
        a time in it is none, or the elements nest too deep
    SyntaxError
        the XML is broken

    >>> read_ttml('<tt><body><p begin="25f" dur="1s">One<br/>two</p></body></tt>')
    [(13333, 29333, 'One\\ntwo')]
    """
    root = ET.fromstring(_NAMED.sub(lambda name: html.unescape(name[0]), text.strip()))
    for body in _children(root, "body"):
        _keep_one_language(body, language)
    readings = []
    for absolute in (False, True):
        clock = _clock(root, absolute)
        whole = _Span(0, None, False)
        entries = [e for body in _children(root, "body") for e in _entries(body, whole, 0, clock)]
        readings.append((len(clock.misfits), absolute, entries))
    return min(readings)[2]


def _clock(root: ET.Element, absolute: bool) -> _Clock:
    """Rates of a document, as its root states them."""
    stated = {_local(name): value for name, value in root.attrib.items()}
    nominal = int(stated.get("frameRate", 30))
    by = [int(n) for n in re.findall(r"\d+", stated.get("frameRateMultiplier", "1 1"))]
    frames = nominal * Fraction(by[0], by[1] if len(by) > 1 else 1)
    parts = int(stated.get("subFrameRate", 1))
    usual = frames * parts if "frameRate" in stated else 1
    ticks = Fraction(stated.get("tickRate", usual))
    smpte = stated.get("timeBase") == "smpte"
    drop = smpte and stated.get("dropMode") == "dropNTSC"
    if min(frames, parts, ticks) <= 0:
        raise ValueError("a rate of 0 per second")
    return _Clock(frames, nominal, parts, ticks, smpte, drop, absolute)


def _keep_one_language(body: ET.Element, language: str | None) -> None:
    """Take out the divisions of a body that translate others."""
    spoken = {div: div.get(_LANGUAGE) for div in _children(body, "div")}
    found = [name for name in dict.fromkeys(spoken.values()) if name]
    chosen = min(found, key=lambda name: language_rank(name, language or name), default=None)
    for div, name in spoken.items():
        if name not in (None, chosen):
            body.remove(div)


def _local(name: str) -> str:
    """Name without its namespace."""
    return name.rpartition("}")[2]


def _children(element: ET.Element, *names: str) -> Iterator[ET.Element]:
    """Children of some names, in any namespace; comments have none."""
    for child in element:
        if isinstance(child.tag, str) and _local(child.tag) in names:
            yield child


def _entries(
    element: ET.Element, parent: _Span, origin: int, clock: _Clock, depth: int = 0
) -> Iterator[Entry]:
    """Entries in a body, division or paragraph."""
    if depth > DEPTH:
        raise ValueError(f"elements nested more than {DEPTH} deep")
    span = clock.span(element, parent, origin)
    if _local(element.tag) == "p":
        yield from _lines(span, list(_pieces(element, span, clock, depth)))
        return

    at = span.start
    for child in _children(element, "div", "p"):
        yield from _entries(child, span, at, clock, depth + 1)
        if element.get("timeContainer") == "seq":
            at = clock.span(child, span, at).end or at


def _pieces(element: ET.Element, span: _Span, clock: _Clock, depth: int) -> Iterator[_Piece]:
    """Text in a paragraph or span, piece by piece; spans with a style are marked as such."""
    if depth > DEPTH:
        raise ValueError(f"elements nested more than {DEPTH} deep")
    plain, at = span._replace(own=span.own and _local(element.tag) != "p"), span.start
    yield _Piece(plain, _collapsed(element.text))

    for child in element:
        name = _local(child.tag) if isinstance(child.tag, str) else "set"
        if name == "br":
            yield _Piece(plain, "\n")
        elif name not in _NO_TEXT:
            inside = clock.span(child, span, at)
            at = inside.end or at if element.get("timeContainer") == "seq" else at
            inside = inside if inside.own else plain
            styles = [
                v for k, v in sorted(child.attrib.items()) if k not in ("begin", "end", "dur")
            ]
            style = re.sub(r"[<>&\s]", "-", " ".join(styles))
            around = (f"<c.{style}>", "</c>") if style else ("", "")
            yield _Piece(plain, around[0])
            yield from _pieces(child, inside, clock, depth + 1)
            yield _Piece(plain, around[1])
        yield _Piece(plain, _collapsed(child.tail))


def _collapsed(text: str | None) -> str:
    """Text of XML as markup, with single spaces."""
    return html.escape(re.sub(r"[ \t\r\n]+", " ", text or ""), quote=False)


def _lines(span: _Span, pieces: list[_Piece]) -> Iterator[Entry]:
    """Entries of one paragraph: one, with the times of its words, or one for each timed span."""
    timed = [piece for piece in pieces if piece.span.own and _says(piece)]
    by_word = all(len(piece.text.split()) == 1 for piece in timed)
    if not timed or (by_word and span.own):
        ends = [piece.span.end for piece in timed] if span.end is None else []
        yield span.start, _latest(ends) if ends else span.end, _stamped(pieces, by_word)
        return

    groups: list[list[_Piece]] = [[]]
    newest = None  # the newest timed span
    for piece in pieces:
        if piece.span.own and _says(piece):
            if newest and piece.span != newest and not (by_word and _touch(newest, piece.span)):
                groups.append([])
            newest = piece.span
        groups[-1].append(piece)

    for group in groups:
        spans = [p.span for p in group if _says(p) and (p.span.own or span.own)]
        end = _latest([end for _, end, own in spans if own])
        yield spans[0].start, end, _stamped(group, by_word)


def _says(piece: _Piece) -> bool:
    """Whether a piece is text, not a space or the mark of a style."""
    return piece.text.strip()[:1] not in ("", "<")


def _latest(ends: list[int | None]) -> int | None:
    """Latest of several ends, None where one is not known."""
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _touch(before: _Span, after: _Span) -> bool:
    """Whether one span follows another at once."""
    return before.end is not None and before.start <= after.start <= before.end + NEXT


def _stamped(pieces: list[_Piece], by_word: bool) -> str:
    """Text of pieces, with VTT's timestamp before each that is a word with a time."""
    text = ""
    for piece in pieces:
        if by_word and piece.span.own and _says(piece):
            minutes, ticks = divmod(piece.span.start, 60 * TICKS_PER_SECOND)
            seconds, ticks = divmod(ticks, TICKS_PER_SECOND)
            fraction = ticks * 10**7 // TICKS_PER_SECOND
            text += f"<{minutes // 60}:{minutes % 60:02}:{seconds:02}.{fraction:07}>"
        text += piece.text
    return text
