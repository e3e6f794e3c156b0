"""A clip to play with its token stream beside it, and what the model answered to every question in it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from omni_lab.plots.evaluation.facts import in_words
from omni_lab.plots.palette import MODALITY_ORDER
from omni_lab.report.page import chip, embedded, table

_SENSES = ("image", "audio")


def clip_section(clip: dict[str, Any], room: int) -> str:
    """The clip's part of the report.

    Parameters
    ----------
    clip : `video` (path of an mp4), `title`, `units` and `questions`; see `write_report`
    room : how many bytes the embedded video may take; a larger one is named instead

    Returns
    -------
    HTML; whatever the clip lacks is said in words
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
    if path is None:
        return '<p class="faint">No film was recorded for this clip.</p>', False
    path = Path(path)
    if not path.is_file():
        return f'<p class="faint">The film {escape(path.name)} is not where it was.</p>', False
    if path.stat().st_size * 4 / 3 > room:
        size = path.stat().st_size / 1e6
        said = f"The film {escape(path.name)} ({size:.1f} MB) is too large to be part of this page."
        return f'<p class="faint">{said}</p>', False
    source = embedded(path.read_bytes(), "video/mp4")
    label = escape(title or path.stem)
    return (
        f'<video controls preload="auto" playsinline aria-label="{label}" src="{source}"></video>',
        True,
    )


def _legend() -> str:
    kinds = "".join(chip(kind, kind, supervised=False) for kind in MODALITY_ORDER)
    return (
        f'<div class="legend">{kinds}<span>pale: given to the model</span>{chip("text", "text", supervised=True)}'
        '<span>full: what it learns to write</span><span><b class="right">✓</b> answered right</span>'
        '<span><b class="wrong">✗</b> answered wrong</span></div>'
    )


def _seek(seconds: float, words: str, plays: bool) -> str:
    if not plays:
        return f'<span class="seek">{words}</span>'
    return f'<button class="seek" type="button" data-seek="{float(seconds)}">{words}</button>'


def _unit(unit: dict[str, Any], plays: bool) -> str:
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
    kind, loss = str(token["kind"]), bool(token.get("loss"))
    words = "" if kind in _SENSES else str(token.get("text") or "")
    role = f", {token['role']}" if token.get("role") else ""
    title = f"{kind}{role}, {'learned' if loss else 'given'}"
    right = token.get("right")
    if right is not None:
        title += f", answered {'right' if right else 'wrong'}"
    if right is False and token.get("predicted") is not None:
        words += f" (said {token['predicted']})"
    return chip(kind, words, loss, title, right)


def _answers(clip: dict[str, Any], plays: bool) -> str:
    questions = clip.get("questions") or []
    if not questions:
        return '<p class="faint">Nothing was asked in this clip.</p>'
    rows = []
    for question in questions:
        right = bool(question.get("right"))
        verdict = (
            f'<b class="{"right" if right else "wrong"}">{"✓ right" if right else "✗ wrong"}</b>'
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
    head = ["when", "fact", "asked", "true answer", "the model's answer", ""]
    return f"<p>{score} of {len(questions)} questions in this clip are answered right.</p>{table(head, rows)}"
