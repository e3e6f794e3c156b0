"""The copies that `make lab` opens: without outputs, and never over what a student has written."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copies(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("copies", ROOT / "notebooks" / "copies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path / "course")
    module.HERE.mkdir()
    return module


def publish(copies, *sources):
    """A notebook of the course with these cells, executed."""
    output = {"output_type": "stream", "name": "stdout", "text": "the answer"}
    cells = [
        {
            "cell_type": "code",
            "source": source,
            "outputs": [output],
            "execution_count": 1,
            "metadata": {},
        }
        for source in sources
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (copies.HERE / "00_first.ipynb").write_text(json.dumps(notebook))


def code(path):
    return [cell["source"] for cell in json.loads(path.read_text())["cells"]]


def write_in(path, text):
    """A student writes in a cell, and JupyterLab saves."""
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"] = text
    path.write_text(json.dumps(notebook))


def test_a_copy_has_no_outputs_and_one_that_was_run_is_not_made_again(copies, capsys):
    publish(copies, "guess = None", "answer()")
    folder = Path("mine")
    copies.main(folder)
    copy = json.loads((folder / "00_first.ipynb").read_text())
    assert [cell["outputs"] for cell in copy["cells"]] == [[], []]
    assert "the answer" not in json.dumps(copy)
    assert capsys.readouterr().out == "mine/00_first.ipynb\n"

    copies.main(folder)
    assert capsys.readouterr().out == ""


def test_what_a_student_has_written_stays_when_the_course_changes(copies, capsys):
    publish(copies, "guess = None")
    folder = Path("mine")
    copies.main(folder)
    write_in(folder / "00_first.ipynb", "guess = 288")
    publish(copies, "guess = None  # how many?")
    copies.main(folder)
    assert code(folder / "00_first.ipynb") == ["guess = 288"]
    assert code(folder / "00_first (2).ipynb") == ["guess = None  # how many?"]
    assert "your own copy stays as it is" in capsys.readouterr().out

    # the new one was not written in, so the next takes its place
    publish(copies, "guess = None  # how many pictures?")
    copies.main(folder)
    assert code(folder / "00_first.ipynb") == ["guess = 288"]
    assert code(folder / "00_first (2).ipynb") == ["guess = None  # how many pictures?"]
    assert len(list(folder.iterdir())) == 2


def test_a_copy_in_which_nothing_was_written_follows_the_course(copies):
    publish(copies, "guess = None")
    folder = Path("mine")
    copies.main(folder)
    publish(copies, "guess = None  # how many?")
    copies.main(folder)
    assert code(folder / "00_first.ipynb") == ["guess = None  # how many?"]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": []}', '{"cells": 1, "metadata": {}}'])
def test_a_file_that_is_no_copy_is_left_alone(copies, text):
    publish(copies, "guess = None")
    folder = Path("mine")
    folder.mkdir()
    (folder / "00_first.ipynb").write_text(text)
    copies.main(folder)
    assert (folder / "00_first.ipynb").read_text() == text
    assert code(folder / "00_first (2).ipynb") == ["guess = None"]


def test_every_notebook_of_the_course_can_be_copied(copies, monkeypatch):
    monkeypatch.setattr(copies, "HERE", ROOT / "notebooks")
    copies.main(Path("mine"))
    made = sorted(path.name for path in Path("mine").iterdir())
    assert made == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    for path in Path("mine").iterdir():
        notebook = json.loads(path.read_text())
        assert not any(cell.get("outputs") for cell in notebook["cells"])
