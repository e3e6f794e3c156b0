"""Clip summary: the table that `omni-lab triplets show` prints, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from omni_lab.config import MODALITIES
from omni_lab.media.clock import seconds
from omni_lab.triplets.record import Triplet


def clip_table(triplet: Triplet) -> str:
    """Text table of a clip: one line per modality, then its cues with roles, then its facts."""
    lines = [
        f"clip    {triplet.clip_id}",
        f"time    {_span(triplet.start, triplet.end)} of {triplet.source_id}",
        f"image   {_image(triplet)}",
        f"audio   {_audio(triplet)}",
        f"text    {_text(triplet)}",
    ]

    if triplet.cues:
        width = max(len("role"), *(len(cue.role or "-") for cue in triplet.cues))
        lines += ["", f"{'from':>7} {'to':>7}  {'role':<{width}}  text"]
        for cue in triplet.cues:
            # roles and texts come from a file: they could steer the terminal
            role, text = harmless(cue.role or "-"), harmless(" / ".join(cue.text.splitlines()))
            lines.append(
                f"{seconds(cue.start):7.2f} {seconds(cue.end):7.2f}  {role:<{width}}  {text}"
            )

    if triplet.facts:
        lines += ["", f"{'from':>7} {'to':>7}  {'fact':<16}  {'asked':<24}  answer"]
        for fact in triplet.facts:
            times = f"{seconds(fact['start']):7.2f} {seconds(fact['end']):7.2f}"
            name, asked, reply = (str(fact.get(key, "-")) for key in ("fact", "asked", "answer"))
            lines.append(f"{times}  {name:<16}  {asked:<24}  {reply}")
    return "\n".join(lines)


def facts_of(triplet: Triplet) -> dict[str, Any]:
    """JSON summary of a clip: sizes in place of pixels and samples, times in ticks."""
    return {
        "clip_id": triplet.clip_id,
        "source_id": triplet.source_id,
        "start": triplet.start,
        "end": triplet.end,
        "has": [modality for modality in MODALITIES if modality in triplet.has],
        "frames": list(triplet.frames.shape),
        "frame_times": triplet.frame_times.tolist(),
        "samples": int(triplet.audio.size),
        "cues": [asdict(cue) for cue in triplet.cues],
        "facts": list(triplet.facts),
        "quality": triplet.quality,
        "config_hash": triplet.config_hash,
    }


def harmless(text: str) -> str:
    """Terminal-safe text: control characters as escape codes, every other space as a blank.

    >>> harmless("a\\tb \\x1b[31mred")
    'a b \\\\x1b[31mred'
    """
    joiners = (
        "\u200c\u200d"  # zero-width: they join or part letters of some scripts, and steer nothing
    )
    shown = (
        c if c.isprintable() or c in joiners else " " if c.isspace() else ascii(c)[1:-1]
        for c in text
    )
    return "".join(shown)


def _span(start: int, end: int) -> str:
    return f"{seconds(start):.2f} to {seconds(end):.2f} s"


def _image(triplet: Triplet) -> str:
    if "image" not in triplet.has:
        return "none"
    count, height, width, _ = triplet.frames.shape
    first, last = int(triplet.frame_times[0]), int(triplet.frame_times[-1])
    return f"{count} frames of {width} × {height}, {_span(first, last)}"


def _audio(triplet: Triplet) -> str:
    if "audio" not in triplet.has:
        return "none"
    peak = float(np.abs(triplet.audio).max(initial=0.0))
    loudness = f"peak {20 * np.log10(peak):.1f} dB" if peak > 0 else "silent"
    return f"{seconds(triplet.audio.size):.2f} s at 16 kHz, {loudness}"


def _text(triplet: Triplet) -> str:
    if "text" not in triplet.has:
        return "none"
    roles = sorted({harmless(cue.role) for cue in triplet.cues if cue.role})
    sources = sorted({cue.role_source for cue in triplet.cues})
    known = f"{', '.join(roles) or 'unknown'} (known by {', '.join(sources)})"
    return f"{len(triplet.cues)} cues; roles: {known}"
