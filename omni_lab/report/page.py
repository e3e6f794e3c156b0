"""HTML building blocks of self-contained pages: style sheet, script, figures, tables, token chips.

All text from outside is escaped.
"""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

from omni_lab.plots.palette import MODALITY_COLOURS, UNSUPERVISED, ink, rgb
from omni_lab.plots.style import Picture

READABLE = 0.85  # of a figure's width: below it the smallest letters cannot be read
_CSS = """
:root { --page: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --faint: #5b626c; --line: #d5d9e0;
  --now: #fff3c4; --right: #0a6b4f; --wrong: #a8330b; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2127; --ink: #e8eaed;
  --faint: #a3abb6; --line: #383f48; --now: #4a4120; --right: #5fd3ae; --wrong: #ff9a70; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 68rem; background: var(--page);
  color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h1, h2, h3, p, figcaption, .stream .chip { overflow-wrap: anywhere; }
p { max-width: 46rem; } .faint { color: var(--faint); } .lead { font-size: 1.1rem; }
a { color: inherit; } nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem;
  margin: .75rem 0 0; }
figure { margin: 1rem 0; } figure img { display: block; max-width: 100%; height: auto;
  background: #fff; border-radius: .5rem; padding: .5rem; border: 1px solid var(--line); }
.scroll { overflow-x: auto; max-width: 100%; scrollbar-width: thin;
  scrollbar-color: var(--faint) transparent; }
figcaption { color: var(--faint); font-size: .9rem; margin-top: .4rem; max-width: 46rem; }
table { border-collapse: collapse; font-size: .92rem;
  margin: .75rem 0; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: baseline; }
th { font-weight: 600; } td.number, th.number { text-align: right;
  font-variant-numeric: tabular-nums; }
td small { color: var(--faint); white-space: nowrap; } .scroll tr.now td { background: var(--now); }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; overflow-x: auto; }
.clip { display: grid; grid-template-columns: minmax(16rem, 24rem) minmax(0, 1fr); gap: 1.25rem;
  align-items: start; }
.clip video { width: 100%; border-radius: .5rem; background: #000; position: sticky; top: 1rem; }
@media (max-width: 46rem) { .clip { grid-template-columns: minmax(0, 1fr); }
  .clip video { position: static; } body { padding: 1rem .75rem 3rem; }
  td, th { padding: .3rem .5rem; }
  .scroll td:first-child, .scroll th:first-child { position: sticky; left: 0;
  background: var(--page); border-right: 1px solid var(--line); } }
.stream { list-style: none; margin: 0; padding: 0; max-height: 34rem; overflow-y: auto;
  position: relative; border: 1px solid var(--line); border-radius: .5rem; }
.unit { padding: .5rem .7rem .6rem; border-bottom: 1px solid var(--line);
  border-left: .3rem solid transparent; }
.unit.now { background: var(--now); border-left-color: #d9a400; }
.seek { font: inherit; font-size: .85rem; color: var(--faint); background: none; border: 0;
  padding: .1rem 0; cursor: pointer; text-decoration: underline dotted; }
span.seek { cursor: default; text-decoration: none; }
.chips { display: flex; flex-wrap: wrap; gap: .3rem .35rem; margin-top: .2rem; }
.turn { flex-basis: 100%; height: 0; }
.chip { display: inline-block; min-width: 1.15rem; min-height: 1.6em; padding: 0 .42rem;
  border-radius: .35rem; font-size: .85rem; line-height: 1.6em; border: 1px solid transparent; }
.chip .verdict { font-weight: 700; } .right { color: var(--right); } .wrong { color: var(--wrong); }
.chip.is-right { outline: 2px solid var(--right); outline-offset: 1px; }
.chip.is-wrong { outline: 2px dashed var(--wrong); outline-offset: 1px; }
.missed { border-left: .3rem solid var(--wrong); padding: .1rem .9rem; color: var(--wrong);
  font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: .4rem .9rem; font-size: .88rem; margin: .6rem 0;
  align-items: center; }
"""

_SCRIPT = """
(() => {
  const video = document.querySelector("video");
  if (!video) return;
  const timed = [...document.querySelectorAll("[data-start]")];
  const stream = document.querySelector(".stream");
  const mark = () => {
    const t = video.currentTime;
    for (const part of timed) {
      const now = t >= +part.dataset.start && t < +part.dataset.end;
      if (now === part.classList.contains("now")) continue;
      part.classList.toggle("now", now);
      if (now && part.classList.contains("unit")) {
        part.setAttribute("aria-current", "true");
        stream.scrollTo({ top: part.offsetTop - stream.clientHeight / 3, behavior: "smooth" });
      } else part.removeAttribute("aria-current");
    }
  };
  const follow = () => { mark(); if (!video.paused) requestAnimationFrame(follow); };
  video.addEventListener("play", follow);
  for (const event of ["timeupdate", "seeked", "loadedmetadata"])
    video.addEventListener(event, mark);
  mark();
  for (const button of document.querySelectorAll("button.seek"))
    button.addEventListener("click", () => { video.currentTime = +button.dataset.seek + 0.01; });
})();
"""


def style() -> str:
    """CSS style sheet of the page, with the modality colours of the palette."""
    rules = []
    for kind, colour in MODALITY_COLOURS.items():
        pale = f"rgba{(*rgb(colour), UNSUPERVISED)}"
        text = ink(kind, supervised=True)
        rules.append(
            f".chip.{kind} {{ border-color: {colour};"
            f" background: linear-gradient({pale}, {pale}), var(--page); }}\n"
            f".chip.{kind}.supervised {{ background: {colour}; color: {text}; }}\n"
        )
    return _CSS + "".join(rules)


def document(title: str, body: str, styles: str = "", script: str = _SCRIPT) -> str:
    """Complete HTML page without external resources; `body` is HTML, `title` is text.

    Parameters
    ----------
    styles : CSS of this page alone, after that of all pages
    script : JavaScript at its end; that of the clip player by default
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}{styles}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def embedded(data: bytes, kind: str) -> str:
    """Data URL (base64) of bytes with a MIME type, such as `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


class FilmPlayer:
    """Notebook video player with sound, from bytes embedded in the page.

    Parameters
    ----------
    path : of an mp4 file
    width : pixels
    """

    def __init__(self, path: str | Path, width: int = 360):
        self.path, self.width = Path(path), width

    def __repr__(self) -> str:
        return f"film {self.path.name}, {self.path.stat().st_size / 1000:.0f} kB"

    def _repr_html_(self) -> str:
        source = embedded(self.path.read_bytes(), "video/mp4")
        return f'<video controls width="{self.width}" src="{source}"></video>'


def figure(picture: Picture, name: str, caption: str = "") -> str:
    """Figure as an embedded PNG with its alternative text (or else its name) and its caption."""
    png = embedded(picture.png, "image/png")
    width = round(picture.get_size_inches()[0] * 84)
    # on a narrow page a figure scrolls in its own box, and its letters stay large enough to read
    least = round(READABLE * width)
    size = f'style="width: {width}px; min-width: {least}px"'
    image = _scrolled(f'<img src="{png}" alt="{escape(picture.alt or name)}" {size}>', "figure")
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{image}{note}</figure>"


def table(head: list[str], rows: list[list[str]], numbers: int = 0) -> str:
    """HTML table; cells are HTML already. The last `numbers` columns are aligned as numbers."""
    side = [' class="number"' if i >= len(head) - numbers else "" for i in range(len(head))]
    top = "".join(f'<th scope="col"{c}>{cell}</th>' for cell, c in zip(head, side, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{c}>{cell}</td>" for cell, c in zip(row, side, strict=True)) + "</tr>"
        for row in rows
    )
    rows_html = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return _scrolled(f"<table>{rows_html}</table>", "table")


def _scrolled(html: str, name: str) -> str:
    """Box that scrolls sideways where the page is too narrow, by keys too."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{name}">{html}</div>'


def number(value: Any, places: int = 2) -> str:
    """Number with thousands separators and fixed decimals; a dash for a missing one."""
    return f"{value:,.{places}f}" if isinstance(value, int | float) else "–"


def chip(
    kind: str, words: str, supervised: bool, title: str = "", right: bool | None = None
) -> str:
    """Token chip in its modality colour: full where supervised, with a verdict if it has one.

    Parameters
    ----------
    kind : modality; an unknown one is drawn as control
    words : text of the token, may be empty
    supervised : whether the token has a loss
    title : tooltip; by default modality and loss mask
    right : verdict on an answer, None for a token that is not an answer
    """
    known = kind if kind in MODALITY_COLOURS else "control"
    classes = ["chip", known, *(["supervised"] if supervised else [])]
    label = escape(title or f"{known}, {'supervised' if supervised else 'given'}")

    verdict = ""
    if right is not None:
        classes.append("is-right" if right else "is-wrong")
        verdict = f' <span class="verdict">{"✓" if right else "✗"}</span>'

    # a chip without words has only its colour, which a screen reader cannot see
    spoken = "" if words else f' role="img" aria-label="{label}"'
    attributes = f'class="{" ".join(classes)}" title="{label}"{spoken}'
    return f"<span {attributes}>{escape(words)}{verdict}</span>"
