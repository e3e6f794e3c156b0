"""Page on a training log: phases of its losses, and how it compares with recorded runs; one self-contained file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from omni_lab.plots.style import Picture
from omni_lab.report.page import document, figure, number, table
from omni_lab.storage import atomic_write

PAGE = "phases.html"
_PHASES = (
    "Both axes are logarithmic, so that a power law is a straight line. A break counts where a broken line explains "
    "the loss clearly better than a smooth decay, and nothing that was logged explains it."
)
_AGAINST = (
    "The band is where a new run of the same recipe is expected, over all windows and curves at once, in 95 of 100 "
    "cases. It is made from the recorded runs alone."
)


def write_phases_page(
    folder: Path, record: Mapping[str, Any], pictures: Mapping[str, Picture]
) -> Path:
    """Page `phases.html` in a folder.

    Parameters
    ----------
    record : `logs` (name, main, rows, first, last, events, notes), `phases` (what `find_phases` returns) and
        `against` (records of comparisons), as `omni-lab analyse phases --json` has them
    pictures : "phases", and "against 1", "against 2" … in the order of `against`

    Returns
    -------
    path of the page
    """
    names = ", ".join(log["name"] for log in record["logs"])
    sections = [
        ("phases", "Phases", _phases(record["phases"], pictures)),
        ("normal", "Is this loss normal?", _against(record["against"], pictures)),
        ("log", "What the log says", "".join(map(_log, record["logs"]))),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(title)}</h2>{html}</section>'
        for key, title, html in sections
    )
    head = f"<h1>Training loss: {escape(names)}</h1>"
    lead = "".join(f'<p class="lead">{escape(line)}</p>' for line in _lead(record))
    nav = f'<nav aria-label="sections">{links}</nav>'
    path = Path(folder) / PAGE
    html = f"<header>{head}{lead}{nav}</header><main>{body}</main>"
    atomic_write(path, document(f"Training loss: {names}", html))
    return path


def _lead(record: Mapping[str, Any]) -> list[str]:
    """Verdicts in a sentence or two."""
    lines = [
        f"{run['name']}: {run['verdict']} ({run['reason']})." for run in record["phases"]["runs"]
    ]
    for other in record["against"]:
        lines += [
            f"{other['run']} against {len(other['references'])} recorded runs: {other['verdict']}."
        ]
    return lines


def _phases(found: Mapping[str, Any], pictures: Mapping[str, Picture]) -> str:
    """Figure of the phases, and their breaks and slopes as tables."""
    drawn = figure(pictures["phases"], "phases", _PHASES) if "phases" in pictures else ""
    breaks = [
        [escape(run["name"]), escape(row["stage"] or "–"), number(at["step"], 0),
         f"{number(at['low'], 0)} to {number(at['high'], 0)}",
         "yes" if at["counts"] else f"no: {escape(at['cause'])}"]
        for run in found["runs"] for row in run["stretches"] for at in row["breaks"]
    ]  # fmt: skip
    head = ["run", "stage", "break at step", "95 % interval", "counts"]
    return drawn + (table(head, breaks) if breaks else "<p>No break was found.</p>")


def _against(records: Sequence[Mapping[str, Any]], pictures: Mapping[str, Picture]) -> str:
    """Figure, curves and likely causes of every comparison."""
    html = ""
    for place, record in enumerate(records, 1):
        key = f"against {place}"
        if key in pictures:
            html += figure(pictures[key], key, _AGAINST if place == 1 else "")
        html += "".join(
            f"<p><strong>Likely cause</strong> ({escape(cause['curve'])}): {escape(cause['sentence'])}</p>"
            for cause in record["causes"]
        )
        rows = [
            [escape(name), _where(curve), _by(curve, curve["worst"]), _by(curve, curve["final"])]
            for name, curve in record["curves"].items()
        ]
        html += table(["curve", "outside the band", "at most", "at the end"], rows, 2)
        html += "".join(f'<p class="faint">{escape(note)}</p>' for note in record["notes"])
    return html


def _where(curve: Mapping[str, Any]) -> str:
    """Where a curve is outside its band, in words."""
    if curve["outside"] is None:
        return "no band"
    if not curve["leaves"]:
        return "inside"
    first, last = curve["leaves"]
    return f"from step {first:g} to {last:g}; {curve['outside']:.0%} of all windows"


def _by(curve: Mapping[str, Any], value: float) -> str:
    return f"{value:.3f} ×" if curve["scale"] == "log" else f"{value:+.3g}"


def _log(log: Mapping[str, Any]) -> str:
    """Events and notes of one log."""
    rows = [
        [number(e["step"], 0), number(e["end"], 0), escape(e["kind"]), escape(e["what"])]
        for e in log["events"]
    ]
    what = (
        f"{log['rows']:,} rows, steps {log['first']:g} to {log['last']:g}, loss in {log['main']!r}"
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in log["notes"])
    listed = table(["step", "until", "kind", "what"], rows) if rows else ""
    return f"<h3>{escape(log['name'])}</h3><p>{escape(what)}</p><ul>{notes}</ul>{listed}"
