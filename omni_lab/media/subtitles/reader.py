"""Subtitle reading: files and text tracks of any common format as cues with times and speakers.

Text is conserved: all text of a file is in the cues, once and in order; what is
only displayed again counts once. `encodings` turns bytes into text and `forms` text into entries; here markup is
removed, voices become roles, and times are repaired.
"""

from __future__ import annotations

import html.entities
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.errors import SubtitleError
from omni_lab.media.subtitles.encodings import Decoded, decode_text
from omni_lab.media.subtitles.forms import (
    Row,
    ass_fields,
    clean,
    payload,
    read_rows,
    stamps,
    with_rate,
    with_styles,
)
from omni_lab.media.subtitles.names import language_in
from omni_lab.media.subtitles.repeats import STYLE, shown_once
from omni_lab.media.subtitles.rolling import carried
from omni_lab.media.subtitles.words import word_spans, words_of


@dataclass(frozen=True, slots=True)
class Word:
    """Word with its times."""

    start: int  # ticks
    end: int  # ticks, never before start
    text: str  # as written, with its punctuation


@dataclass(frozen=True, slots=True)
class Cue:
    """Subtitle cue: a text with its times, its speaker where known, and the source of both."""

    start: int  # ticks
    end: int  # ticks, never before start
    text: str  # without markup and without the prefix that named the role
    role: str | None = None  # lower-cased name of the speaker
    role_source: str = "none"  # vtt_voice, ass_name, prefix, dash, voice or none
    role_confidence: float | None = None  # 0 to 1 from diarisation, None where the file names it
    text_source: str = "sidecar"  # embedded, sidecar or asr
    encoding: str | None = None  # how the bytes were read
    words: tuple[Word, ...] = ()
    encoding_sure: float = 1.0  # confidence: 1 where the bytes prove it, less for a guess

    def moved(self, by: int) -> Cue:
        """Time-shifted copy of the cue and its words, `by` ticks later."""
        words = tuple(Word(word.start + by, word.end + by, word.text) for word in self.words)
        return replace(self, start=self.start + by, end=self.end + by, words=words)


_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?(?:[ \t]+([^<>]*))?>|</v>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(#\d{1,7};|#x[\da-f]{1,6};|[a-z]\w{1,30};)", re.IGNORECASE)


def read_subtitles(
    path: str | Path, language: str | None = None, rate: float | None = None
) -> tuple[Cue, ...]:
    """Cues of a subtitle file of any format and encoding.

    Parameters
    ----------
    path : the file; a language in its name (`film.ru.srt`) helps to detect its encoding
    language : expected language where the name has none, two or three letters
    rate : frames per second where times are frames and the file does not say

    Returns
    -------
    cues in order of time, text as in the file (lines kept, markup removed)

    Raises
    ------
    SubtitleError
        the file fails to open, its format is unknown, or no line in it has a time
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SubtitleError(path, f"unreadable subtitle file ({error.strerror})") from None

    wanted = language_in(path.stem) or language
    text, encoding, sure = decode_text(data, wanted)
    text, kind = with_rate(clean(text), rate), path.suffix[1:].lower()
    wrong = "subtitles in an unknown format"
    try:
        cues = parse(text, kind, wanted)
        if not cues and kind in ("srt", "vtt", "sbv") and text.strip() and "-->" not in text:
            # any text parses as SRT without entries: another form under this name, or a diary
            right = "give each entry its times, as 00:00:01,000 --> 00:00:02,000"
            wrong = f"subtitles without a single time; {right}"
            cues = parse(text, "", wanted)
    except ValueError as error:
        raise SubtitleError(path, f"{wrong} ({error})") from None
    return tuple(replace(cue, encoding=encoding, encoding_sure=sure) for cue in cues)


def parse(text: str, kind: str, language: str | None = None) -> tuple[Cue, ...]:
    """Cues of a subtitle file's text.

    Parameters
    ----------
    text : a file's whole text
    kind : `srt`, `vtt`, or another extension, see `read_rows`
    language : the wanted one, where a file holds several

    Raises
    ------
    ValueError
        the format is unknown

    >>> [(c.start, c.end, c.role, c.text) for c in parse("0:1,5 --> 0:02.5\\n<v Guide>Red.", "vtt")]
    [(24000, 40000, 'guide', 'Red.')]
    """
    cues: list[Cue] = []
    for row in shown_once(read_rows(text, kind, language)).values():
        end = None if row.end == row.start else row.end  # an entry without length has no known end
        cues += _cues(row.text, row.start, end, row.name)
    return settle(cues)


def names_voices(text: str) -> bool:
    """Speaker test: whether a VTT file's text names voices."""
    return _VOICE.search(text) is not None


class Packet(NamedTuple):
    """Packet of a text track inside a film."""

    data: bytes  # as the container holds it
    codec: str  # FFmpeg's name of the track's format (`mov_text`, `subrip`, `webvtt`, `ass` …)
    start: int  # ticks
    end: int | None  # ticks; None is left to `settle`
    language: str | None = None  # of the track; it helps where the bytes are not UTF-8


def from_packets(packets: Iterable[Packet]) -> tuple[Cue, ...]:
    """Cues of a text track inside a film, from its packets in order."""
    read = [_from_packet(packet) for packet in packets]
    cues: list[Cue] = []
    for number, row in shown_once([row for row, _ in read]).items():
        _, encoding, sure = read[number][1]
        cues += [
            replace(cue, text_source="embedded", encoding=encoding, encoding_sure=sure)
            for cue in _cues(row.text, row.start, row.end, row.name)
        ]
    return settle(cues)


def _from_packet(packet: Packet) -> tuple[Row, Decoded]:
    """Entry in a packet, and how its bytes were read: up to a zero, as text ends in Matroska."""
    data, styles = payload(packet.data, packet.codec)
    read = decode_text(data, packet.language)
    if b"\0" in data and "\0" in read.text:  # else in an encoding of wide characters
        read = decode_text(data.lstrip(b"\0").partition(b"\0")[0], packet.language)
    text = clean(with_styles(read.text, styles))
    name, text = ass_fields(text) if packet.codec in ("ass", "ssa") else ("", text)
    return Row(packet.start, packet.end, text, name), read


def settle(cues: list[Cue]) -> tuple[Cue, ...]:
    """Cue timing repair: in order of time, each with an end, roll-up captions without repetition.

    A cue that ends before it starts, or nowhere, ends where the next one starts, but after no
    longer than its words take to be spoken (a third of a second each, and one second).
    """
    settled: list[Cue] = []
    following = None  # start of the next cue that starts later
    for cue in sorted(cues, key=lambda cue: cue.start)[::-1]:
        if settled and settled[-1].start > cue.start:
            following = settled[-1].start
        if cue.end < cue.start:
            spoken = cue.start + TICKS_PER_SECOND * (3 + len(words_of(cue.text))) // 3
            cue = replace(cue, end=spoken if following is None else min(spoken, following))
        settled.append(cue)
    return _unrolled(settled[::-1])


def _unrolled(cues: list[Cue]) -> tuple[Cue, ...]:
    """Cues without the repetitions of roll-up captions; a cue lasts as long as it is repeated."""
    new: list[Cue] = []
    repeated = carried([(cue.start, cue.end, cue.text) for cue in cues])
    for cue, count in zip(cues, repeated, strict=True):
        if count == len(cue.text) > 0:
            new[-1] = replace(new[-1], end=max(new[-1].end, cue.end))
            continue
        rest, passed = cue.text[count:].lstrip(), len(words_of(cue.text[:count]))
        new.append(replace(cue, text=rest, words=cue.words[passed:]) if count else cue)
    return tuple(new)


def divide(cue: Cue, pieces: list[Cue]) -> list[Cue]:
    """Time split of a cue over the pieces of its text, in order.

    By the times of their words where all pieces have them, else in proportion to their length.
    """
    if all(piece.words for piece in pieces):
        return [replace(p, start=p.words[0].start, end=p.words[-1].end) for p in pieces]

    total = sum(len(piece.text) for piece in pieces) or 1
    done, timed = 0, []
    for piece in pieces:
        start = cue.start + (cue.end - cue.start) * done // total
        done += len(piece.text)
        end = cue.start + (cue.end - cue.start) * done // total
        timed.append(replace(piece, start=start, end=end))
    return timed


def _cues(text: str, start: int, end: int | None, name: str) -> list[Cue]:
    """Cues of one entry: split where `<v Name>` changes the speaker, without markup.

    An unknown end is -1 until `settle`.
    """
    pieces, role, at = [], None, 0
    end = -1 if end is None else end

    for voice in [*_VOICE.finditer(text), None]:
        plain, words = _timed(text[at : voice.start() if voice else len(text)], start, end)
        if plain:
            source = "vtt_voice" if role else "none"
            pieces.append(Cue(start, end, plain, role, source, words=words))
        if voice:
            role, at = _role(_unescaped(voice[1] or "")), voice.end()

    if actor := _role(name):
        pieces = [replace(piece, role=actor, role_source="ass_name") for piece in pieces]
    return divide(Cue(start, end, ""), pieces) if len(pieces) > 1 and end >= start else pieces


def _role(name: str) -> str | None:
    """Role of a speaker's name: lower case, single spaces; None for a blank."""
    return " ".join(name.lower().split()) or None


def _timed(text: str, start: int, end: int) -> tuple[str, tuple[Word, ...]]:
    """Plain text, and its words with times where the text holds times.

    These times are the film's, or counted from `start`. A word ends where the next one starts;
    pieces of a text without spaces share what is between two times. Times that do not rise from `start` to
    `end` are ignored.
    """
    marked, times = stamps(text)
    plain = _plain(marked)
    if not times:
        return plain, ()

    # A zero character stands where each time was, also inside a word (syllables).
    times = [start, *(times if times[0] >= start else [start + time for time in times]), end]
    before = [len("".join(part.split())) for part in plain.split("\0")]
    plain = _lines(plain.replace("\0", ""))
    if times != sorted(times):
        return plain, ()

    edges = list(accumulate(before[:-1]))  # characters, without spaces, before each time
    groups: list[tuple[int, list[str]]] = []  # start, words without a space between
    passed, last = 0, -1
    for first, until in word_spans(plain):
        begin = times[bisect_right(edges, passed)]
        if first != last or begin != groups[-1][0]:
            groups.append((begin, []))
        groups[-1][1].append(plain[first:until])
        passed, last = passed + until - first, until

    timed: list[Word] = []
    for (begin, words), until in zip(
        groups, [*(start for start, _ in groups[1:]), end], strict=True
    ):
        shares = [begin + (until - begin) * i // len(words) for i in range(len(words) + 1)]
        timed += map(Word, shares, shares[1:], words)
    return plain, tuple(timed)


def _plain(text: str) -> str:
    """Text without the markup of SRT and VTT; anything else between angle brackets is text."""
    return _lines(_unescaped(STYLE.sub("", _BREAK.sub("\n", text))))


def _lines(text: str) -> str:
    """Text without blank lines and spaces at the ends of lines."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _unescaped(text: str) -> str:
    """Text with HTML entities (`&lt;`) as the characters they stand for; unknown ones stay."""
    known = html.entities.html5

    def character(entity: re.Match) -> str:
        is_known = entity[1] in known or entity[1].startswith("#")
        return html.unescape(entity[0]) if is_known else entity[0]

    return _ENTITY.sub(character, text)
