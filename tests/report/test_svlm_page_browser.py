"""Pages in a real browser: 10,000 captions stay usable, hostile text stays text, no network is asked."""

import re

import numpy as np
import pytest
from browser import Browser, lacking

from omni_lab.analysis.svlm.score import keep_top, merit
from omni_lab.report.run_report import write_report
from omni_lab.report.svlm_page import thumbnail, write_svlm_page

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"not installed: {lacking()}")

COUNT = 10_000
HOSTILE = [
    "<script>window.hacked = 1</script> a cat",
    "</script><img src=x onerror='window.hacked=1'> &amp; <!-- dog ]]>",
    "قطة حمراء تجلس على السجادة",
    "🐈‍⬛ on 猫 e\u0301 \U0001d518 and \u202eturned\u202c",
    f"{'w' * 10_000} end",
    "a\nline\u2028and \u0000 tabs\t${hacked} `x` \\u003c",
]
SENTENCE = "a red blue cat sits stands on the old mat beside two grey dogs near an open door"


def captions():
    """Rows of `svlm.jsonl`, hostile ones first, some words of equal loss and some without one."""
    random, words = np.random.default_rng(0), SENTENCE.split()
    rows = []
    for number in range(COUNT):
        hostile = HOSTILE[number] if number < len(HOSTILE) else None
        text = hostile or " ".join(random.choice(words, random.integers(3, 16)))
        spans = [list(found.span()) for found in re.finditer(r"\S+", text)]
        reference = random.gamma(1.5, 1.2, len(spans)).round(2).tolist()
        excess = [None if v < -2.5 else v for v in random.normal(0, 1.1, len(spans)).round(1)]
        question = hostile if number % 2 else ""
        name = f"{number:05d} {hostile[:60]}" if hostile else f"{number:05d}"
        rows.append({
            "id": name, "text": text, "words": spans, "reference": reference,
            "excess": [v if v is None else float(v) for v in excess], "question": question or "",
        })  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def rows():
    return captions()


@pytest.fixture(scope="module")
def page(browser, rows, tmp_path_factory):
    """The browser with the page open."""
    models = {"reference": "<b>ref</b>", "trainee": "train & ee"}
    jpeg = thumbnail([np.full((90, 120, 3), 90, np.uint8)])
    pictures = {row["id"]: jpeg for row in rows[:40]}
    path = write_svlm_page(tmp_path_factory.mktemp("page"), rows, models, pictures, 0.6)
    browser.look()
    browser.open(path)
    browser.asked_at_first = browser.asked()
    return browser


@pytest.fixture(autouse=True)
def as_it_opens(request):
    """Every test begins with the page as it opens, at its top."""
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        choose(page, keep=60, side="high", sort="data", filter="all", search="")
        page.script("window.scrollTo(0, 0)")
        page.settle()


def choose(page, **controls):
    """Set controls as a hand would, and wait for what they change."""
    page.script(
        "for (const [id, value] of Object.entries(arguments[0])) {"
        " const control = document.getElementById(id); control.value = value;"
        " control.dispatchEvent(new Event('input', { bubbles: true })); }",
        controls,
    )
    page.settle()


def words_on(page):
    """Of every caption that is drawn: its name, and whether each of its words is dropped."""
    return page.script(
        "return [...document.querySelectorAll('.caption')].map((card) => ["
        " card.querySelector('bdi').textContent,"
        " [...card.querySelectorAll('.word')].map((word) => word.tagName === 'S')])"
    )


def names_on(page):
    return [name for name, _ in words_on(page)]


def text_of(page, name):
    return page.script("return document.getElementById(arguments[0]).textContent", name)


def test_the_page_opens_without_a_word_on_the_console_and_without_the_network(page):
    page.script("window.scrollTo(0, 5000)")
    page.settle()
    assert len(page.asked_at_first) == 1 and page.asked_at_first[0].endswith("/svlm.html")
    assert page.said() == [] and page.asked() == []
    assert text_of(page, "found") == "10,000 of 10,000 captions"


@pytest.mark.parametrize(("keep", "side"), [(1, "high"), (35, "high"), (100, "high"), (20, "low")])
def test_the_slider_drops_the_very_words_that_selection_drops(page, rows, keep, side):
    choose(page, keep=keep, side=side)
    merits = [merit(row) if side == "high" else -merit(row) for row in rows]
    kept = keep_top(merits, keep / 100)
    by_name = {row["id"]: own for row, own in zip(rows, kept.words, strict=True)}
    known = sum(int(np.isfinite(own).sum()) for own in merits)
    dropped = sum(int((~own).sum()) for own in kept.words)
    assert text_of(page, "selected").startswith(f"{dropped:,} of {known:,} words dropped")
    drawn = words_on(page)
    assert len(drawn) >= 20
    for name, out in drawn:
        assert out == [not one for one in by_name[name]], name
    threshold = f"{kept.threshold if side == 'high' else -kept.threshold:.2f}".replace("-", "−")
    assert text_of(page, "selected").endswith(f"{threshold} nats)")


def test_captions_are_sorted_by_every_order_that_is_offered(page, rows):
    def most(row):
        return max((v for v in row["excess"] if v is not None), default=-np.inf)

    def mean(row):
        known = [v for v in row["excess"] if v is not None]
        return sum(known) / len(known) if known else -np.inf

    orders = {"max": lambda r: -most(r), "mean": lambda r: -mean(r), "id": lambda r: r["id"]}
    for sort, key in orders.items():
        choose(page, sort=sort)
        shown = names_on(page)
        assert len(shown) >= 20
        values = {row["id"]: key(row) for row in rows}
        expected = sorted(values.values())[: len(shown)]
        assert [values[name] for name in shown] == expected, sort


def test_filters_and_search_leave_what_they_say(page, rows):
    kept = keep_top([merit(row) for row in rows], 0.6).words
    whole = sum(bool(own.all()) for own in kept)
    for name, left in {"dropped": COUNT - whole, "whole": whole, "picture": 40}.items():
        choose(page, filter=name)
        assert text_of(page, "found") == f"{left:,} of 10,000 captions"
    choose(page, filter="all", search="  RED CAT ")
    left = sum("red cat" in f"{row['text']}\n{row['id']}".lower() for row in rows)
    assert 0 < left < COUNT and text_of(page, "found").startswith(f"{left:,} of")
    choose(page, search="no such words")
    assert text_of(page, "found").startswith("0 of") and names_on(page) == []


def test_controls_that_move_within_one_frame_all_count(page):
    choose(page, keep=100, sort="mean", filter="dropped")
    assert text_of(page, "found").startswith("0 of") and text_of(page, "ratio") == "100 %"


def test_a_filter_by_dropped_words_follows_the_slider(page):
    choose(page, filter="whole", keep=100)
    assert text_of(page, "found") == "10,000 of 10,000 captions"
    choose(page, keep=1)
    assert int(text_of(page, "found").split()[0].replace(",", "")) < 100


def test_hostile_text_is_shown_as_text(page, rows):
    shown = page.script(
        "return [...document.querySelectorAll('.caption')].map((card) => ["
        " card.querySelector('.text').textContent, card.querySelector('bdi').textContent,"
        " card.querySelector('.about').textContent])"
    )
    for (text, name, question), row in zip(shown, rows[: len(HOSTILE)], strict=False):
        assert text == row["text"] and name == row["id"]
        assert question == row["question"] or not row["question"]
    assert page.script("return window.hacked") is None
    assert (
        page.script("return document.querySelectorAll('#list script, #list b, header b').length")
        == 0
    )
    assert page.script("return document.querySelectorAll('img[src=x]').length") == 0
    direction = (
        "return getComputedStyle(document.querySelectorAll('.text')[arguments[0]]).direction"
    )
    assert page.script(direction, 2) == "rtl" and page.script(direction, 0) == "ltr"


def test_the_numbers_of_a_caption_open_and_stay_open_when_the_ratio_moves(page, rows):
    first = "document.querySelector('.caption details')"
    page.script(f"{first}.open = true")
    page.settle()
    choose(page, keep=30)
    lines = page.script(f"return [...{first}.querySelectorAll('tr')].map((row) => row.textContent)")
    row = rows[0]
    assert len(lines) == len(row["words"]) and lines[0].startswith(row["text"].split()[0])
    assert f"reference {row['reference'][0]:.2f}" in lines[0]


@pytest.mark.parametrize("width", [400, 1200])
def test_only_what_is_near_the_window_is_on_the_page_down_to_its_end(page, rows, width):
    page.look(width)
    for _ in range(4):  # blocks grow to their true height on the way
        page.script("window.scrollTo(0, document.documentElement.scrollHeight)")
        page.settle()
    shown = names_on(page)
    assert shown[-1] == rows[-1]["id"] and len(shown) < 200
    page.script("window.scrollTo(0, 0)")
    page.settle()
    assert names_on(page)[0] == rows[0]["id"]
    page.look()


CONTRAST = """
const lum = (c) => { const f = c.map((v) => { v /= 255;
  return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
const rgba = (text) => { const n = text.match(/[\\d.]+/g).map(Number);
  return n.length > 3 ? n : [...n, 1]; };
const page = rgba(getComputedStyle(document.body).backgroundColor);
const out = [];
for (const one of document.querySelectorAll('.word, .about, .lead, label, .status, summary')) {
  const style = getComputedStyle(one), ink = rgba(style.color), own = rgba(style.backgroundColor);
  const under = [0, 1, 2].map((i) => own[i] * own[3] + page[i] * (1 - own[3]));
  const [a, b] = [lum(ink), lum(under)].sort((x, y) => y - x);
  out.push((a + 0.05) / (b + 0.05));
}
return [Math.min(...out), out.length, lum(page)];
"""


@pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (1200, True), (400, False), (400, True)]
)
def test_light_and_dark_wide_and_narrow_every_letter_can_be_read(page, width, dark):
    page.look(width, dark)
    least, count, background = page.script(CONTRAST)
    overflow = page.script("return document.documentElement.scrollWidth - window.innerWidth")
    page.look()
    assert overflow <= 0, "the page scrolls sideways"
    assert count > 100 and least >= 4.5, "contrast of text (WCAG AA)"
    assert (background < 0.1) is dark


def test_the_run_report_opens_without_an_error_and_fits_a_phone(browser, tmp_path):
    facts = {"colour": {"accuracy": 0.98, "chance": 0.125, "n": 200, "carriers": ["image"]}}
    chips = [
        {"kind": "text", "text": HOSTILE[1], "loss": True, "role": HOSTILE[0], "right": False,
         "predicted": HOSTILE[0]}
    ]  # fmt: skip
    units = [{"start_s": 0.0, "end_s": 1.0, "chips": chips}]
    clip = {"video": None, "title": HOSTILE[0], "units": units, "questions": []}
    steps = [{"stage": "vision", "step": n, "loss": 2.0 / (n + 1), "lr": 0.1} for n in range(9)]
    path = write_report(tmp_path, {"facts": facts}, steps, {}, clip)
    browser.look(400)
    browser.open(path)
    overflow = browser.script("return document.documentElement.scrollWidth - window.innerWidth")
    asked, said = browser.asked(), browser.said()
    browser.look()
    assert overflow <= 0 and said == [] and len(asked) == 1
    assert browser.script("return window.hacked") is None
