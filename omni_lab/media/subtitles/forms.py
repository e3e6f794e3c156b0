"""Subtitle formats: SRT, VTT, SBV, ASS and rarer ones as timed entries of text with speakers.

SRT, VTT, SBV and ASS are parsed here, TTML and SAMI beside it: files in the wild lack numbers,
blank lines and headers, carry one-digit seconds, and end in mid-cue, all of which common parsers
drop or refuse. Formats that hold less are parsed by pysubs2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.media.subtitles.sami import is_sami, read_sami
from omni_lab.media.subtitles.ttml import is_ttml, read_ttml

_MS = TICKS_PER_SECOND // 1000
_TIME = r"(-?(?:\d{1,5}:\s?)?-?\d{1,3}:\s?-?\d{1,2}(?:[.,:]\s?\d+)?)"
_DIGITS = re.compile(r"(?:(\d{1,5}):)?(\d{1,3}):(\d{1,2})(?:[.,:](\d{1,9})\d*)?")
_ARROW = re.compile(rf"\s*{_TIME}\s*-?\s?[-–—]>\s*{_TIME}?(.*)")
_BARE = re.compile(r"\s*\d{1,3}:\d{1,2}\s*-->\s*\d{1,3}:\d{1,2}(?![\d:.,])")
_COMMA = re.compile(rf"\s*{_TIME}\s*,\s*{_TIME}\s*()$")
_STAMP = re.compile(r"<((?:\d{1,5}:)?\d{1,3}:\d{1,2}[.,]\d+)>")
_SETTING = re.compile(r"[\w-]+:\S*")
_BLOCK = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")
_FRAMES = re.compile(r"\s*\{\s*\d+\s*\}\s*\{\s*\d+\s*\}")
_RATE = re.compile(r"\s*\{[01]\}\{[01]\}\s*(\d+(?:[.,]\d+)?)\s*$", re.MULTILINE)
_ASS_FORMAT = [
    "layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text",
]  # fmt: skip
_ASS_DRAWING = re.compile(
    r"\{(?=[^{}]*\})[^{}]*?\\p[1-9][^{}]*\}.*?(?=\{[^{}]*\\p0[^{}]*\}|$)", re.DOTALL
)
_ASS_BLOCK = re.compile(r"\{[^{}\\]*([^{}]*)\}")  # a comment, then override tags


class Row(NamedTuple):
    """Subtitle entry: its times, its text with markup, and the speaker where a field names one."""

    start: int  # ticks, 0 or more
    end: int | None  # ticks; None where the file does not say
    text: str
    name: str = ""


def read_rows(text: str, kind: str, language: str | None = None) -> list[Row]:
    """Subtitle entries of a file, in file order.

    The beginning of a file counts for more than its extension.

    Parameters
    ----------
    text : a file's whole text
    kind : `srt`, `vtt`, `sbv`, `ass`, `ssa`, `smi`, or another extension; the format is then
        recognised
    language : the wanted one, two or three letters, where a file holds several

    Raises
    ------
    ValueError
        the format is unknown

    >>> read_rows("1\\n0:1,5 --> 0:02.5 align:start\\nRed.", "srt")
    [Row(start=24000, end=40000, text='Red.', name='')]
    """
    text = clean(text)
    head = text[:100].lstrip().lower()
    if head.startswith("webvtt"):
        return _by_line(text.splitlines(), _ARROW, vtt=True)
    if kind in ("ass", "ssa") or head.startswith(("[script info]", "[events]", "[v4")):
        return _dialogues(text.splitlines())
    if is_ttml(text) or kind in ("smi", "sami") or is_sami(text):
        return _elements(text, language)
    if kind in ("srt", "vtt", "sbv"):
        return _by_line(text.splitlines(), _COMMA if kind == "sbv" else _ARROW, vtt=kind == "vtt")
    return _others(text)


def clean(text: str) -> str:
    """Text without zero bytes, byte-order marks (of joined files) and doubled carriage returns."""
    return re.sub("\r+\n", "\n", text.replace("\0", "").replace("\ufeff", ""))


def with_rate(text: str, rate: float | None) -> str:
    """MicroDVD text with its frame rate as the first entry; any other text as it is.

    >>> with_rate("{25}{50}Red.", 25.0)
    '{1}{1}25.0\\n{25}{50}Red.'
    """
    if stated := _RATE.match(text):
        return f"{{1}}{{1}}{stated[1].replace(',', '.')}\n{text[stated.end() :]}"
    return f"{{1}}{{1}}{rate}\n{text}" if rate and _FRAMES.match(text) else text


def stamps(text: str) -> tuple[str, list[int]]:
    """Word timestamps in a text: the text with a zero character in place of each, and the ticks.

    >>> stamps("So<00:01.500> what?")
    ('So\\x00 what?', [24000])
    """
    return _STAMP.sub("\0", text), [_ticks(stamp) for stamp in _STAMP.findall(text)]


def payload(data: bytes, codec: str) -> tuple[bytes, bytes]:
    """Text bytes in a packet of a text track, and its boxes of styles; MP4 wraps both."""
    if codec == "mov_text":
        end = 2 + int.from_bytes(data[:2], "big")
        return data[2:end], data[end:]
    if codec == "webvtt" and data[4:8] in (b"vttc", b"vtte", b"vttx"):
        return b"\n".join(_boxed(data)), b""
    return data, b""


def with_styles(text: str, boxes: bytes) -> str:
    """Text with its styles (3GPP TS 26.245, box `styl`) as markup: from, to, font, face, colour.

    >>> record = bytes([0, 0, 0, 3, 0, 1, 4, 18, 255, 255, 255, 255])
    >>> with_styles("One two", bytes([0, 0, 0, 22]) + b"styl" + bytes([0, 1]) + record)
    '<c.00010412ffffffff>One</c> two'
    """
    at = boxes.find(b"styl") + 6
    if at < 6:
        return text
    count = int.from_bytes(boxes[at - 2 : at], "big")
    records = [boxes[i : i + 12] for i in range(at, min(at + 12 * count, len(boxes) - 11), 12)]

    pieces, done = [], 0
    for record in sorted(records):
        start, end = (int.from_bytes(record[i : i + 2], "big") for i in (0, 2))
        if done <= start < end:
            styled = f"<c.{record[4:].hex()}>{text[start:end]}</c>"
            pieces += [text[done:start], styled]
            done = end
    return "".join([*pieces, text[done:]])


def ass_fields(packet: str) -> tuple[str, str]:
    """Speaker name and text of one event in an ASS track.

    Its fields: read order, layer, style, name, three margins, effect, text.
    """
    fields = packet.split(",", 8)
    return (fields[3], _ass_text(fields[8])) if len(fields) == 9 else ("", "")


def _boxed(data: bytes) -> Iterator[bytes]:
    """Text payloads in boxes of ISO/IEC 14496-30: `vttc` holds settings and `payl`, the text."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"payl":
            yield data[at + 8 : at + size]
        at += 8 if kind == b"vttc" else max(size, 8)


def _by_line(lines: list[str], timing: re.Pattern, vtt: bool) -> list[Row]:
    """SRT, VTT or SBV entries: a line with two times begins one, whatever the lines around."""
    found: list[tuple[int, int | None, list[str]]] = []
    number = -1  # of the newest entry; -1 where the file does not number them
    head = ""  # the newest line with text before the first entry
    bare = False  # whether the newest entry's own times are minutes and seconds alone
    block = False  # whether the line is in a VTT block that is no cue
    last = max((i for i, line in enumerate(lines) if line.strip()), default=0)

    for i, line in enumerate(lines):
        times = _times(timing.match(line))
        if times and times[1] is None and not (i == last and _begins(lines, i)):
            times = None  # somebody says "3:2 -->"
        elif found and not bare and _BARE.match(line) and not _begins(lines, i):
            times = None  # somebody says "3:2 --> 3:2"
        if times:
            name = _take_name(found[-1][2], number, vtt) if found else head
            number = int(name) if name.isdecimal() and len(name) < 10 else number + (number >= 0)
            found.append((times[0], times[1], [times[2]] if times[2] else []))
            bare, block = bool(_BARE.match(line)), False
        elif not found:
            head = line.strip() or head
        elif vtt and not block and _BLOCK.match(line) and not lines[i - 1].strip():
            block = True
        elif block:
            block = bool(line.strip())
        else:
            found[-1][2].append(line)

    return [
        Row(start, end, "\n".join(x.strip() for x in words if x.strip()))
        for start, end, words in found
    ]


def _times(match: re.Match | None) -> tuple[int, int | None, str] | None:
    """Start, end, and text on the same line; None where the arrow is part of a text."""
    if match is None:
        return None
    start, end, rest = _ticks(match[1]), match[2], match[3].strip()
    if end is None:  # a line that was cut off, or words after an arrow
        return None if rest.strip("0123456789:.,-") else (start, None, "")
    return start, _ticks(end), "" if all(map(_SETTING.fullmatch, rest.split())) else rest


def _begins(lines: list[str], at: int) -> bool:
    """Whether a line stands where an entry begins: after a blank line, or after its number."""
    above = [line.strip() for line in lines[max(at - 2, 0) : at]]
    if above and above[-1].isdecimal():
        above.pop()
    return not (above and above[-1])


def _take_name(lines: list[str], number: int, vtt: bool) -> str:
    """Number, or VTT name, of the entry that begins now, taken off the lines of the one before.

    Empty where there is none: a number that somebody says stays text.
    """
    last = len(lines) - 1
    while last >= 0 and not lines[last].strip():
        last -= 1
    if last < 0:
        return ""

    above = lines[last].strip()
    is_next = number >= 0 and above.lstrip("0") == str(number + 1)
    apart = last == 0 or not lines[last - 1].strip()
    if last == len(lines) - 1:  # right above the times
        taken = (apart and last > 0 and (vtt or above.isdecimal())) or is_next
    else:
        taken = apart and is_next
    if not taken:
        return ""
    del lines[last:]
    return above


def _dialogues(lines: list[str]) -> list[Row]:
    """ASS and SSA entries: lines `Dialogue:`, whose fields a line `Format:` may name.

    Comments and drawings are no text.

    Raises
    ------
    ValueError
        the lines hold nothing of this format
    """
    rows: list[Row] = []
    fields, known = _ASS_FORMAT, False

    for line in lines:
        key, _, rest = line.partition(":")
        key = key.strip().lower()
        known |= key == "dialogue" or key.startswith(("[events]", "[script info]"))
        if key == "format":  # styles have a format too, without text
            names = [name.strip().lower() for name in rest.split(",")]
            fields = names if names[-1] == "text" else fields
        elif key == "dialogue":
            event = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            text = _ass_text(event.get("text", ""))
            start, end = _ticks(event.get("start", "")), _ticks(event.get("end", ""))
            if text.strip():  # an unreadable start becomes that of the entry before
                start = start if start is not None else rows[-1].start if rows else 0
                rows.append(Row(start, end, text, event.get("name", event.get("actor", ""))))

    if not known:
        raise ValueError("neither [Events] nor Dialogue: in it")
    return rows


def _ass_text(text: str) -> str:
    """Text of an ASS event, without drawings and comments; its override tags are styles."""
    text = _ASS_BLOCK.sub(
        lambda block: f"{{{block[1]}}}" if block[1] else "", _ASS_DRAWING.sub("", text)
    )
    return text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ").strip()


def _ticks(text: str) -> int | None:
    """Time in ticks, 0 for a negative one; None where the text is no time."""
    found = _DIGITS.fullmatch("".join(text.split()).replace("-", ""))
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups(default="0")
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    ticks = whole * TICKS_PER_SECOND + int(fraction.ljust(9, "0")) * TICKS_PER_SECOND // 10**9
    return 0 if "-" in text else ticks


def _elements(text: str, language: str | None) -> list[Row]:
    """Entries of TTML or SAMI.

    Raises
    ------
    ValueError
        the file is broken
    """
    try:
        entries = read_ttml(text, language) if is_ttml(text) else read_sami(text, language)
    except (ValueError, SyntaxError, ArithmeticError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    return [Row(*entry) for entry in entries]


def _others(text: str) -> list[Row]:
    """Entries in the formats of pysubs2: MicroDVD with its frame rate, MPL2, TMPlayer.

    Raises
    ------
    ValueError
        pysubs2 does not recognise the format, or the file is broken
    """
    import pysubs2

    # Besides its own errors, pysubs2 lets through those of the parsers that it calls.
    broken = (pysubs2.exceptions.Pysubs2Error, ValueError, SyntaxError, ArithmeticError)
    broken += (LookupError, TypeError, NotImplementedError)
    try:
        events = pysubs2.SSAFile.from_string(text).events
    except broken as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None

    rows = [(max(0, e.start), max(0, e.end), e.plaintext) for e in events]  # milliseconds
    return [Row(a * _MS, b * _MS, text) for a, b, text in rows if text.strip()]
