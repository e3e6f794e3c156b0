"""The rules for notebooks that a machine can check: map, predictions, exercises with folds, lines, links."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from omni_lab.check import Verdict

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST, TALLEST = 110, 30  # characters of a line of code, lines of a cell
TURN = re.compile(r"\*\*✎ Your turn\*\* · (\d+) minutes? · (●○○|●●○|●●●)")
CHECKED = re.compile(r"^check\.[\w.]+\((\w+)\)$", re.M)
LAST = (
    "What changes at full scale",
    "Which claims this bears on",
    "Sources",
    "Where to go from here",
)
# what no English teacher says
GERMAN = re.compile(r"\b(whoever|somebody who|that what|is surprised by ln)\b", re.IGNORECASE)

all_notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])


def cells_of(path):
    """Kind and source of every cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def fold(text, title):
    """What stands behind a fold of this title."""
    found = re.search(rf"<details>\s*<summary>{title}</summary>(.*?)</details>", text, re.S)
    return found[1] if found else None


def exercises(path):
    """Of every exercise: its introduction, its code, and the cell behind it."""
    cells = cells_of(path)
    return [
        (cells[at - 1][1], text, cells[at + 1][1])
        for at, (kind, text) in enumerate(cells)
        if kind == "code" and "NotImplementedError" in text
    ]


@all_notebooks
def test_a_notebook_says_what_it_is_for_and_where_it_stands(path):
    (_, first), (kind, second), *_ = cells_of(path)
    assert re.match(rf"# {path.stem[:2]} · \S", first)
    for part in ("**The question:**", "After this notebook you can", "**Time:**", "**You need:**"):
        assert part in first, f"the first cell lacks {part}"
    assert kind == "code" and f'draw_course("{path.stem[:2]}")' in second, "the map comes second"


@all_notebooks
def test_a_notebook_ends_with_scale_claims_sources_and_a_way_on(path):
    text = "\n".join(text for kind, text in cells_of(path) if kind == "markdown")
    titles = re.findall(r"^## (.+)$", text, re.M)
    assert titles[-len(LAST) :] == list(LAST)
    sources = text.partition("## Sources")[2].partition("\n## ")[0]
    assert len(re.findall(r"\]\(https://", sources)) >= 3


@all_notebooks
def test_every_prediction_has_a_place_to_write_in_and_is_answered_later(path):
    cells = cells_of(path)
    asked = [at for at, (kind, text) in enumerate(cells) if "**Predict.**" in text]
    assert len(asked) >= 3
    for at in asked:
        kind, text = cells[at + 1]
        names = re.findall(r"^(my_\w+(?:, my_\w+)*) = None", text, re.M)
        assert kind == "code" and names, f"cell {at + 1}: no `my_… = None` below a prediction"
        assert "check.guess" not in text, f"cell {at + 1}: holds the prediction and its answer"
        later = "\n".join(text for kind, text in cells[at + 2 :] if kind == "code")
        for name in ", ".join(names).split(", "):
            assert re.search(rf"check\.guess\(\s*{name}\b", later), f"{name} is never answered"


@all_notebooks
def test_a_notebook_has_small_exercises_each_with_a_hint_and_a_solution(path):
    found = exercises(path)
    assert 5 <= len(found) <= 9
    for before, code, after in found:
        assert TURN.search(before), f"no minutes and difficulty before: {code[:60]}"
        assert CHECKED.search(code), f"no checker at the end of: {code[:60]}"
        assert fold(after, "Hint") and fold(after, "Solution"), f"no folds behind: {code[:60]}"


@all_notebooks
def test_every_exercise_is_unfilled_and_its_solution_is_right(path, own_folder):
    for _, code, after in exercises(path):
        body, call = CHECKED.sub("", code), CHECKED.search(code)[0]
        space = {"__name__": "__main__"}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(f"from omni_lab import check\n{body}", space)
        assert eval(call, space).right is None, f"not unfilled: {code[:60]}"

        (solution,) = re.findall(r"```python\n(.*?)```", fold(after, "Solution"), re.S)
        exec(solution, space)
        verdict = eval(call, space)
        assert isinstance(verdict, Verdict) and verdict.right, f"{call}: {verdict}"


@all_notebooks
def test_code_is_short_and_draws_nothing_itself(path):
    for at, (kind, text) in enumerate(cells_of(path)):
        if kind != "code":
            continue
        lines = text.splitlines()
        wide = [line for line in lines if len(line) > LONGEST]
        assert not wide, f"cell {at}: {len(wide[0])} characters: {wide[0][:60]}"
        assert len(lines) <= TALLEST, f"cell {at}: {len(lines)} lines"
        drawing = re.search(r"matplotlib|\.subplots\(|new_picture|\bFigure\(|\.axhline\(", text)
        assert not drawing, f"cell {at} draws by itself; plotting belongs into omni_lab.plots"


@all_notebooks
def test_every_link_of_a_notebook_leads_somewhere(path):
    for kind, text in cells_of(path):
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text) if kind == "markdown" else ():
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            assert file.exists(), f"{target}: there is no such file"
            if anchor and file.suffix == ".md":
                assert anchor in anchors(file), f"{target}: no such place"


def anchors(file):
    """Anchors of a Markdown file: of its headings, as GitHub makes them, and stated ones."""
    text = file.read_text(encoding="utf-8")
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


@all_notebooks
def test_the_prose_is_english(path):
    for at, (kind, text) in enumerate(cells_of(path)):
        if kind == "markdown":
            found = GERMAN.search(text)
            assert not found, f"cell {at}: {found[0]!r}"
