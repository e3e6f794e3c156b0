"""Clip player: video with its token stream unit by unit, and the model's answers to questions."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from omni_lab.plots.evaluation.facts import in_words
from omni_lab.plots.palette import MODALITY_ORDER
from omni_lab.report.page import chip, embedded, table

_SENSES = ("image", "audio")


def clip_section(clip: dict[str, Any], room: int) -> str:
    """Section of the report with a playable clip, its token stream, and questions with answers.

    Parameters
    ----------
    clip : `video` (path of an mp4), `title`, `units` and `questions`; see `write_report`
    room : limit of the embedded video, bytes; a larger one is named but left out

    Returns
    -------
    HTML; a missing part is replaced by a message
    """
    if not clip:
        return '<p class="faint">No clip was recorded in this run.</p>'

    video, plays = _video(clip.get("video"), clip.get("title", ""), room)
    units = clip.get("units") or []
    stream = "".join(_unit(unit, plays) for unit in units)
    listed = (
        f'<ol class="stream" tabindex="0" aria-label="token stream, unit by unit">{stream}</ol>'
        if units
        else ""
    )
    nothing = "" if units else '<p class="faint">No stream was recorded for this clip.</p>'

    title = f"<h3>{escape(str(clip['title']))}</h3>" if clip.get("title") else ""
    both = f'<div class="clip"><div>{video}</div><div>{listed}{nothing}</div></div>'
    return f"{title}{_legend()}{both}{_answers(clip, plays)}"


def _video(path: Any, title: str, room: int) -> tuple[str, bool]:
    """Embedded video element, or a message; and whether it plays."""
    if path is None:
        return '<p class="faint">No film was recorded for this clip.</p>', False
    path = Path(path)
    if not path.is_file():
        return f'<p class="faint">The film {escape(path.name)} was not found.</p>', False
    if path.stat().st_size * 4 / 3 > room:  # base64 takes 4 bytes for 3
        size = path.stat().st_size / 1e6
        note = f"The film {escape(path.name)} ({size:.1f} MB) is too large to embed in this page."
        return f'<p class="faint">{note}</p>', False

    source = embedded(path.read_bytes(), "video/mp4")
    label = escape(title or path.stem)
    return (
        f'<video controls preload="auto" playsinline aria-label="{label}" src="{source}"></video>',
        True,
    )


def _legend() -> str:
    """Legend of the chips: modalities, loss mask, verdicts."""
    kinds = "".join(chip(kind, kind, supervised=False) for kind in MODALITY_ORDER)
    return (
        f'<div class="legend">{kinds}<span>pale: given (no loss)</span>'
        f"{chip('text', 'text', supervised=True)}<span>full: supervised (loss)</span>"
        '<span><b class="right">✓</b> correct answer</span>'
        '<span><b class="wrong">✗</b> wrong answer</span></div>'
    )


def _seek(seconds: float, words: str, plays: bool) -> str:
    """Button that seeks the video to a time in seconds; plain text where there is no video."""
    if not plays:
        return f'<span class="seek">{words}</span>'
    return f'<button class="seek" type="button" data-seek="{float(seconds)}">{words}</button>'


def _unit(unit: dict[str, Any], plays: bool) -> str:
    """List item of one unit: its time span and its token chips, each turn on a new line."""
    start, end = float(unit["start_s"]), float(unit["end_s"])
    chips = unit.get("chips") or []
    shown = []
    for index, token in enumerate(chips):
        following = chips[index + 1]["kind"] if index + 1 < len(chips) else None
        if index and token["kind"] == "control" and following == "text":
            shown.append('<span class="turn"></span>')  # a turn begins a line
        shown.append(_chip(token))
    heading = _seek(start, f"{start:g} to {end:g} s", plays)
    line = f'<div class="chips">{"".join(shown)}</div>'
    return f'<li class="unit" data-start="{start}" data-end="{end}">{heading}{line}</li>'


def _chip(token: dict[str, Any]) -> str:
    """Chip of one token; a wrong answer also carries the model's prediction."""
    kind, loss = str(token["kind"]), bool(token.get("loss"))
    words = "" if kind in _SENSES else str(token.get("text") or "")
    role = f", {token['role']}" if token.get("role") else ""
    title = f"{kind}{role}, {'supervised' if loss else 'given'}"
    right = token.get("right")
    if right is not None:
        title += f", {'correct' if right else 'wrong'} answer"
    if right is False and token.get("predicted") is not None:
        words += f" (predicted {token['predicted']})"
    return chip(kind, words, loss, title, right)


def _answers(clip: dict[str, Any], plays: bool) -> str:
    """Table of the clip's questions with true answer, predicted answer and verdict."""
    questions = clip.get("questions") or []
    if not questions:
        return '<p class="faint">No questions were asked about this clip.</p>'

    rows = []
    for question in questions:
        right = bool(question.get("right"))
        verdict = (
            f'<b class="{"right" if right else "wrong"}">{"✓ correct" if right else "✗ wrong"}</b>'
        )
        rows.append([
            _seek(question["time_s"], f"{float(question['time_s']):.1f} s", plays),
            escape(in_words(str(question["fact"]))),
            escape(str(question["asked"])),
            chip("text", str(question["answer"]), supervised=True, title="the true answer"),
            escape(str(question["predicted"])) if question.get("predicted") is not None else "–",
            verdict,
        ])  # fmt: skip

    score = sum(bool(q.get("right")) for q in questions)
    total = f"<p>{score} of {len(questions)} questions about this clip are answered correctly.</p>"
    head = ["time", "fact", "question", "true answer", "predicted answer", ""]
    return total + table(head, rows)
