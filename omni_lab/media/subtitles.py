"""Subtitles in any common form become cues: start, end, text, and who says it where the file tells.

SRT and VTT have a reader of their own: files in the wild lack numbers and blank lines, carry one-digit seconds, end
in mid-cue, and name several voices in one cue, all of which common readers drop or refuse. ASS and the rest are read
by pysubs2. Text is conserved: what stands in the file as text stands in the cues, once and in order.
"""

from __future__ import annotations

import codecs
import html
import re
from dataclasses import dataclass, replace
from pathlib import Path

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.faults import BadSubtitles


@dataclass(frozen=True)
class Word:
    """One word with its own times, where they are known (ticks)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Cue:
    """A stretch of text with its time, its speaker where known, and where both come from."""

    start: int  # ticks
    end: int  # ticks, never before start
    text: str  # without markup and without the mark that named the role
    role: str | None = None  # lower-cased name of the speaker
    role_source: str = "none"  # vtt_voice, ass_name, prefix, dash, voice or none
    text_source: str = "sidecar"  # embedded, sidecar or asr
    encoding: str | None = None  # how the bytes were read
    words: tuple[Word, ...] = ()

    def moved(self, by: int) -> Cue:
        """The same cue, `by` ticks later."""
        words = tuple(Word(word.start + by, word.end + by, word.text) for word in self.words)
        return replace(self, start=self.start + by, end=self.end + by, words=words)


SIDECARS = (".vtt", ".srt", ".ass", ".ssa", ".ttml", ".sbv")
_TIME = r"(?:(\d+):)?(\d{1,3}):(\d{1,2})(?:[.,:](\d{1,3}))?"
_TIMING = re.compile(rf"^\s*{_TIME}\s*-{{1,2}}>(?:\s*{_TIME})?")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>|</v>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:i|b|u|s|c|font|ruby|rt|lang)(?:[.\s][^<>]*)?>|<\d+:\d+(?::\d+)?[.,]\d+>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")  # SRT files borrow {\an8} from ASS


def read_subtitles(path: str | Path) -> tuple[Cue, ...]:
    """Read a subtitle file, whatever its form and encoding.

    Returns
    -------
    cues in order of time, text as in the file (lines kept, markup removed)

    Raises
    ------
    BadSubtitles
        the file cannot be opened, or its form is not known
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadSubtitles(path, f"subtitles cannot be read ({error.strerror})") from None
    text, encoding = decode_text(data)
    try:
        cues = parse(text, Path(path).suffix.lstrip(".").lower())
    except ValueError as error:
        raise BadSubtitles(path, f"subtitles in no form that is known ({error})") from None
    return tuple(replace(cue, encoding=encoding) for cue in cues)


def decode_text(data: bytes) -> tuple[str, str]:
    """Turn a subtitle file's bytes into text: its byte-order mark decides, else strict UTF-8, else a guess.

    Returns
    -------
    the text, and the encoding that was used (`cp1252 (guess)` where nothing in the file tells)

    >>> decode_text("déjà vu".encode())[1], decode_text("déjà vu".encode("cp1252"))
    ('utf-8', ('déjà vu', 'cp1252 (guess)'))
    """
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    for mark, name in marks.items():
        if data.startswith(mark):
            return data.decode(name, errors="replace"), name
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start > 0:  # the file was cut off inside a character
            return data[: error.start].decode("utf-8"), "utf-8"
    try:
        return data.decode("cp1252"), "cp1252 (guess)"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1 (guess)"


def parse(text: str, kind: str) -> tuple[Cue, ...]:
    """Read subtitles from text.

    Parameters
    ----------
    text : a file's whole text
    kind : `srt`, `vtt`, or another extension, which pysubs2 then has to recognise

    Raises
    ------
    ValueError
        the form is not known

    >>> [(c.start, c.end, c.role, c.text) for c in parse("0:1,5 --> 0:02.5\\n<v Guide>Red.", "vtt")]
    [(24000, 40000, 'guide', 'Red.')]
    """
    if kind in ("srt", "vtt"):
        return settle(_lines(text.lstrip("\ufeff").splitlines(), kind == "vtt"))
    return settle(_pysubs2(text))


def from_packet(data: bytes, codec: str, start: int, end: int | None) -> list[Cue]:
    """Read the cue in one packet of a text track inside a film.

    Parameters
    ----------
    data : the packet as the container holds it
    codec : FFmpeg's name of the track's form (`mov_text`, `subrip`, `webvtt`, `ass` …)
    start, end : ticks; an end of None is settled by the cue that follows
    """
    role = None
    if codec == "mov_text":  # two bytes of length, text, then boxes of styles
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    text, encoding = decode_text(data)
    if codec in ("ass", "ssa"):  # ReadOrder, Layer, Style, Name, three margins, Effect, Text
        fields = text.split(",", 8)
        if len(fields) < 9:
            return []
        role, text = fields[3].strip() or None, _ass_text(fields[8])
    cues = _voices(text, start, -1 if end is None else end)
    if role:
        cues = [replace(cue, role=role.lower(), role_source="ass_name") for cue in cues]
    return [replace(cue, text_source="embedded", encoding=encoding) for cue in cues]


def settle(cues: list[Cue]) -> tuple[Cue, ...]:
    """Bring cues into order of time and give those without a sensible end one.

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
    return tuple(settled[::-1])


def divide(cue: Cue, pieces: list[Cue]) -> list[Cue]:
    """Share a cue's time among the pieces of its text, in order, by their length: nothing better is known."""
    total = sum(len(piece.text) for piece in pieces) or 1
    done, shared = 0, []
    for piece in pieces:
        start = cue.start + (cue.end - cue.start) * done // total
        done += len(piece.text)
        shared.append(replace(piece, start=start, end=cue.start + (cue.end - cue.start) * done // total))
    return shared


def sidecars(path: str | Path, language: str = "en") -> list[Path]:
    """List the subtitle files beside a film, best first: only the first that holds cues is used, so none count twice.

    A file `film.vtt` or `film.en.vtt` belongs to `film.mp4`. One in the wanted language or untold comes before one in
    another; then VTT if it names voices, else SRT, else the rest.
    """
    film = Path(path)
    found = []
    for file in film.parent.iterdir():
        middle = file.name[len(film.stem) : -len(file.suffix)] if file.name.startswith(film.stem + ".") else None
        if middle is None or file.suffix.lower() not in SIDECARS or not re.fullmatch(r"(?:\.[\w-]{2,8})?", middle):
            continue
        order = SIDECARS.index(file.suffix.lower())
        if order == 0 and not _VOICE.search(decode_text(file.read_bytes())[0]):
            order = 1.5
        found.append((middle.lower() not in ("", f".{language.lower()}"), order, file.name, file))
    return [entry[-1] for entry in sorted(found)]


def _lines(lines: list[str], vtt: bool) -> list[Cue]:
    """Read SRT or VTT line by line: a line with an arrow begins a cue, whatever stands or lacks around it."""
    cues: list[tuple[int, int, list[str]]] = []
    number, block = 0, "" if vtt else None  # block: first word of the VTT block that is no cue
    for i, line in enumerate(lines):
        timing = _TIMING.match(line)
        if timing:
            if cues:
                _drop_name(cues[-1][2], lines, i, number, vtt)
            number += 1
            cues.append((_ticks(timing.groups()[:4]), _ticks(timing.groups()[4:]), []))
            block = None
        elif vtt and block is None and line.startswith(("NOTE", "STYLE", "REGION")) and not lines[i - 1].strip():
            block = line
        elif vtt and block is not None:
            block = None if cues and not line.strip() else block
        elif cues:
            cues[-1][2].append(line)
    read = []
    for start, end, text in cues:
        read.extend(_voices("\n".join(line.strip() for line in text if line.strip()), start, end))
    return read


def _drop_name(text: list[str], lines: list[str], i: int, number: int, vtt: bool) -> None:
    """Take the number (or VTT name) of the cue that begins in line i off the text of the cue before."""
    above = lines[i - 1].strip()
    if not text or not above:
        return
    apart = len(text) >= 2 and not text[-2].strip()
    if (above.isdigit() and (apart or (len(text) >= 2 and int(above) == number + 1))) or (vtt and apart):
        text.pop()


def _voices(text: str, start: int, end: int) -> list[Cue]:
    """Split a cue's text where `<v Name>` changes the speaker, and remove markup."""
    pieces, role, at = [], None, 0
    for voice in [*_VOICE.finditer(text), None]:
        said = _plain(text[at : voice.start() if voice else len(text)])
        if said:
            pieces.append(Cue(start, end, said, role, "vtt_voice" if role else "none"))
        if voice:
            role, at = (html.unescape(voice.group(1)).strip().lower() or None) if voice.group(1) else None, voice.end()
    return divide(Cue(start, end, ""), pieces) if len(pieces) > 1 and end >= start else pieces


def _plain(text: str) -> str:
    """Remove the markup that SRT and VTT know; anything else between angle brackets is text."""
    text = html.unescape(_OVERRIDE.sub("", _TAG.sub("", text)))
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _ass_text(text: str) -> str:
    return _OVERRIDE.sub("", text).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")


def _ticks(groups: tuple[str | None, ...]) -> int:
    """Turn hours, minutes, seconds and a decimal fraction into ticks; -1 where there is no time."""
    hours, minutes, seconds, fraction = groups
    if minutes is None:
        return -1
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * TICKS_PER_SECOND + int((fraction or "0").ljust(3, "0")) * TICKS_PER_SECOND // 1000


def _pysubs2(text: str) -> list[Cue]:
    """Read ASS, SSA and whatever else pysubs2 recognises; its comments and drawings are no text."""
    import pysubs2

    try:
        file = pysubs2.SSAFile.from_string(text)
    except (pysubs2.exceptions.Pysubs2Error, ValueError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    cues = []
    for event in file.events:
        said = _plain(event.plaintext)
        if not said or event.is_comment or event.is_drawing:
            continue
        start, end = (ms * TICKS_PER_SECOND // 1000 for ms in (event.start, event.end))
        role = event.name.strip().lower() or None
        cues.append(Cue(start, end, said, role, "ass_name" if role else "none"))
    return cues
