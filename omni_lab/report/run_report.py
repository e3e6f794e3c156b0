"""The report of a run: one page that opens anywhere, without network, and says with every number what chance gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from omni_lab.plots.evaluation.facts import (
    CONTROLS,
    EXAMS,
    NEAR,
    carriers,
    draw_controls,
    draw_facts,
    facts_in,
    in_words,
    interval,
    takes_away,
    unexpected,
)
from omni_lab.plots.evaluation.heatmaps import draw_attention, draw_reliance, draw_retrieval
from omni_lab.plots.style import Picture
from omni_lab.plots.training.curves import draw_losses
from omni_lab.report.page import chip, document, figure, number, table
from omni_lab.report.player import clip_section
from omni_lab.storage import atomic_write

LARGEST = 6_000_000  # bytes of the page
_KNOWN = ("stream", "triplet", "losses", "facts", "controls", "reliance", "retrieval", "attention")
_AROUND = {
    "stream": "A few units of the stream: a column is one unit, read row by row. An image cell shows the part of the "
    "picture that its token stands for, an audio cell its piece of the waveform.",
    "triplet": "The clip over time: what is seen, heard, and written by whom.",
}
_MATRICES = {
    "reliance": "Which sense an answer follows",
    "retrieval": "Retrieval: one sense finds another",
    "attention": "Where attention goes",
}
_EXPLAINED = {
    "reliance": "In these clips the senses disagree: one thing is shown, another said, a third written. A row is the "
    "sense that was asked about, a column the sense whose content the answer followed (share of answers, 95 % "
    "intervals). A model that heeds the question has its weight on the framed diagonal.",
    "retrieval": "Given one sense of a moment, the same moment is looked for in another sense among all candidates.",
    "attention": "The exact share of attention that each modality gives to each, layer by layer; rows sum to one. "
    "Attention alone does not explain an answer: the controls above say what the answers need.",
}
_DRAWN = {"reliance": draw_reliance, "retrieval": draw_retrieval, "attention": draw_attention}


def write_report(
    folder: Path,
    summary: dict[str, Any],
    metrics: list[dict[str, Any]],
    pictures: dict[str, Picture],
    clip: dict[str, Any],
) -> Path:
    """Write `report.html` into a run folder: self-contained, and complete even where the run is not.

    Parameters
    ----------
    folder : the run; `environment.json` and `config.json` are read where they lie there
    summary : what `summary.json` holds; a part that is missing is said to be missing
    metrics : the lines of `metrics.jsonl`
    pictures : `stream`, `triplet`, `losses`, `facts`, `controls`, `reliance`, `retrieval`, `attention` replace the
        picture that would be drawn of the numbers; any other name is shown at the end under that name
    clip : `video` (path of an mp4), `title`; `units`: `start_s`, `end_s`, `chips` (`kind`, `text`, `loss`, `role`,
        `right`, `predicted`); `questions`: `time_s`, `fact`, `asked`, `answer`, `predicted`, `right`

    Returns
    -------
    the page's path
    """
    folder = Path(folder)
    name = str(summary.get("name") or folder.resolve().name)

    def shown(key: str, draw: Callable[[], Picture], caption: str = "") -> str:
        return figure(pictures[key] if key in pictures else draw(), key, caption)

    sections = [
        ("How it learned", _learned(summary, metrics, shown)),
        ("What it can answer", _answers(summary, shown)),
        ("Controls: take the carrier away", _controls(summary, shown)),
        *((title, _matrix(summary, key, shown)) for key, title in _MATRICES.items()),
        (
            "More pictures",
            "".join(
                figure(p, k, k.replace("_", " ")) for k, p in pictures.items() if k not in _KNOWN
            ),
        ),
        ("The run in numbers", _numbers(folder, summary)),
        ("Do it again", _again(folder, summary)),
    ]
    around = "".join(
        figure(pictures[key], key, caption) for key, caption in _AROUND.items() if key in pictures
    )
    used = sum(len(html) for _, html in sections) + len(around)
    played = clip_section(
        clip, LARGEST - used - 200_000
    )  # style, script and stream take less than that
    sections = [
        ("A clip and its stream", played + around),
        *((title, html) for title, html in sections if html),
    ]
    links = "".join(
        f'<a href="#part-{i}">{escape(title)}</a>' for i, (title, _) in enumerate(sections)
    )
    body = "".join(
        f'<section aria-labelledby="part-{i}"><h2 id="part-{i}">{escape(title)}</h2>{html}</section>'
        for i, (title, html) in enumerate(sections)
    )
    head = f"<h1>{escape(name)}: a small model that sees, hears and reads</h1>"
    lead = f'<p class="lead">{explanation(summary)}</p>'
    page = document(
        f"omni_lab · {name}", f"<header>{head}{lead}</header><nav>{links}</nav><main>{body}</main>"
    )
    path = folder / "report.html"
    atomic_write(path, page)
    return path


def explanation(summary: dict[str, Any]) -> str:
    """What happened in this run, in one paragraph of plain words (HTML)."""
    stages = summary.get("stages") or {}
    said = []
    steps = [
        f"{escape(str(s))} ({number(d.get('steps'), 0)} steps)"
        for s, d in stages.items()
        if isinstance(d, dict)
    ]
    if isinstance(summary.get("seconds"), int | float):
        spent = summary["seconds"]
        said.append(
            f"This run took {spent / 60:.1f} minutes."
            if spent >= 90
            else f"This run took {spent:.0f} seconds."
        )
    if steps:
        said.append(
            f"A model was trained in {'stages' if len(steps) > 1 else 'one stage'}: {', then '.join(steps)}."
        )
    scores = {f: s for f, s in (summary.get("facts") or {}).items() if s}
    if scores:
        good = sum(s["accuracy"] >= 0.9 for s in scores.values())
        weakest = min(scores, key=lambda f: scores[f]["accuracy"])
        asked = sum(s.get("n") or 0 for s in scores.values())
        said.append(
            f"Then it was asked {asked or 'some'} questions of {len(scores)} kinds about scenes that it had never met; "
            f"{good} of the {len(scores)} kinds are answered right nine times in ten or more. Weakest is "
            f"<i>{escape(in_words(weakest))}</i> with {number(scores[weakest]['accuracy'])}, where guessing gives "
            f"{number(scores[weakest].get('chance'))}."
        )
    else:
        said.append("No questions about unseen scenes were recorded.")
    said.append("Everything below is computed from the files of this run.")
    return " ".join(said)


def _matrix(summary: dict[str, Any], key: str, shown: Callable[..., str]) -> str:
    if not summary.get(key):
        return f'<p class="faint">Not measured in this run: {key}.</p>'
    return f"<p>{_EXPLAINED[key]}</p>{shown(key, lambda: _DRAWN[key](summary[key]))}"


def _learned(
    summary: dict[str, Any], metrics: list[dict[str, Any]], shown: Callable[..., str]
) -> str:
    if not metrics and not summary.get("stages"):
        return '<p class="faint">No training step is recorded in this run.</p>'
    caption = "Loss per supervised token; faint: single steps, strong: their mean. Beneath it the learning rate."
    stages = [
        [escape(str(name)), number(stage.get("steps"), 0), number(stage.get("seconds"), 0)]
        for name, stage in (summary.get("stages") or {}).items()
        if isinstance(stage, dict)
    ]
    listed = table(["stage", "steps", "seconds"], stages, numbers=2) if stages else ""
    return shown("losses", lambda: draw_losses(metrics), caption) + listed


def _score(score: dict[str, Any] | None) -> str:
    if not score:
        return "–"
    span = interval(score)
    count = f", n {score['n']}" if score.get("n") else ""
    between = f"<br><small>{span[0]:.2f} – {span[1]:.2f}{count}</small>" if span else ""
    return f"{number(score['accuracy'])}{between}"


def _answers(summary: dict[str, Any], shown: Callable[..., str]) -> str:
    facts = facts_in(*(summary.get(exam) for exam in EXAMS))
    if not facts:
        return '<p class="faint">No questions were asked in this run.</p>'
    rows = []
    for fact in facts:
        scores = [(summary.get(exam) or {}).get(fact) for exam in EXAMS]
        chance = next((s["chance"] for s in scores if s and s.get("chance") is not None), None)
        senses = " ".join(
            chip(sense, sense, supervised=False, title="carries the answer")
            for sense in carriers(summary, fact)
        )
        rows.append([escape(in_words(fact)), senses, number(chance, 3), *map(_score, scores)])
    missing = [name for exam, (name, _) in EXAMS.items() if not summary.get(exam)]
    said = f'<p class="faint">Not asked in this run: {", ".join(missing)}.</p>' if missing else ""
    head = ["fact", "carried by", "chance", *(name for name, _ in EXAMS.values())]
    return (
        "<p>Every kind of question with the accuracy that guessing would reach. Held-out scenes were never trained on; "
        "held-out pairs are colours and shapes that never met in training; films were asked about through their files."
        f"</p>{said}{shown('facts', lambda: draw_facts(summary))}{table(head, rows, numbers=4)}"
    )


def _controls(summary: dict[str, Any], shown: Callable[..., str]) -> str:
    controls = {c: s for c, s in (summary.get("controls") or {}).items() if c in CONTROLS and s}
    if not controls:
        return '<p class="faint">No controls were made in this run.</p>'
    facts = facts_in(*controls.values())
    broken = [
        f"{in_words(f)} ({CONTROLS[c][0]})"
        for c in controls
        for f in facts
        if unexpected(summary, c, f)
    ]
    verdict = f"Not so: {escape(', '.join(broken))}." if broken else "So it is in every cell."
    rows = []
    for fact in facts:
        before = (summary.get("facts") or {}).get(fact)
        chance = next((s[fact].get("chance") for s in controls.values() if s.get(fact)), None)
        cells = [
            f"<b>{_score(s.get(fact))}</b>" if takes_away(summary, c, fact) else _score(s.get(fact))
            for c, s in controls.items()
        ]
        rows.append([escape(in_words(fact)), number(chance, 3), _score(before), *cells])
    head = ["fact", "chance", "as it was", *(CONTROLS[c][0] for c in controls)]
    return (
        "<p>The same questions with the image, the audio or the question taken from another clip. What loses what it "
        f"needs (framed, bold) should fall to within {100 * NEAR:.0f} points of chance; what does not should keep its "
        f"accuracy. {verdict}</p>{shown('controls', lambda: draw_controls(summary))}"
        f"{table(head, rows, numbers=len(head) - 1)}"
    )


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _numbers(folder: Path, summary: dict[str, Any]) -> str:
    settings = summary.get("config") or _read(folder / "config.json") or {}
    around = summary.get("environment") or _read(folder / "environment.json") or {}
    rows = [
        ["seconds in all", number(summary.get("seconds"), 1)],
        ["peak memory (MB)", number(summary.get("peak_memory_mb"), 0)],
        ["seed", escape(str(summary.get("seed", settings.get("seed", "–"))))],
        ["config", f"<code>{escape(_hash(summary, settings))}</code>"],
    ]
    for key, value in around.items():
        inner = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        rows.append([escape(str(key)), escape(str(inner if inner is not None else "–"))])
    missing = "" if around else '<p class="faint">The environment of this run was not recorded.</p>'
    return table(["", ""], rows) + missing


def _hash(summary: dict[str, Any], settings: dict[str, Any]) -> str:
    from omni_lab.config import config_hash, from_dict

    if summary.get("config_hash"):
        return str(summary["config_hash"])
    return config_hash(from_dict(settings)) if settings else "–"


def _again(folder: Path, summary: dict[str, Any]) -> str:
    command = str(summary.get("command") or "make demo")
    commit = (summary.get("environment") or _read(folder / "environment.json") or {}).get("commit")
    checkout = f"git checkout {commit}\n" if commit else ""
    return (
        "<p>In a clone of the project; the run folder holds every setting in <code>config.json</code>, every step in "
        "<code>metrics.jsonl</code> and every number of this page in <code>summary.json</code>. Other machines round "
        f"differently: expect the same numbers within their intervals.</p><pre>{escape(checkout + command)}</pre>"
    )
