"""Instruction mixtures: percentages, what is claimed of curves, and the quick form."""

import json

import numpy as np
import pytest

from omni_lab.config import override, tiny
from omni_lab.data.instruct.mixture import percentages_of
from omni_lab.plots.training.surfaces import draw_mixtures
from omni_lab.reproduce.experiments import mixture
from omni_lab.reproduce.experiments.mixture import (
    CRITERIA,
    EQUAL,
    IMPORTANCE,
    MIXTURES,
    compared,
    curve_numbers,
    false_parts,
    mixtures,
    named,
    noise,
    without_many,
)
from omni_lab.reproduce.runs.mixture import Sizes, Trial, instructed, run_trials
from omni_lab.training.branches.branch import branch_config
from omni_lab.training.branches.curve import Branching
from omni_lab.training.branches.held_out import AVERAGE
from omni_lab.training.rules.schedules import learning_rate_factor
from omni_lab.world.instruct.examples import TASKS


def test_every_mixture_is_percentages_that_a_mixture_takes():
    drawn = mixtures(0, MIXTURES)
    assert drawn[:2] == [EQUAL, IMPORTANCE] and len({*drawn}) == MIXTURES
    assert all(set(percentages_of(named(percent))) == set(TASKS) for percent in drawn)
    assert sum(max(percent) == 95 for percent in drawn) >= 6
    assert mixtures(1, MIXTURES)[8:] != drawn[8:] == mixtures(0, MIXTURES)[8:]
    assert set(percentages_of(named(without_many()))) == {*TASKS} - {"compare", "order"}


def test_one_budget_has_the_rates_of_a_trunk_and_its_branch():
    sizes = Sizes()
    (alone,) = instructed(tiny(), 0, sizes).training.stages
    end = sizes.budget * sizes.part
    branching = Branching(sizes.ends, sizes.extra)
    trunk = branching.trunk_config(instructed(tiny(), 0, sizes))
    (branch,) = branch_config(trunk, end, branching.branch_steps(end)).training.stages
    assert alone.steps == branch.steps
    rates = [[learning_rate_factor(n, s, 20) for n in range(s.steps)] for s in (alone, branch)]
    assert rates[0] == rates[1]


def test_checkpoints_of_a_merge_lie_in_a_fraction_of_the_steps_before():
    branching = Branching((50, 400), merged=5, window=0.2)
    assert branching.merge_steps(50) == (42, 44, 46, 48, 50)
    assert branching.merge_steps(400) == (320, 340, 360, 380, 400)
    assert Branching((50,), merged=3, apart=7).merge_steps(50) == (36, 43, 50)


def curve(*averages, text=0.0):
    """Row of a curve: averages of the branches, of which text falls by so much at every part."""
    points = []
    for part, average in enumerate(averages):
        scores = dict.fromkeys((*TASKS, AVERAGE), average) | {"text": 0.8 - part * text}
        merge = scores | {AVERAGE: average - 0.02}
        points.append({"trunk": scores | {AVERAGE: 0.1}, "branch": scores, "merge": merge})
    return {"before": points[0]["trunk"], "points": points}


def test_a_curve_that_rises_and_falls_is_told_from_one_that_rises_only():
    found = curve_numbers(curve(0.4, 0.6, 0.6, 0.5, text=0.1), curve(0.4, 0.2))
    assert found["curve.rise"] == pytest.approx(0.2)
    assert found["curve.fall"] == pytest.approx(-0.1)
    assert found["curve.text"] == pytest.approx(-0.2)
    assert found["curve.text_beside_others"] == pytest.approx(-0.1)
    assert found["curve.merge_behind"] == pytest.approx(0.02)
    assert found["needed.compare_and_order"] == pytest.approx(0.3)
    assert curve_numbers(curve(0.4, 0.6, 0.7, 0.8), curve(0.4))["curve.fall"] > 0
    up, down = curve(1, 2, 3), curve(3, 2, 1)
    assert false_parts([up, up, down, up]) == [0.0, 0.0, 1.0, 0.0]


def test_confirmation_compares_means_over_orders_and_noise_is_between_orders_of_one_mixture():
    def row(average):
        return {"seed": 0, "scores": {AVERAGE: average}}

    rows = [
        ("optimum", row(0.7)), ("optimum", row(0.8)), ("equal", row(0.7)),
        ("importance", row(0.6)), ("importance", row(0.7)),
    ]  # fmt: skip
    found = compared(rows)
    assert found["confirmed.optimum_over_importance"] == pytest.approx(0.1)
    assert found["confirmed.optimum_over_equal"] == pytest.approx(0.05)
    assert noise(rows) == pytest.approx(0.1 / 2**0.5)


def rows_of(trials, *_):
    """Rows as runs would give them, scores drawn at random."""
    rng = np.random.default_rng(0)

    def scores():
        found = {task: rng.uniform() for task in TASKS}
        return found | {AVERAGE: float(np.mean([*found.values()]))}

    def row(trial):
        if not trial.curve:
            return {"scores": scores(), "seconds": 1.0}
        kinds = ("trunk", "branch", "merge")
        points = [{kind: scores() for kind in kinds} for _ in Sizes().parts]
        return {"before": scores(), "points": points}

    return [{"seed": trial.seed, **row(trial)} for trial in trials]


def test_a_record_judges_every_criterion_and_has_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(mixture, "run_trials", rows_of)
    monkeypatch.setattr(mixture, "MIXTURES", 24)
    mixture.reproduce(tiny(), 3, tmp_path / "results", tmp_path / "runs")
    kept = json.loads((tmp_path / "results" / "mixture" / "record.json").read_text())
    assert [judged["metric"] for judged in kept["criteria"]] == [c.metric for c in CRITERIA]
    assert (tmp_path / "figures" / "mixture.png").is_file()
    assert "Instruction mixtures, 3 seeds" in draw_mixtures(kept).alt


def test_a_mixture_is_run_once_and_little_is_kept_of_it(tmp_path):
    config = override(tiny(), mixture.QUICK_SETTINGS)
    trials = [Trial(0, named(IMPORTANCE), 0), Trial(0, named(IMPORTANCE), 0, curve=True)]
    places = (mixture.QUICK_SIZES, tmp_path / "rows", tmp_path / "runs")
    single, whole = run_trials(trials, config, *places)
    assert all(0 <= single["scores"][name] <= 1 for name in (*TASKS, AVERAGE))
    assert [set(point) >= {"trunk", "branch", "merge"} for point in whole["points"]] == [True, True]
    assert not any((tmp_path / "runs" / "mixture").iterdir()), "what is kept of a run is small"

    again = run_trials(trials, config, *places[:2], tmp_path / "elsewhere")
    assert again == [single, whole] and not (tmp_path / "elsewhere").exists()
