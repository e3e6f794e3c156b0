"""The page on word losses: its data, that text stays text, and that it stays small."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omni_lab.plots.palette import DIVERGING
from omni_lab.report.svlm_page import (
    SIDE_BY_SIDE,
    THUMBNAIL,
    page_data,
    thumbnail,
    to_picture,
    utf16,
    write_svlm_page,
)

NASTY = [
    "</script><script>alert(1)</script> <!-- <b>bold</b> &amp; \u2028 it",
    "\"quoted\" 'twice' `thrice` ${no}",
    "قطة حمراء تجلس على السجادة",
    "🐈‍⬛ on 猫 e\u0301 \U0001d518",
]
MODELS = {"reference": "<i>ref</i>", "trainee": "train & ee"}


def row(text, name="a", **more):
    words = [list(found.span()) for found in re.finditer(r"\S+", text)]
    losses = [round(0.5 + place, 4) for place in range(len(words))]
    base = {"id": name, "text": text, "words": words, "reference": losses, "question": ""}
    return base | {"excess": [-value for value in losses]} | more


class Parts(HTMLParser):
    """Scripts of a page, and every tag with its attributes."""

    def __init__(self):
        super().__init__()
        self.scripts, self.tags, self._inside = [], [], False

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "script"

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data


def parsed(path):
    parts = Parts()
    parts.feed(path.read_text(encoding="utf-8"))
    return parts, json.loads(parts.scripts[0])


def test_text_from_outside_stays_text(tmp_path):
    rows = [row(text, f"{place} {text}", question=text) for place, text in enumerate(NASTY)]
    parts, data = parsed(write_svlm_page(tmp_path, rows, MODELS, skipped={"<u>x</u>": 2}))
    assert [caption[1] for caption in data["captions"]] == NASTY
    assert [caption[0] for caption in data["captions"]] == [one["id"] for one in rows]
    assert [caption[5] for caption in data["captions"]] == NASTY
    assert len(parts.scripts) == 2 and not {"b", "i", "u"} & {tag for tag, _ in parts.tags}
    page = (tmp_path / "svlm.html").read_text(encoding="utf-8")
    assert "<!--" not in page and "innerHTML" not in page and "&lt;i&gt;ref&lt;/i&gt;" in page


def test_the_page_is_one_file_that_asks_for_nothing_else(tmp_path):
    write_svlm_page(tmp_path, [row("a cat")], MODELS, {"a": thumbnail([pixels(9, 9)])})
    page = (tmp_path / "svlm.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert not re.findall(r"https?://|@import|url\(", page)
    assert 'name="viewport"' in page and "<noscript>" in page


@given(st.text(max_size=30))
def test_spans_are_those_of_javascript_strings(text):
    words = [list(found.span()) for found in re.finditer(r"\S+", text)]
    units, flat = text.encode("utf-16-le", "surrogatepass"), utf16(text, words)
    for (start, end), at in zip(words, range(0, len(flat), 2), strict=True):
        piece = units[2 * flat[at] : 2 * flat[at + 1]]
        assert piece.decode("utf-16-le", "surrogatepass") == text[start:end]


def pixels(height, width, value=90):
    return np.full((height, width, 3), value, np.uint8)


def test_data_hold_losses_a_scale_and_pictures_by_number(tmp_path):
    jpeg = thumbnail([pixels(400, 200), pixels(30, 50)])
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.size == (THUMBNAIL // 2 + 50, THUMBNAIL)
    rows = [row("a b c", "x"), row("d", "y", reference=[None], excess=[None]), row("e", "z")]
    _, data = parsed(write_svlm_page(tmp_path, rows, MODELS, {"z": jpeg}))
    assert data["captions"][0][2:5] == [[0, 1, 2, 3, 4, 5], [0.5, 1.5, 2.5], [-0.5, -1.5, -2.5]]
    assert data["captions"][1][3:5] == [[None], [None]]
    assert base64.b64decode(data["pictures"]["2"]) == jpeg and len(data["pictures"]) == 1
    assert data["trainee"] and 1.5 <= data["scale"] <= 2.5
    assert data["low"] == [0, 114, 178] and DIVERGING[0] == "#0072B2"


@pytest.mark.parametrize("trainee", [None, "model"])
def test_the_page_says_what_it_shows_and_which_side_is_kept(tmp_path, trainee):
    rows = [row("a cat", "x")]
    if trainee is None:
        del rows[0]["excess"]
    models = {"reference": "ref", "trainee": trainee}
    parts, data = parsed(write_svlm_page(tmp_path, rows, models, keep=0.25))
    page = (tmp_path / "svlm.html").read_text(encoding="utf-8")
    assert data["trainee"] is bool(trainee)
    sides = [given["value"] for tag, given in parts.tags if given.get("value") in ("high", "low")]
    assert sides == (["high", "low"] if trainee else ["low", "high"])
    (slider,) = [given for tag, given in parts.tags if given.get("type") == "range"]
    assert slider["value"] == "25" and ("excess loss:" in page) is bool(trainee)
    labelled = {given["for"] for tag, given in parts.tags if tag == "label"}
    named = {given["id"] for tag, given in parts.tags if tag in ("input", "select")}
    assert named == labelled
    assert "Pictures stand beside 0 of 1 captions" in page


def test_every_element_that_the_script_asks_for_is_on_the_page(tmp_path):
    parts, _ = parsed(write_svlm_page(tmp_path, [row("a cat")], MODELS))
    asked = set(re.findall(r'(?:find|getElementById)\("(\w+)"\)', parts.scripts[1]))
    assert asked and asked <= {given.get("id") for _, given in parts.tags}


def test_pictures_go_to_the_most_striking_captions():
    rows = [row("a", str(n), excess=[value]) for n, value in enumerate([1.0, None, 3.0, -2.0])]
    assert to_picture(rows, 2) == {"2", "0"}


def test_a_chat_with_many_pictures_shows_the_last_ones_beside_its_caption():
    jpeg = thumbnail([pixels(90, 160, value) for value in range(0, 250, 1)] * 2)
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.size == (SIDE_BY_SIDE * THUMBNAIL, 90)
        assert abs(image.getpixel((image.width - 9, 9))[0] - 249) < 4


def test_ten_thousand_captions_make_a_page_of_a_few_megabytes(tmp_path):
    text = "a red cat sits on the old mat beside two grey dogs"
    rows = [row(text, f"shard-{n // 100:04d}/{n:06d}") for n in range(10_000)]
    path = write_svlm_page(tmp_path, rows, MODELS)
    assert path.stat().st_size < 4_000_000
    # the captions are not in the page's own elements: the script draws those near the window
    assert path.read_text(encoding="utf-8").count("<article") == 0


def test_an_empty_scale_does_not_divide_by_zero():
    data = page_data([row("a", reference=[0.0], excess=[0.0])], MODELS, {})
    assert data["scale"] > 0
