"""Run report: self-contained, outside text escaped, missing parts reported."""

import re
from html.parser import HTMLParser

import pytest

from omni_lab.config import config_hash, tiny
from omni_lab.plots.style import notice
from omni_lab.report import run_report as report
from omni_lab.report.run_report import write_report

EVIL = "<script>alert('x')</script>"
SUMMARY = {
    "facts": {
        "colour": {"accuracy": 0.98, "chance": 0.125, "n": 200, "carriers": ["image"]},
        "word": {"accuracy": 0.875, "chance": 1 / 24, "n": 40, "carriers": ["audio"]},
    },
    "controls": {"swap_image": {"colour": {"accuracy": 0.5, "chance": 0.125, "n": 200}}},
    "reliance": {"rows": ["image"], "columns": ["image", "none"], "rates": [[0.9, 0.1]], "n": 10},
    "retrieval": {"image_to_text": {"r1": 0.8, "r5": 0.9, "chance": 1 / 118, "n": 118}},
    "attention": {"queries": ["image"], "keys": ["image", "text"], "layers": [[[0.4, 0.6]]]},
    "seconds": 312.4, "peak_memory_mb": 1430, "seed": 7,
    "stages": {"vision": {"seconds": 66, "steps": 400}},
    "environment": {"python": "3.11", "packages": {"torch": "2.13"}, "commit": "abc123"},
}  # fmt: skip
METRICS = [{"stage": "vision", "step": i, "loss": 2.0 / (i + 1), "lr": 0.1} for i in range(20)]


def clip(video):
    chips = [
        {
            "kind": "image",
            "text": "<image>",
            "loss": False,
            "role": None,
            "right": None,
            "predicted": None,
        },
        {
            "kind": "control",
            "text": "<speak>",
            "loss": True,
            "role": "guide",
            "right": None,
            "predicted": None,
        },
        {
            "kind": "text",
            "text": EVIL,
            "loss": True,
            "role": EVIL,
            "right": False,
            "predicted": EVIL,
        },
        {
            "kind": "text",
            "text": "red",
            "loss": True,
            "role": "guide",
            "right": True,
            "predicted": "red",
        },
    ]
    question = {
        "time_s": 0.4,
        "fact": "colour",
        "asked": EVIL,
        "answer": "red",
        "predicted": EVIL,
        "right": False,
    }
    units = [{"start_s": 0.0, "end_s": 1.0, "chips": chips}]
    return {"video": video, "title": EVIL, "units": units, "questions": [question]}


class Page(HTMLParser):
    """HTML parser that keeps the tags, attributes and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.words.append(data)

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    video = folder / "film.mp4"
    video.write_bytes(b"not really a film")
    path = write_report(
        folder,
        SUMMARY,
        METRICS,
        {"stream": notice("a stream"), "extra": notice(EVIL)},
        clip(video),
    )
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_elsewhere(page):
    addresses = re.findall(r"""(?:src|href|url)\s*(?:=\s*["']?|\()\s*([^"'\s)>]+)""", page)
    assert addresses and all(a.startswith(("data:", "#")) for a in addresses)
    assert "http://" not in page and "https://" not in page and "@import" not in page
    assert len(page) < report.LARGEST


def test_what_others_wrote_never_becomes_markup(page):
    assert EVIL not in page
    assert len(Page(page).all("script")) == 1
    assert Page(page).text.count(EVIL) >= 4  # title, chip, prediction, question: shown as text


def test_every_picture_has_alternative_text(page):
    pictures = Page(page).all("img")
    assert len(pictures) == 8
    assert all(picture["alt"] for picture in pictures)
    assert any("colour 0.98" in picture["alt"] for picture in pictures)


def test_accuracies_stand_beside_their_chance_levels(page):
    text = Page(page).text
    assert "colour image 0.125 0.98 0.95 – 0.99, n 200" in text
    assert "word audio 0.042 0.88" in text
    assert "Not asked in this run: held-out pairs, films." in text
    assert "Not as expected: colour (image swapped)." in text


def test_what_was_not_learned_is_said_in_words_at_the_head_of_the_page(page, tmp_path):
    head = page.partition("<nav>")[0]
    assert "Learned in part: <i>word</i>. 0.88 of its answers" in head
    motion = {"facts": {"motion": {"accuracy": 0.33, "chance": 0.2, "n": 1950}}}
    head = write_report(tmp_path, motion, [], {}, {}).read_text().partition("<nav>")[0]
    assert "Not learned: <i>motion</i>. 0.33 of its answers" in head and "gives 0.20" in head
    assert "same numbers" not in page, "another machine's rounding gives another run"


def test_on_a_narrow_page_tables_and_figures_scroll_in_their_own_boxes(page):
    class Boxes(Page):
        def handle_starttag(self, tag, attrs):
            super().handle_starttag(tag, attrs)
            parent = self.tags[-2][1] if len(self.tags) > 1 else {}
            if tag in ("table", "img"):
                assert parent.get("class") == "scroll" and parent["tabindex"] == "0"

    boxes = Boxes(page)
    assert len(boxes.all("table")) >= 4 and len(boxes.all("img")) == 8
    for image in boxes.all("img"):
        width, least = map(int, re.findall(r"(\d+)px", image["style"]))
        assert least >= 0.8 * width, "shrunk to a phone's width a figure has letters of 4 px"
    (rule,) = re.findall(r"\.scroll \{[^}]*\}", page)
    assert "overflow-x: auto" in rule and "max-width: 100%" in rule
    narrow = page.partition("@media (max-width: 46rem)")[2]
    assert ".clip { grid-template-columns: minmax(0, 1fr); }" in narrow, (
        "1fr grows with its content"
    )


def test_the_stream_can_follow_the_film(page):
    parsed = Page(page)
    (video,) = parsed.all("video")
    assert video["src"].startswith("data:video/mp4;base64,")
    assert [(u["data-start"], u["data-end"]) for u in parsed.all("li")] == [("0.0", "1.0")]
    assert {b["data-seek"] for b in parsed.all("button")} == {"0.0", "0.4"}
    assert (
        "currentTime" in page
        and "0 of 1 questions about this clip are answered correctly." in parsed.text
    )


def test_chips_have_the_colour_of_their_modality_and_their_verdict(page):
    chips = [
        c["class"].split() for c in Page(page).all("span") if c.get("class", "").startswith("chip")
    ]
    assert ["chip", "text", "supervised", "is-wrong"] in chips and [
        "chip",
        "text",
        "supervised",
        "is-right",
    ] in chips
    assert ["chip", "image"] in chips and "linear-gradient(rgba(0, 114, 178, 0.35)" in page


def test_the_run_summary_and_the_command_to_reproduce_it_are_there(page):
    text = Page(page).text
    assert (
        "This run took 5.2 minutes. A model was trained in one stage: vision (400 steps)." in text
    )
    assert all(part in text for part in ("312.4", "1,430", "torch 2.13", "git checkout abc123"))


def test_an_empty_run_gives_a_message_per_section(tmp_path):
    text = Page(write_report(tmp_path, {}, [], {}, {}).read_text()).text
    for message in (
        "No clip was recorded", "No training step is recorded", "No questions were asked",
        "No controls were run",
        "Not measured in this run: reliance", "Not measured in this run: retrieval",
        "Not measured in this run: attention",
        "The environment of this run was not recorded", "make demo",
    ):  # fmt: skip
        assert message in text


def test_settings_and_environment_are_read_from_the_run_folder(tmp_path):
    from omni_lab.training.run import RunFolder

    RunFolder(tmp_path, tiny())
    text = Page(write_report(tmp_path, {}, [], {}, {}).read_text()).text
    assert config_hash(tiny()) in text and "python" in text


def test_a_film_too_large_for_the_page_is_named_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "LARGEST", 300_000)
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(200_000))
    page = Page(write_report(tmp_path, {}, [], {}, clip(large)).read_text())
    assert not page.all("video") and not page.all("button")
    assert "The film large.mp4 (0.2 MB) is too large to embed in this page." in page.text
    gone = Page(write_report(tmp_path, {}, [], {}, clip(tmp_path / "gone.mp4")).read_text())
    assert "The film gone.mp4 was not found." in gone.text
