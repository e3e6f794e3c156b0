"""Subtitles in any common form become cues: start, end, text, and who says it where the file tells.

Text is conserved: what stands in a file as text stands in the cues, once and in order; what captions that roll only
show again counts once. `encodings` turns bytes into text, `subtitle_forms` text into entries; here markup goes, voices
become roles, and times become sensible.
"""

from __future__ import annotations

import html.entities
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.clock import stamp
from omni_lab.media.errors import SubtitleError
from omni_lab.media.probe import language_rank
from omni_lab.media.subtitles.encodings import decode_text
from omni_lab.media.subtitles.forms import ass_fields, clean, payload, read_rows, stamps
from omni_lab.media.subtitles.rolling import carried_words


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its own times, where they are known (ticks)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """A stretch of text with its time, its speaker where known, and where both come from."""

    start: int  # ticks
    end: int  # ticks, never before start
    text: str  # without markup and without the mark that named the role
    role: str | None = None  # lower-cased name of the speaker
    role_source: str = "none"  # vtt_voice, ass_name, prefix, dash, voice or none
    role_confidence: float | None = (
        None  # from 0 to 1 where the role was guessed by sound, None where the file tells
    )
    text_source: str = "sidecar"  # embedded, sidecar or asr
    encoding: str | None = None  # how the bytes were read
    words: tuple[Word, ...] = ()
    encoding_sure: float = (
        1.0  # of 1, how sure that is: 1 where the bytes say so, less where it was guessed
    )

    def moved(self, by: int) -> Cue:
        """The same cue, `by` ticks later."""
        words = tuple(Word(word.start + by, word.end + by, word.text) for word in self.words)
        return replace(self, start=self.start + by, end=self.end + by, words=words)


SIDECARS = (".vtt", ".srt", ".ass", ".ssa", ".ttml", ".sbv", ".smi")
# in a subtitle file's name: its language, then whom it is for (`hi` alone is Hindi)
_FOR = r"\.(?:sdh|cc|hi|forced|default)"
_BESIDE = re.compile(
    rf"(?:\.(?!(?:sdh|cc|forced|default)\b)([\w-]{{2,8}}))?((?:{_FOR})*)", re.IGNORECASE
)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?(?:[ \t]+([^<>]*))?>|</v>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:[ibus]|ruby|rt|font)(?:\.[^\s<>]*)?(?:\s+[\w-]+=[^<>]*)?\s*>|</?(?:c|lang)(?:[.\s][^<>]*)?>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")  # SRT files borrow {\an8} from ASS
_ENTITY = re.compile(r"&(#\d{1,7};|#x[\da-f]{1,6};|[a-z]\w{1,30};)", re.IGNORECASE)


def read_subtitles(path: str | Path, language: str | None = None) -> tuple[Cue, ...]:
    """Read a subtitle file, whatever its form and encoding.

    Parameters
    ----------
    path : the file; a language in its name (`film.ru.srt`) helps to tell its encoding
    language : the language to expect where the name does not say, two or three letters

    Returns
    -------
    cues in order of time, text as in the file (lines kept, markup removed)

    Raises
    ------
    SubtitleError
        the file cannot be opened, its form is not known, or not one line in it says when it is shown
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SubtitleError(path, f"subtitles cannot be read ({error.strerror})") from None
    named = Path(re.sub(rf"(?:{_FOR})+$", "", path.stem, flags=re.IGNORECASE)).suffix[1:]
    text, encoding, sure = decode_text(data, named or language)
    try:
        cues = parse(text, path.suffix[1:].lower())
    except ValueError as error:
        raise SubtitleError(path, f"subtitles in no form that is known ({error})") from None
    if not cues and path.suffix.lower() == ".srt" and clean(text).strip() and "-->" not in text:
        raise SubtitleError(
            path,
            "no subtitles: not one line says when it is shown, as 00:00:01,000 --> 00:00:02,000",
        )
    return tuple(replace(cue, encoding=encoding, encoding_sure=sure) for cue in cues)


def parse(text: str, kind: str) -> tuple[Cue, ...]:
    """Read subtitles from text.

    Parameters
    ----------
    text : a file's whole text
    kind : `srt`, `vtt`, or another extension, see `read_rows`

    Raises
    ------
    ValueError
        the form is not known

    >>> [(c.start, c.end, c.role, c.text) for c in parse("0:1,5 --> 0:02.5\\n<v Guide>Red.", "vtt")]
    [(24000, 40000, 'guide', 'Red.')]
    """
    rows = read_rows(text, kind)
    ends = [
        None if row.end == row.start else row.end for row in rows
    ]  # no length is no end that is known
    return settle(
        [
            c
            for row, end in zip(rows, ends, strict=True)
            for c in _cues(row.text, row.start, end, row.name)
        ]
    )


def from_packet(
    data: bytes, codec: str, start: int, end: int | None, language: str | None = None
) -> list[Cue]:
    """Read the cue in one packet of a text track inside a film.

    Parameters
    ----------
    data : the packet as the container holds it
    codec : FFmpeg's name of the track's form (`mov_text`, `subrip`, `webvtt`, `ass` …)
    start, end : ticks; an end of None is settled by the cue that follows
    language : of the track, two or three letters; it helps where the bytes are not UTF-8
    """
    text, encoding, sure = decode_text(payload(data, codec), language)
    text = clean(text)
    name, text = ass_fields(text) if codec in ("ass", "ssa") else ("", text)
    cues = _cues(text, start, end, name)
    return [
        replace(cue, text_source="embedded", encoding=encoding, encoding_sure=sure) for cue in cues
    ]


def settle(cues: list[Cue]) -> tuple[Cue, ...]:
    """Bring cues into order of time, give those without a sensible end one, and keep of rolling captions what is new.

    A cue that ends before it starts, or nowhere, ends where the next one starts, but after no longer than its words
    take to be said (a third of a second each, and one second).
    """
    settled: list[Cue] = []
    following = None  # start of the next cue that starts later
    for cue in sorted(cues, key=lambda cue: cue.start)[::-1]:
        if settled and settled[-1].start > cue.start:
            following = settled[-1].start
        if cue.end < cue.start:
            said = cue.start + TICKS_PER_SECOND * (3 + len(cue.text.split())) // 3
            cue = replace(cue, end=said if following is None else min(said, following))
        settled.append(cue)
    return _unrolled(settled[::-1])


def _unrolled(cues: list[Cue]) -> tuple[Cue, ...]:
    """Leave out what rolling captions only show again; the cue that said it lasts as long as it stands alone."""
    new: list[Cue] = []
    for cue, count in zip(
        cues, carried_words([(cue.start, cue.end, cue.text) for cue in cues]), strict=True
    ):
        if count == len(cue.text.split()) > 0:
            new[-1] = replace(new[-1], end=max(new[-1].end, cue.end))
            continue
        rest = re.sub(rf"(?:\s*\S+){{{count}}}\s*", "", cue.text, count=1) if count else cue.text
        new.append(replace(cue, text=rest, words=cue.words[count:]))
    return tuple(new)


def doubts(cues: tuple[Cue, ...], duration: int) -> list[str]:
    """Say what cannot be right with the times of subtitles, in a film of `duration` ticks.

    >>> doubts((Cue(0, 9, "In time."), Cue(32_000, 48_000, "Late.")), 16_000)
    ['1 of 2 cues begin after the film ends at 0:01.000']
    """
    late = sum(cue.start > duration for cue in cues)
    found = (
        [f"{late} of {len(cues)} cues begin after the film ends at {stamp(duration)}"]
        if late
        else []
    )
    if len(cues) > 2 and cues[0].start == cues[-1].start:
        found.append(
            f"all {len(cues)} cues begin at {stamp(cues[0].start)}: their times tell nothing"
        )
    return found


def divide(cue: Cue, pieces: list[Cue]) -> list[Cue]:
    """Share a cue's time among the pieces of its text, in order: by their words' times, else by their length."""
    if all(piece.words for piece in pieces):
        return [
            replace(piece, start=piece.words[0].start, end=piece.words[-1].end) for piece in pieces
        ]
    total = sum(len(piece.text) for piece in pieces) or 1
    done, shared = 0, []
    for piece in pieces:
        start = cue.start + (cue.end - cue.start) * done // total
        done += len(piece.text)
        shared.append(
            replace(piece, start=start, end=cue.start + (cue.end - cue.start) * done // total)
        )
    return shared


def sidecars(path: str | Path, language: str = "en") -> list[Path]:
    """List the subtitle files beside a film, best first: only the first that holds cues is used, so none count twice.

    A file `film.vtt`, `film.en.vtt` or `film.en.sdh.vtt` belongs to `film.mp4`. One in the wanted language or untold
    comes before one in another, one for all before one with forced lines alone; then VTT if it names voices, else SRT,
    else the rest.
    """
    film = Path(path)
    found = []
    beside = (
        name
        for name in os.listdir(film.parent)
        if name.startswith(film.stem + ".") and name != film.name
    )
    for file in map(film.with_name, beside):  # of ten thousand names, few become paths
        tags = _BESIDE.fullmatch(file.name[len(film.stem) : -len(file.suffix)])
        if not tags or file.suffix.lower() not in SIDECARS or not file.is_file():
            continue
        order = SIDECARS.index(file.suffix.lower())
        if file.suffix.lower() == ".vtt" and not _names_voices(file):
            order = SIDECARS.index(".srt") + 0.5
        forced = ".forced" in tags[2].lower()
        found.append((language_rank(tags[1], language) == 2, forced, order, file.name, file))
    return [entry[-1] for entry in sorted(found)]


def _names_voices(file: Path) -> bool:
    try:
        return _VOICE.search(decode_text(file.read_bytes()).text) is not None
    except OSError:  # who reads it is told why that cannot be
        return False


def _cues(text: str, start: int, end: int | None, name: str) -> list[Cue]:
    """Make cues of one entry: split it where `<v Name>` changes the speaker, and remove markup.

    An end that is not known stands as -1 until `settle`.
    """
    pieces, role, at = [], None, 0
    end = -1 if end is None else end
    for voice in [*_VOICE.finditer(text), None]:
        said, words = _timed(text[at : voice.start() if voice else len(text)], start, end)
        if said:
            pieces.append(Cue(start, end, said, role, "vtt_voice" if role else "none", words=words))
        if voice:
            role, at = _role(_unescaped(voice[1] or "")), voice.end()
    if told := _role(name):
        pieces = [replace(piece, role=told, role_source="ass_name") for piece in pieces]
    return divide(Cue(start, end, ""), pieces) if len(pieces) > 1 and end >= start else pieces


def _role(name: str) -> str | None:
    return " ".join(name.lower().split()) or None


def _timed(text: str, start: int, end: int) -> tuple[str, tuple[Word, ...]]:
    """Remove markup, and give each word its time where the text holds times: of the film, or counted from `start`.

    A word ends where the next one starts. Times that do not rise from `start` to `end` tell nothing.
    """
    marked, times = stamps(text)
    said = _plain(marked)
    if not times:
        return said, ()
    times = [start, *(times if times[0] >= start else [start + time for time in times]), end]
    starts, passed = [], 0
    for word in said.split():
        passed += len(word) - len(word.lstrip("\0"))
        if word.strip("\0"):
            starts.append(times[passed])
        passed += word.lstrip("\0").count("\0")
    said = _lines(said.replace("\0", ""))
    if times != sorted(times):
        return said, ()
    return said, tuple(map(Word, starts, [*starts[1:], end], said.split()))


def _plain(text: str) -> str:
    """Remove the markup that SRT and VTT know; anything else between angle brackets is text."""
    return _lines(_unescaped(_OVERRIDE.sub("", _TAG.sub("", _BREAK.sub("\n", text)))))


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _unescaped(text: str) -> str:
    """Turn `&lt;` and its like into the characters they stand for."""
    known = html.entities.html5
    return _ENTITY.sub(
        lambda e: html.unescape(e[0]) if e[1] in known or e[0][1] == "#" else e[0], text
    )
