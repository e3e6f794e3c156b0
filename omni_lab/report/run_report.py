"""Run report: one self-contained HTML page with losses, accuracies, controls, and chance levels."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from omni_lab.evaluation.learned import unlearned
from omni_lab.plots.evaluation.confusion import draw_reliance
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
from omni_lab.plots.evaluation.heatmaps import draw_attention, draw_retrieval
from omni_lab.plots.style import Picture
from omni_lab.plots.training.curves import draw_losses
from omni_lab.report.page import chip, document, figure, number, table
from omni_lab.report.player import clip_section
from omni_lab.storage import atomic_write

LARGEST = 6_000_000  # bytes of the page
_KNOWN = ("stream", "triplet", "losses", "facts", "controls", "reliance", "retrieval", "attention")
_AROUND = {
    "stream": "A few units of the omni stream: a column is one unit, read row by row. An image "
    "cell shows the patch of the frame that its token encodes, an audio cell its piece of the "
    "waveform.",
    "triplet": "The clip over time: frames, audio, and subtitle cues by role.",
}
_MATRICES = {
    "reliance": "Modality confusion matrix: which modality an answer follows",
    "retrieval": "Cross-modal retrieval: recall@1",
    "attention": "Attention mass by modality",
}
_EXPLAINED = {
    "reliance": "In these clips the modalities disagree: one thing is shown, another spoken, a "
    "third written. A row is the modality asked about, a column the modality that the answer "
    "followed (fraction of answers, 95 % intervals). A model that heeds the question has its "
    "weight on the framed diagonal.",
    "retrieval": "Given one modality of a clip, the same clip is searched for in another modality "
    "among all candidates.",
    "attention": "The exact fraction of attention from each modality to each, layer by layer; rows "
    "sum to one. Attention alone does not explain an answer: the controls above show what the "
    "answers need.",
}
_DRAWN = {"reliance": draw_reliance, "retrieval": draw_retrieval, "attention": draw_attention}


def write_report(
    folder: Path,
    summary: dict[str, Any],
    metrics: list[dict[str, Any]],
    pictures: dict[str, Picture],
    clip: dict[str, Any],
) -> Path:
    """Run report `report.html` in a run folder: self-contained, also for an incomplete run.

    Parameters
    ----------
    folder : of the run; `environment.json` and `config.json` are read if present
    summary : contents of `summary.json`; missing parts are reported as missing
    metrics : lines of `metrics.jsonl`
    pictures : `stream`, `triplet`, `losses`, `facts`, `controls`, `reliance`, `retrieval`,
        `attention` replace the figure drawn from the numbers; others are appended under their name
    clip : `video` (path of an mp4), `title`; `units`: `start_s`, `end_s`, `chips` (`kind`, `text`,
        `loss`, `role`, `right`, `predicted`); `questions`: `time_s`, `fact`, `asked`, `answer`,
        `predicted`, `right`

    Returns
    -------
    path of the page
    """
    folder = Path(folder)
    name = str(summary.get("name") or folder.resolve().name)

    def shown(key: str, draw: Callable[[], Picture], caption: str = "") -> str:
        return figure(pictures[key] if key in pictures else draw(), key, caption)

    others = (figure(p, k, k.replace("_", " ")) for k, p in pictures.items() if k not in _KNOWN)
    sections = [
        ("Training", _learned(summary, metrics, shown)),
        ("Accuracy by fact", _answers(summary, shown)),
        ("Controls: one modality swapped", _controls(summary, shown)),
        *((title, _matrix(summary, key, shown)) for key, title in _MATRICES.items()),
        ("More figures", "".join(others)),
        ("Run summary", _numbers(folder, summary)),
        ("Reproduce this run", _again(folder, summary)),
    ]
    around = "".join(
        figure(pictures[key], key, caption) for key, caption in _AROUND.items() if key in pictures
    )

    # the video gets what is left of the page; style, script and stream take less than 200 kB
    used = sum(len(html) for _, html in sections) + len(around)
    played = clip_section(clip, LARGEST - used - 200_000)
    sections = [
        ("A clip and its token stream", played + around),
        *((title, html) for title, html in sections if html),
    ]

    path = folder / "report.html"
    atomic_write(path, _page(name, explanation(summary), _missed(summary), sections))
    return path


def _page(name: str, lead: str, missed: str, sections: list[tuple[str, str]]) -> str:
    """HTML page of titled sections, with navigation at the top, and what was missed before that."""
    links = "".join(
        f'<a href="#part-{i}">{escape(title)}</a>' for i, (title, _) in enumerate(sections)
    )
    body = "".join(
        f'<section aria-labelledby="part-{i}">'
        f'<h2 id="part-{i}">{escape(title)}</h2>{html}</section>'
        for i, (title, html) in enumerate(sections)
    )
    head = f"<h1>{escape(name)}: a small model that sees, hears and reads</h1>"
    header = f'<header>{head}<p class="lead">{lead}</p>{missed}</header>'
    return document(f"omni_lab · {name}", f"{header}<nav>{links}</nav><main>{body}</main>")


def explanation(summary: dict[str, Any]) -> str:
    """Run summary in one paragraph (HTML): duration, stages, accuracy on unseen scenes."""
    sentences = []
    if isinstance(summary.get("seconds"), int | float):
        spent = summary["seconds"]
        duration = f"{spent / 60:.1f} minutes" if spent >= 90 else f"{spent:.0f} seconds"
        sentences.append(f"This run took {duration}.")

    stages = summary.get("stages") or {}
    steps = [
        f"{escape(str(s))} ({number(d.get('steps'), 0)} steps)"
        for s, d in stages.items()
        if isinstance(d, dict)
    ]
    if steps:
        count = "stages" if len(steps) > 1 else "one stage"
        sentences.append(f"A model was trained in {count}: {', then '.join(steps)}.")

    scores = {f: s for f, s in (summary.get("facts") or {}).items() if s}
    sentences.append(
        _scores_in_words(scores) if scores else "No questions about unseen scenes were recorded."
    )
    sentences.append("Everything below is computed from the files of this run.")
    return " ".join(sentences)


def _missed(summary: dict[str, Any]) -> str:
    """Paragraphs on what was not learned (HTML), one for each fact; empty where all was learned."""
    scores = summary.get("facts") or {}
    return "".join(
        f'<p class="missed">{verdict.capitalize()}: <i>{escape(in_words(fact))}</i>. '
        f"{number(scores[fact]['accuracy'])} of its answers on unseen scenes are right; guessing "
        f"gives {number(scores[fact].get('chance'))}.</p>"
        for fact, verdict in unlearned(summary).items()
    )


def _scores_in_words(scores: dict[str, dict[str, Any]]) -> str:
    """Number of questions, facts of accuracy 0.9 or more, and the weakest fact (HTML)."""
    good = sum(s["accuracy"] >= 0.9 for s in scores.values())
    weakest = min(scores, key=lambda f: scores[f]["accuracy"])
    asked = sum(s.get("n") or 0 for s in scores.values())
    return (
        f"Then it was asked {asked or 'some'} questions about {len(scores)} facts of unseen "
        f"scenes; accuracy is 0.90 or more on {good} of the {len(scores)} facts. The weakest is "
        f"<i>{escape(in_words(weakest))}</i> with accuracy {number(scores[weakest]['accuracy'])}, "
        f"at a chance level of {number(scores[weakest].get('chance'))}."
    )


def _matrix(summary: dict[str, Any], key: str, shown: Callable[..., str]) -> str:
    """Section of one matrix over modalities: explanation and figure."""
    if not summary.get(key):
        return f'<p class="faint">Not measured in this run: {key}.</p>'
    return f"<p>{_EXPLAINED[key]}</p>{shown(key, lambda: _DRAWN[key](summary[key]))}"


def _learned(
    summary: dict[str, Any], metrics: list[dict[str, Any]], shown: Callable[..., str]
) -> str:
    """Section of training: loss and learning rate curves, steps and seconds by stage."""
    if not metrics and not summary.get("stages"):
        return '<p class="faint">No training step is recorded in this run.</p>'

    caption = (
        "Loss (nats per supervised token); faint: single steps, strong: their geometric mean. "
        "Below: learning rate."
    )
    stages = [
        [escape(str(name)), number(stage.get("steps"), 0), number(stage.get("seconds"), 0)]
        for name, stage in (summary.get("stages") or {}).items()
        if isinstance(stage, dict)
    ]
    listed = table(["stage", "steps", "seconds"], stages, numbers=2) if stages else ""
    return shown("losses", lambda: draw_losses(metrics), caption) + listed


def _score(score: dict[str, Any] | None) -> str:
    """Table cell of an accuracy with its 95 % interval and n; a dash for a missing one."""
    if not score:
        return "–"
    span = interval(score)
    count = f", n {score['n']}" if score.get("n") else ""
    between = f"<br><small>{span[0]:.2f} – {span[1]:.2f}{count}</small>" if span else ""
    return f"{number(score['accuracy'])}{between}"


def _answers(summary: dict[str, Any], shown: Callable[..., str]) -> str:
    """Section of accuracy by fact, with carriers, chance level, and every exam."""
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
    note = f'<p class="faint">Not asked in this run: {", ".join(missing)}.</p>' if missing else ""
    head = ["fact", "carried by", "chance", *(name for name, _ in EXAMS.values())]
    return (
        "<p>Accuracy on every fact, with its chance level. Held-out scenes were never trained on; "
        "held-out pairs are combinations of colour and shape that do not occur in training; films "
        "were decoded from their files."
        f"</p>{note}{shown('facts', lambda: draw_facts(summary))}{table(head, rows, numbers=4)}"
    )


def _controls(summary: dict[str, Any], shown: Callable[..., str]) -> str:
    """Section of controls: accuracy after a modality or the question is swapped."""
    controls = {c: s for c, s in (summary.get("controls") or {}).items() if c in CONTROLS and s}
    if not controls:
        return '<p class="faint">No controls were run in this run.</p>'

    facts = facts_in(*controls.values())
    broken = [
        f"{in_words(f)} ({CONTROLS[c][0]})"
        for c in controls
        for f in facts
        if unexpected(summary, c, f)
    ]
    verdict = (
        f"Not as expected: {escape(', '.join(broken))}." if broken else "Every cell is as expected."
    )

    rows = []
    for fact in facts:
        before = (summary.get("facts") or {}).get(fact)
        chance = next((s[fact].get("chance") for s in controls.values() if s.get(fact)), None)
        cells = [
            f"<b>{_score(s.get(fact))}</b>" if takes_away(summary, c, fact) else _score(s.get(fact))
            for c, s in controls.items()
        ]
        rows.append([escape(in_words(fact)), number(chance, 3), _score(before), *cells])

    head = ["fact", "chance", "original", *(CONTROLS[c][0] for c in controls)]
    return (
        "<p>The same questions with the image, the audio or the question taken from another clip. "
        "A fact whose carrier is swapped (framed, bold) should fall to within "
        f"{100 * NEAR:.0f} points of chance; any other should keep its accuracy. {verdict}</p>"
        f"{shown('controls', lambda: draw_controls(summary))}"
        f"{table(head, rows, numbers=len(head) - 1)}"
    )


def _read(file: Path) -> Any:
    """JSON of a file, None where there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _numbers(folder: Path, summary: dict[str, Any]) -> str:
    """Section of run time, memory, seed, config hash and environment."""
    settings = summary.get("config") or _read(folder / "config.json") or {}
    around = summary.get("environment") or _read(folder / "environment.json") or {}
    rows = [
        ["total time (s)", number(summary.get("seconds"), 1)],
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
    """Config hash as recorded, else computed from the settings, else a dash."""
    from omni_lab.config import config_hash, from_dict

    if summary.get("config_hash"):
        return str(summary["config_hash"])
    return config_hash(from_dict(settings)) if settings else "–"


def _again(folder: Path, summary: dict[str, Any]) -> str:
    """Section with the commit and the command that reproduce the run."""
    command = str(summary.get("command") or "make demo")
    commit = (summary.get("environment") or _read(folder / "environment.json") or {}).get("commit")
    checkout = f"git checkout {commit}\n" if commit else ""
    return (
        "<p>In a clone of the project. The run folder holds every setting in "
        "<code>config.json</code>, every step in <code>metrics.jsonl</code> and every number of "
        "this page in <code>summary.json</code>. A run with the same seed on another machine, or "
        "with another number of threads, rounds differently and so goes a way of its own, as with "
        "another seed: expect a run of this kind, and not these numbers. It may even miss a fact "
        "that this one has learned, or the other way round; the head of its page then says so."
        f"</p><pre>{escape(checkout + command)}</pre>"
    )
