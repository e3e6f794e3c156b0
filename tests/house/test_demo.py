"""The whole way in one run: every promised number is there, a finished run is reused, an unfinished one goes on."""

from __future__ import annotations

import json

import pytest

from omni_lab.config import override, tiny
from omni_lab.demo import QUICK, run_demo
from omni_lab.errors import InputError
from omni_lab.reproduce.experiments.demo import CRITERIA, OVER_ALL, measured, numbers
from omni_lab.world.drawing import write_script
from omni_lab.world.film import write_film
from omni_lab.world.questions import FACTS

FEW = [
    "training.stages.vision.steps=2",
    "training.stages.audio.steps=2",
    "training.stages.omni.steps=2",
    "evaluation.clips=12",
]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for split, seed in (("train", 1), ("test", 2)):
        write_film(
            write_script(seed, 8, split=split, calm=True), folder / split / f"{split}.mp4", size=96
        )
    return folder


@pytest.fixture(scope="module")
def config():
    return override(tiny(), [*QUICK, *FEW, "training.threads=1"])


@pytest.fixture(scope="module")
def experiment(films, config, tmp_path_factory):
    """A folder with one run of the demo experiment, and the run's row."""
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omni_lab.demo.shipped_films", lambda: films)
        return folder, measured(config, 0, 1, folder / "rows", folder / "runs", quick=False)


@pytest.fixture(scope="module")
def run(experiment):
    return experiment[0] / "runs" / "reproduce-demo-seed0-threads1"


def test_a_run_that_is_recorded_is_not_run_again(experiment, config, tmp_path):
    folder, row = experiment
    assert {c.metric for c in (*CRITERIA, *OVER_ALL)} <= set(row["metrics"])
    assert 0 <= row["metrics"]["vision.motion"] <= 1 and row["metrics"]["vision.motion_loss"] > 0
    assert measured(config, 0, 1, folder / "rows", tmp_path / "nowhere", quick=False) == row


def test_the_summary_holds_what_others_may_rely_on(run):
    summary = json.loads((run / "summary.json").read_text())
    for group in (
        summary["facts"],
        summary["held_out_pairs"],
        summary["films"],
        *summary["controls"].values(),
    ):
        for fact, score in group.items():
            assert fact in FACTS
            assert 0 <= score["low"] <= score["accuracy"] <= score["high"] <= 1
            assert score["chance"] > 0 and score["n"] > 0
    assert set(summary["controls"]) == {"swap_image", "swap_audio", "swap_question"}
    assert set(summary["retrieval"]) == {f"{a}_to_{b}" for a in SENSES for b in SENSES if a != b}
    assert summary["reliance"]["rows"] == list(SENSES)
    assert summary["seconds"] > 0 and summary["peak_memory_mb"] > 100
    assert list(summary["stages"]) == ["vision", "audio", "omni"]
    assert {c.metric for c in CRITERIA} <= set(numbers(summary))


SENSES = ("image", "audio", "text")


def test_the_report_is_one_page_with_the_clip_in_it(run):
    page = (run / "report.html").read_text()
    assert "<video" in page and "data:video/mp4;base64," in page
    assert 'src="http' not in page and 'href="http' not in page


def test_a_finished_run_is_used_as_it_is(run, films, config, capsys):
    before = (run / "summary.json").read_bytes()
    run_demo(config, run, films)
    assert "finished" in capsys.readouterr().out
    assert (run / "summary.json").read_bytes() == before


def test_a_run_that_lost_its_report_makes_it_without_training_again(run, films, config):
    steps = (run / "metrics.jsonl").read_bytes()
    (run / "summary.json").unlink()
    run_demo(config, run, films)
    assert (run / "metrics.jsonl").read_bytes() == steps
    assert (run / "summary.json").exists()


def test_a_folder_without_films_is_named(tmp_path, config):
    (tmp_path / "empty" / "test").mkdir(parents=True)
    with pytest.raises(InputError, match="empty"):
        run_demo(config, tmp_path / "out", tmp_path / "empty")
