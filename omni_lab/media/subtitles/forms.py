"""Forms of subtitles: which lines of a file, or bytes of a packet, are text, and when and by whom it is said.

SRT, VTT, SBV and ASS have readers of their own: files in the wild lack numbers, blank lines and headers, carry
one-digit seconds, and end in mid-cue, all of which common readers drop or refuse. What is rarer is read by pysubs2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from omni_lab.config import TICKS_PER_SECOND

_MS = TICKS_PER_SECOND // 1000
_TIME = r"(-?(?:\d{1,5}:\s?)?-?\d{1,3}:\s?-?\d{1,2}(?:[.,:]\s?\d+)?)"
_DIGITS = re.compile(r"(?:(\d{1,5}):)?(\d{1,3}):(\d{1,2})(?:[.,:](\d{1,9})\d*)?")
_ARROW = re.compile(rf"\s*{_TIME}\s*-?\s?[-–—]>\s*{_TIME}?(.*)")
_COMMA = re.compile(rf"\s*{_TIME}\s*,\s*{_TIME}\s*()$")
_STAMP = re.compile(r"<((?:\d{1,5}:)?\d{1,3}:\d{1,2}[.,]\d+)>")
_SETTING = re.compile(r"[\w-]+:\S*")
_BLOCK = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")
_ASS_FORMAT = [
    "layer",
    "start",
    "end",
    "style",
    "name",
    "marginl",
    "marginr",
    "marginv",
    "effect",
    "text",
]
_ASS_DRAWING = re.compile(
    r"\{(?=[^{}]*\})[^{}]*?\\p[1-9][^{}]*\}.*?(?=\{[^{}]*\\p0[^{}]*\}|$)", re.DOTALL
)
_ASS_OVERRIDE = re.compile(r"\{[^{}]*\}")


class Row(NamedTuple):
    """One entry of a file: its times, its text with whatever markup it has, and who a field of its own says speaks."""

    start: int  # ticks, 0 or more
    end: int | None  # ticks; None where the file does not say
    text: str
    name: str = ""


def read_rows(text: str, kind: str) -> list[Row]:
    """Read the entries of a subtitle file, in its own order.

    What a file begins with counts for more than its extension.

    Parameters
    ----------
    text : a file's whole text
    kind : `srt`, `vtt`, `sbv`, `ass`, `ssa`, or another extension, which pysubs2 then has to recognise

    Raises
    ------
    ValueError
        the form is not known

    >>> read_rows("1\\n0:1,5 --> 0:02.5 align:start\\nRed.", "srt")
    [Row(start=24000, end=40000, text='Red.', name='')]
    """
    text = clean(text)
    head = text[:100].lstrip().lower()
    if head.startswith("webvtt"):
        return _by_line(text.splitlines(), _ARROW, vtt=True)
    if kind in ("ass", "ssa") or head.startswith(("[script info]", "[events]", "[v4")):
        return _dialogues(text.splitlines())
    if kind in ("srt", "vtt", "sbv"):
        return _by_line(text.splitlines(), _COMMA if kind == "sbv" else _ARROW, vtt=kind == "vtt")
    return _others(text)


def clean(text: str) -> str:
    """Take out what is no text: zero bytes, marks of byte order where files were joined, line ends written twice."""
    return re.sub("\r+\n", "\n", text.replace("\0", "").replace("\ufeff", ""))


def stamps(text: str) -> tuple[str, list[int]]:
    """Take the times of words out of a text: a zero character stands where each was. Gives the text and the ticks.

    >>> stamps("So<00:01.500> what?")
    ('So\\x00 what?', [24000])
    """
    return _STAMP.sub("\0", text), [_ticks(stamp) for stamp in _STAMP.findall(text)]


def payload(data: bytes, codec: str) -> bytes:
    """Give the bytes of text in a packet of a text track; MP4 puts them between lengths, boxes and styles."""
    if codec == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2], "big")]
    if codec == "webvtt" and data[4:8] in (b"vttc", b"vtte", b"vttx"):
        return b"\n".join(_boxed(data))
    return data


def ass_fields(packet: str) -> tuple[str, str]:
    """Split one event of an ASS track (read order, layer, style, name, three margins, effect, text) into name, text."""
    fields = packet.split(",", 8)
    return (fields[3], _ass_text(fields[8])) if len(fields) == 9 else ("", "")


def _boxed(data: bytes) -> Iterator[bytes]:
    """Give the payloads in the boxes of ISO/IEC 14496-30: `vttc` holds settings and `payl`, the text."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"payl":
            yield data[at + 8 : at + size]
        at += 8 if kind == b"vttc" else max(size, 8)


def _by_line(lines: list[str], timing: re.Pattern, vtt: bool) -> list[Row]:
    """Read SRT, VTT or SBV: a line with two times begins an entry, whatever stands or lacks around it."""
    found: list[tuple[int, int | None, list[str]]] = []
    number = -1  # of the newest entry; -1 where the file does not number them
    head = ""  # the newest line with text before the first entry
    block = False  # whether the line is in a VTT block that is no cue
    for i, line in enumerate(lines):
        times = _times(timing.match(line))
        if times:
            name = _take_name(found[-1][2], number, vtt) if found else head
            number = int(name) if name.isdecimal() and len(name) < 10 else number + (number >= 0)
            found.append((times[0], times[1], [times[2]] if times[2] else []))
            block = False
        elif not found:
            head = line.strip() or head
        elif vtt and not block and _BLOCK.match(line) and not lines[i - 1].strip():
            block = True
        elif block:
            block = bool(line.strip())
        else:
            found[-1][2].append(line)
    return [
        Row(start, end, "\n".join(x.strip() for x in said if x.strip()))
        for start, end, said in found
    ]


def _times(match: re.Match | None) -> tuple[int, int | None, str] | None:
    """Give start, end, and text on the same line; None where an arrow stands in text."""
    if match is None:
        return None
    start, end, rest = _ticks(match[1]), match[2], match[3].strip()
    if end is None:  # a file that was cut off within the line, or words after an arrow
        return None if rest.strip("0123456789:.,-") else (start, None, "")
    return start, _ticks(end), "" if all(map(_SETTING.fullmatch, rest.split())) else rest


def _take_name(said: list[str], number: int, vtt: bool) -> str:
    """Take the number, or the VTT name, of the entry that begins now off the lines of the one before, and give it."""
    last = len(said) - 1
    while last >= 0 and not said[last].strip():
        last -= 1
    if last < 0:
        return ""
    above, next_number = (
        said[last].strip(),
        number >= 0 and said[last].strip().lstrip("0") == str(number + 1),
    )
    apart = last == 0 or not said[last - 1].strip()
    if last == len(said) - 1:  # right above the times
        taken = (apart and last > 0 and (vtt or above.isdecimal())) or next_number
    else:
        taken = apart and next_number
    if not taken:
        return ""
    del said[last:]
    return above


def _dialogues(lines: list[str]) -> list[Row]:
    """Read ASS and SSA: lines `Dialogue:`, whose fields a line `Format:` may name; comments and drawings are no text.

    Raises
    ------
    ValueError
        nothing of this form is in the lines
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
            if text.strip():  # where a time cannot be read, its neighbour's is the nearest
                start = start if start is not None else rows[-1].start if rows else 0
                rows.append(Row(start, end, text, event.get("name", event.get("actor", ""))))
    if not known:
        raise ValueError("neither [Events] nor Dialogue: in it")
    return rows


def _ass_text(text: str) -> str:
    text = _ASS_OVERRIDE.sub("", _ASS_DRAWING.sub("", text))
    return text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ").strip()


def _ticks(text: str) -> int | None:
    """Turn a time into ticks, a negative one into 0; None where there is none."""
    found = _DIGITS.fullmatch("".join(text.split()).replace("-", ""))
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups(default="0")
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    ticks = whole * TICKS_PER_SECOND + int(fraction.ljust(9, "0")) * TICKS_PER_SECOND // 10**9
    return 0 if "-" in text else ticks


def _others(text: str) -> list[Row]:
    """Read what pysubs2 recognises: TTML, MicroDVD with its frame rate, SAMI, MPL2, TMPlayer."""
    import pysubs2

    foreign = (
        ValueError,
        SyntaxError,
        ArithmeticError,
        LookupError,
        TypeError,
        NotImplementedError,
    )
    try:
        events = pysubs2.SSAFile.from_string(text).events
    except (
        pysubs2.exceptions.Pysubs2Error,
        *foreign,
    ) as error:  # its parsers let through what theirs raise
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    rows = [(max(0, e.start), max(0, e.end), e.plaintext) for e in events]  # milliseconds
    return [Row(a * _MS, b * _MS, text) for a, b, text in rows if text.strip()]
