"""Which run the notebooks show."""

import json

import pytest

from omni_lab import demo
from omni_lab.errors import InputFault


@pytest.fixture(autouse=True)
def project_elsewhere(monkeypatch, tmp_path):
    """The project's own runs are out of sight: its root is an empty folder."""
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "project" / "omni_lab" / "demo.py"))
    return tmp_path / "project"


def run_in(folder, **summary):
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))


def test_a_readers_own_run_comes_before_the_recorded_one(tmp_path, project_elsewhere):
    run_in(project_elsewhere / "results" / "demo")
    assert demo.finished_run() == project_elsewhere / "results" / "demo"
    run_in(project_elsewhere / "runs" / "demo", quick=False)
    assert demo.finished_run() == project_elsewhere / "runs" / "demo"
    run_in(tmp_path / "runs" / "demo", quick=False)
    assert demo.finished_run().resolve() == tmp_path / "runs" / "demo"


def test_a_quick_run_and_one_that_has_not_ended_are_passed_over(tmp_path, project_elsewhere):
    (project_elsewhere / "runs" / "demo").mkdir(parents=True)
    run_in(tmp_path / "runs" / "demo", quick=True)
    run_in(project_elsewhere / "results" / "demo", quick=False)
    assert demo.finished_run() == project_elsewhere / "results" / "demo"


def test_where_there_is_none_the_message_says_how_to_make_one():
    with pytest.raises(InputFault, match="omni-lab demo"):
        demo.finished_run()
