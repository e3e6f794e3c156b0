"""The whole way in one run: every promised number is there, a finished run is reused, an unfinished one goes on."""

from __future__ import annotations

import json

import pytest

from omni_lab.config import override, tiny
from omni_lab.demo import (
    QUICK,
    own_run,
    print_summary,
    recorded_run,
    run_demo,
)
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


def test_the_recorded_run_is_the_same_whatever_was_run_here(own_folder):
    def summary(folder, **more):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(json.dumps({"facts": {}, **more}))

    recorded = recorded_run()
    assert recorded.parts[-2:] == ("results", "demo") and (recorded / "summary.json").exists()
    summary(own_folder / "runs" / "demo", quick=True)
    assert own_run() != own_folder / "runs" / "demo", "a quick run has learned nothing"

    summary(own_folder / "runs" / "demo", quick=False)
    assert own_run().resolve() == own_folder / "runs" / "demo"
    assert recorded_run() == recorded


def test_the_terminal_says_in_words_what_a_run_has_not_learned(capsys):
    score = {"accuracy": 0.33, "chance": 0.2}
    summary = {"held_out_pairs": {}, "seconds": 1, "peak_memory_mb": 1}
    print_summary(
        summary | {"facts": {"motion": score, "colour": {"accuracy": 1.0, "chance": 0.125}}}
    )
    said = capsys.readouterr().out
    assert "✗ NOT LEARNED: motion. Right are .33" in said and "guessing gives .20" in said
    assert "colour." not in said
