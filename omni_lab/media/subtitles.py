"""Subtitles in any common form become cues: start, end, text, and who says it where the file tells."""

from __future__ import annotations

from dataclasses import dataclass


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
