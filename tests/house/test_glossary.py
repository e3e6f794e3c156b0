"""The glossary of shape letters: one meaning for a letter in the whole package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted((ROOT / "omni_lab").rglob("*.py"))


def letters():
    """Letter and meaning, as CONTRIBUTING.md has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## Shape letters")[2].partition("\n## ")[0]
    return dict(re.findall(r"\| `(\S)` \| ([^|]+?) (?=\|)", section))


def glossary(path):
    """Letter and meaning, as a module's docstring has them."""
    found = re.search(r"^Glossary: (.*?)(?:\n\n|\"\"\")", path.read_text(), re.M | re.S)
    entries = found.group(1).replace("\n", " ").rstrip(". ").split(" · ") if found else []
    return dict(entry.strip(" ·").split(" ", 1) for entry in entries if " " in entry.strip(" ·"))


def test_the_glossary_has_every_letter_of_the_field_that_shapes_are_written_with():
    assert letters()["T"] == "tokens" and letters()["G"] == "key/value heads"
    assert len(letters()) >= 16


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_letter_means_what_the_glossary_says(path):
    for letter, meaning in glossary(path).items():
        if letter in letters():
            stem = letters()[letter].split()[-1].rstrip("s")
            assert stem in meaning, f"{letter} is {letters()[letter]!r}, here {meaning!r}"
