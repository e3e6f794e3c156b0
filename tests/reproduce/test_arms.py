"""Arms: beginnings in common, one run of what several experiments need, tries chosen on other seeds."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from omni_lab.config import config_hash, override, tiny
from omni_lab.errors import UsageError
from omni_lab.reproduce import arms
from omni_lab.reproduce.arms import Arm, Task, as_csv, beginning_of, run_all, thinned
from omni_lab.reproduce.experiments.balance import TRIES, best_possible, chosen
from omni_lab.reproduce.experiments.choices import CHOICES
from omni_lab.reproduce.experiments.comparison import BASE, QUICK, Gain, numbers, scores
from omni_lab.reproduce.registry import CHOICES as LISTED
from omni_lab.world.questions import CHANCE

CONFIG = override(tiny(), (*BASE, *QUICK, "evaluation.clips=2"))


def row(accuracy):
    facts = {"colour": ["image"], "word": ["audio"], "shape_to_colour": ["image", "audio"]}
    return {
        "facts": {f: {"accuracy": accuracy, "loss": 1.0, "carriers": c} for f, c in facts.items()},
        "final_loss": 1.0,
    }


@pytest.mark.parametrize("name", CHOICES)
def test_every_arm_has_settings_that_can_be_and_names_that_gains_know(name):
    choice = CHOICES[name]
    known = {arm.name for arm in choice.arms}
    tasks = choice.tasks(override(tiny(), BASE), [0], Path("x"), Path("y"))
    assert len({config_hash(task.config) for task in tasks}) == len(choice.arms)
    for gain in choice.gains:
        assert {*gain.better.split("|"), *gain.worse.split("|")} <= known
    assert {*LISTED} == {*CHOICES}


def test_arms_of_the_omni_stage_begin_alike_and_those_of_other_stages_do_not(tmp_path):
    def beginnings(name):
        tasks = CHOICES[name].tasks(override(tiny(), BASE), [0], tmp_path, tmp_path)
        return [task.beginning and config_hash(task.beginning) for task in tasks]

    assert len({*beginnings("O16"), *beginnings("O5"), *beginnings("O10")}) == 1
    assert len(set(beginnings("O8"))) == 4
    assert beginnings("O9")[0] and beginnings("O9")[1:] == [None, None]
    lengths = [t.config.training.stage("omni").steps for t in
               CHOICES["O10"].tasks(override(tiny(), BASE), [0], tmp_path, tmp_path)]  # fmt: skip
    assert lengths == [246, 492, 984, 1968]


def test_an_arm_is_run_once_and_kept_with_its_curves(tmp_path, monkeypatch):
    plain, other = Arm("plain"), Arm("slow", ("training.stages.omni.lr_scale=0.5",))
    tasks = [
        Task(a.name, a.configured(CONFIG, 0), tmp_path, tmp_path / "runs") for a in (plain, other)
    ]
    tasks[1] = replace(tasks[1], whole=True)
    rows = run_all(tasks)
    assert [r["arm"] for r in rows] == ["plain", "slow"] and rows[0]["facts"]["colour"]["n"] > 0
    assert {"step", "stream", "loss"} <= {*rows[0]["curves"]}
    assert tasks[1].log.read_text().startswith("step,lr,loss") and not tasks[0].log.exists()
    begun = [*(tmp_path / "runs" / "beginnings").iterdir()]
    assert len(begun) == 1 and not [*(tmp_path / "runs" / "arms").iterdir()]

    monkeypatch.setattr(arms, "measure", lambda task: pytest.fail("it is there already"))
    again = Task("another name", tasks[0].config, tmp_path, tmp_path / "runs")
    assert run_all([again])[0] == json.loads(tasks[0].row.read_text())


def test_beginnings_have_no_part_in_the_last_stage():
    slow = override(CONFIG, ["training.stages.omni.lr_scale=0.5"])
    assert beginning_of(slow) == beginning_of(CONFIG)
    assert [s.name for s in beginning_of(CONFIG).training.stages] == ["vision", "audio"]


def test_curves_are_means_over_stretches_and_logs_have_every_step():
    metrics = [
        {"step": n, "lr": 1.0, "loss": float(n), "facts": {"word": 2.0} if n == 90 else {}}
        for n in range(120)
    ]
    curves = thinned(metrics)
    assert curves["step"][:2] == [0.5, 2.5] and curves["loss"][0] == 0.5
    assert curves["facts.word"].count(None) == len(curves["step"]) - 1
    lines = as_csv(metrics).splitlines()
    assert lines[0] == "step,lr,loss,facts.word" and len(lines) == 121
    assert lines[91] == "90,1,90,2" and lines[1] == "0,1,0,"


def test_a_gain_compares_the_best_of_each_side_seed_by_seed():
    choice = replace(CHOICES["O16"], gains=(Gain("a|b", "plain", "x"),))
    found = numbers(choice, {"plain": row(0.5), "a": row(0.4), "b": row(0.75)})
    assert found["gain.a|b.over.plain"] == pytest.approx(0.25)
    assert found["against_plain.a"] == pytest.approx(-0.1)
    assert scores(row(0.4))["mean.accuracy.both"] == 0.4


def test_a_try_is_chosen_by_the_other_seeds_only():
    lucky = [[1.0, 0.2, 0.2], [0.3, 0.6, 0.6]]
    assert [chosen(lucky, seed) for seed in range(3)] == [1, 0, 0]
    assert chosen([[0.1], [0.2]], 0) == 1
    assert len({len(tries) for tries in TRIES.values()}) == 1, "as many tries for every recipe"


def test_the_best_possible_accuracy_is_what_is_not_lost_and_a_guess_of_the_rest():
    best = best_possible(row(0.5), CHANCE)
    assert best["colour"] == pytest.approx(0.8 + 0.2 / 8)
    assert best["word"] == pytest.approx(0.6 + 0.4 / 24)
    assert best["shape_to_colour"] == pytest.approx(0.48 + 0.52 / 8)


def test_jobs_are_refused_where_runs_cannot_go_side_by_side(capsys):
    from omni_lab.cli.main import main

    assert main(["reproduce", "demo", "--jobs", "2"]) == UsageError("").exit_code
    assert "--jobs 2: demo runs one after the other" in capsys.readouterr().err


def test_workers_end_with_a_run_that_is_killed():
    program = (
        "import time\n"
        "from omni_lab.reproduce.arms import pooled\n"
        "if __name__ == '__main__':\n"
        "    pooled([[(time.sleep, 600)] * 2], 2, 'naps')\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    workers = _until(
        lambda: {p.pid for p in psutil.Process(run.pid).children()} if _busy(run) else ()
    )
    run.kill()
    run.wait()
    assert _until(lambda: not any(psutil.pid_exists(pid) for pid in workers))


def _busy(run: subprocess.Popen) -> bool:
    """Whether both workers of a run are there, beside the process that tracks its resources."""
    return len(psutil.Process(run.pid).children()) == 3


def _until(found: Callable, most: float = 60.0) -> object:
    """What `found` gives as soon as it is something; its last answer after `most` seconds."""
    end = time.monotonic() + most
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.1)
    return value
