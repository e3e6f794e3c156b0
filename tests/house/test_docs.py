"""The pages under docs/: the glossary in order and without gaps, links and paths that lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
GLOSSARY = ROOT / "docs" / "glossary.md"


def entries():
    """Heading and text of every entry of the glossary."""
    _, *parts = re.split(r"^## ", GLOSSARY.read_text(encoding="utf-8"), flags=re.M)
    return [(head.strip(), text.strip()) for head, _, text in (p.partition("\n") for p in parts)]


def anchors(page):
    """Anchors of a page: of its headings, as GitHub makes them, and stated ones."""
    text = page.read_text(encoding="utf-8")
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


def test_the_glossary_is_in_alphabetical_order_and_has_each_word_once():
    words = [head.casefold() for head, _ in entries()]
    assert len(words) >= 79
    assert words == sorted(set(words))


@pytest.mark.parametrize(("head", "text"), entries(), ids=[head for head, _ in entries()])
def test_an_entry_explains_its_word_briefly(head, text):
    prose = re.sub(r"\[`[^`]+`\]\([^)]+\)", "", text)  # without the paths
    assert len(prose.split()) >= 8, f"{head} is not explained"
    assert len(prose.split()) <= 110, f"{head} is a lecture"
    assert text.endswith((".", ")")), f"{head} ends in the middle"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_of_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such place"
    lost = [
        path for path in re.findall(r"\bomni_lab/[\w/.]+\b", text) if not (ROOT / path).exists()
    ]
    assert not lost, f"there is no {lost}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_path_that_is_linked_is_the_one_that_is_named(page):
    for shown, target in re.findall(r"\[`(omni_lab/[^`]+)`\]\(([^)]+)\)", page.read_text()):
        assert target == f"../{shown}"
