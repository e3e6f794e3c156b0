"""Page on word losses of captions: every word coloured, and what a keep ratio drops; one file.

Data stand in the page as JSON; the script draws only captions near the window. Text from outside
becomes text nodes there, never HTML.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from omni_lab.adapters.interface import Pixels
from omni_lab.plots.palette import DIVERGING, rgb
from omni_lab.report.page import document
from omni_lab.storage import atomic_write

PAGE = "svlm.html"
THUMBNAIL, QUALITY = 160, 60  # longest side of a picture, pixels; of its JPEG
SIDE_BY_SIDE = 8  # pictures of one caption that are shown
PICTURES = 1000  # at most, of captions with the most striking words
STRIKING = 0.95  # quantile of absolute scores at which colour is full
_STATIC = Path(__file__).parent / "static"
_EXCESS = (
    "The colour is a word's excess loss: the loss of the model in training (the trainee) minus that "
    "of the reference, summed over the word's tokens. Training on the top fraction keeps the words "
    "with the highest excess. This leaves out words that contradict the picture as long as the "
    "trainee is weaker than the reference; once it is stronger, they have the highest excess, and "
    "the other side is the one to keep."
)
_REFERENCE = (
    "The colour is a word's loss under the reference, summed over its tokens: how unlikely the word "
    "is, given the picture and the words before it. A word may be unlikely because it contradicts "
    "the picture, or because it is rare. With a trainee too (--trainee) the page shows excess loss."
)


def write_svlm_page(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    models: Mapping[str, str | None],
    pictures: Mapping[str, bytes] | None = None,
    keep: float = 0.6,
    skipped: Mapping[str, int] | None = None,
) -> Path:
    """Page `svlm.html` in a folder.

    Parameters
    ----------
    rows : of `svlm.jsonl`
    models : names of `reference` and `trainee`; the latter is None or missing where there is none
    pictures : JPEG of a caption's picture, by the row's id (see `thumbnail`, `to_picture`)
    keep : fraction of words that is kept when the page opens
    skipped : kind of reason → number of captions

    Returns
    -------
    path of the page
    """
    given = pictures or {}
    data = page_data(rows, models, given)
    title = f"Word losses of captions: {models['reference']}"
    body = "".join(
        [
            "<header><h1>Which words are unlikely?</h1>",
            _lead(len(rows), models, len(data["pictures"]), skipped or {}),
            f"</header>{_controls(keep, bool(models.get('trainee')))}",
            f"<main>{_legend(data)}",
            '<noscript><p class="missed">The captions are drawn by a script, which is switched '
            "off in this browser.</p></noscript>",
            '<p class="status" aria-live="polite"><span id="found"></span> · '
            '<span id="selected"></span></p><div id="list"></div></main>',
            f'<script type="application/json" id="data">{_for_script(data)}</script>',
        ]
    )
    low, high = DIVERGING
    styles = f":root {{ --low: {low}; --high: {high}; }}\n{_static('svlm.css')}"
    path = Path(folder) / PAGE
    atomic_write(path, document(title, body, styles, _static("svlm.js")))
    return path


def page_data(
    rows: Sequence[Mapping[str, Any]],
    models: Mapping[str, str | None],
    pictures: Mapping[str, bytes],
) -> dict[str, Any]:
    """Data of the page's script: captions as short lists, spans in UTF-16 units as JavaScript's.

    A caption is [id, text, spans one after the other, reference losses, excess losses, question].
    """
    captions = [
        [
            row["id"], row["text"], utf16(row["text"], row["words"]), row["reference"],
            row.get("excess", []), row.get("question", ""),
        ]
        for row in rows
    ]  # fmt: skip
    known = [abs(v) for row in rows for v in _shown(row) if v is not None]
    return {
        "trainee": bool(models.get("trainee")),
        "scale": max(float(np.quantile(known, STRIKING)) if known else 1.0, 1e-3),
        "low": rgb(DIVERGING[0]),
        "high": rgb(DIVERGING[1]),
        "captions": captions,
        "pictures": {
            at: base64.b64encode(pictures[row["id"]]).decode("ascii")
            for at, row in enumerate(rows)
            if row["id"] in pictures
        },
    }


def utf16(text: str, words: Sequence[Sequence[int]]) -> list[int]:
    """Spans of words, one after the other, in UTF-16 units: a letter such as an emoji has two.

    >>> utf16("🐈 cat", [[0, 1], [2, 5]])
    [0, 2, 3, 6]
    """
    places = list(accumulate((2 if ord(letter) > 0xFFFF else 1 for letter in text), initial=0))
    return [places[edge] for span in words for edge in span]


def thumbnail(pictures: Sequence[Pixels]) -> bytes:
    """Small JPEG of a caption's pictures, side by side; of many the last, next to the caption."""
    from PIL import Image

    small = []
    for pixels in pictures[-SIDE_BY_SIDE:]:
        image = Image.fromarray(pixels)
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        small.append(image)
    height = max(image.height for image in small)
    sheet = Image.new("RGB", (sum(image.width for image in small), height), "white")
    at = 0
    for image in small:
        sheet.paste(image, (at, 0))
        at += image.width
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def to_picture(rows: Sequence[Mapping[str, Any]], most: int = PICTURES) -> set[str]:
    """Ids of the rows that get a picture on the page: those with the most striking words."""
    ranked = sorted(
        rows, key=lambda row: -max((v for v in _shown(row) if v is not None), default=0)
    )
    return {row["id"] for row in ranked[:most]}


def _shown(row: Mapping[str, Any]) -> Sequence[float | None]:
    """Scores that colour a row's words."""
    return row["excess"] if "excess" in row else row["reference"]


def _lead(
    count: int, models: Mapping[str, str | None], pictured: int, skipped: Mapping[str, int]
) -> str:
    """Paragraphs on what the page shows, and on what it does not."""
    trainee = models.get("trainee")
    names = f"Reference: <bdi>{escape(str(models['reference']))}</bdi>."
    names += f" Trainee: <bdi>{escape(trainee)}</bdi>." if trainee else ""
    notes = []
    if pictured < count:
        notes.append(
            f"Pictures stand beside {pictured:,} of {count:,} captions, those with the most "
            "striking words, so that the page stays small."
        )
    if skipped:
        listed = ", ".join(f"{number:,} {escape(kind)}" for kind, number in skipped.items())
        notes.append(f"Skipped: {listed}; svlm-skipped.jsonl has their names.")
    told = "".join(f'<p class="faint">{note}</p>' for note in notes)
    return f'<p class="lead">{names}</p><p>{_EXCESS if trainee else _REFERENCE}</p>{told}'


def _controls(keep: float, has_trainee: bool) -> str:
    """Search, order, filter, keep ratio."""
    what = "excess loss" if has_trainee else "loss"

    def chosen(key: str, label: str, options: Mapping[str, str]) -> str:
        items = "".join(
            f'<option value="{value}">{text}</option>' for value, text in options.items()
        )
        return f'<div><label for="{key}">{label}</label><select id="{key}">{items}</select></div>'

    sorts = {
        "max": f"largest {what}", "mean": f"mean {what}", "id": "name", "data": "order of the data",
    }  # fmt: skip
    filters = {
        "all": "all captions", "dropped": "with dropped words", "whole": "without dropped words",
        "picture": "with their picture",
    }  # fmt: skip
    sides = {"high": f"highest {what}", "low": f"lowest {what}"}
    ordered = sides if has_trainee else dict(reversed(sides.items()))
    percent = f"{max(0.1, min(100.0, round(100 * keep, 1))):g}"
    return (
        '<form id="controls" class="controls" role="search">'
        '<div><label for="search">search text or name</label>'
        '<input id="search" type="search" autocomplete="off"></div>'
        f"{chosen('sort', 'sort by', sorts)}{chosen('filter', 'show', filters)}"
        f"{chosen('side', 'keep words of', ordered)}"
        '<div class="wide"><label for="keep">keep ratio, of all words: '
        f'<output id="ratio" for="keep">{percent} %</output></label>'
        f'<input id="keep" type="range" min="0.1" max="100" step="0.1" value="{percent}"></div></form>'
    )


def _legend(data: Mapping[str, Any]) -> str:
    """What colours, underlines and strokes mean."""
    low, high = ("rgba({}, {}, {}, .55)".format(*data[side]) for side in ("low", "high"))
    full = f"{data['scale']:.2g}"
    start = f"{low}, transparent" if data["trainee"] else "transparent"
    ends = (f"−{full}" if data["trainee"] else "0", f"{full} nats or more")
    ramp = f'<span class="scale" style="background: linear-gradient(to right, {start}, {high})">'
    return (
        f'<p class="legend"><span>{ends[0]} {ramp}</span> {ends[1]}</span>'
        '<span><span class="word striking">underlined</span>: at the end of the scale</span>'
        '<span><s class="word">struck through</s>: dropped at this keep ratio</span></p>'
    )


def _for_script(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the element it stands in, nor begin a comment there."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")
