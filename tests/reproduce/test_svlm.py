"""`omni-lab reproduce svlm` and `svlm_map`: what is run, what is said of it, and the quick forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omni_lab.check.selection import telling
from omni_lab.config import tiny
from omni_lab.reproduce.experiments import svlm, svlm_map
from omni_lab.reproduce.runs import svlm as runs
from omni_lab.reproduce.runs.svlm import STEPS, auc

ROWS = Path(__file__).parents[2] / "results" / "svlm" / "rows"


def test_arms_have_equal_steps_but_for_those_that_say_otherwise():
    steps = {one.arm.split("|")[0]: one.steps for one in svlm.trainees(range(1))}
    other = {arm: count for arm, count in steps.items() if count != STEPS}
    assert other == {
        "standard, 60 % of steps": 120,
        "standard, 150 % of steps": 300,
        "reference": 100,
    }


def test_every_run_has_a_name_of_its_own():
    for todo in (svlm.trainees(range(2)), svlm_map.trainees(range(2))):
        names = [(one.arm, one.seed) for one in todo]
        assert len(set(names)) == len(names)


def test_what_was_recorded_is_found_and_not_run_again():
    """Rows are named by all settings of a run: a change of how these are made up would lose them."""
    some = svlm.trainees(range(4))[::23]
    lost = [one.arm for one in some if not runs.row_of(one, tiny(), ROWS, Path("runs")).is_file()]
    assert len(some) > 10 and not lost


def test_trainees_beside_any_reference_see_the_same_captions_for_as_many_steps():
    by_cell: dict[str, set] = {}
    for one in svlm_map.trainees(range(1)):
        if "|" in one.arm:
            begins, wrong = one.arm.split("|")[1].split(" ")[0], one.wrong
            by_cell.setdefault(f"{begins} {wrong}", set()).add((one.pictures, one.steps, one.first))
    assert len(by_cell) == 6
    assert all(len(found) == 1 for found in by_cell.values())


def test_the_area_under_the_curve_counts_ties_half():
    positive = np.array([True, False, True, False])
    assert auc(np.array([4.0, 3.0, 2.0, 1.0]), positive) == 0.75
    assert auc(np.ones(4), positive) == 0.5
    assert np.isnan(auc(np.ones(4), np.ones(4, bool)))
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 40, 500) / 10, rng.random(500) < 0.3
    assert auc(scores, positive) == pytest.approx(telling.auc.right(scores, positive), abs=1e-12)


def test_the_switch_is_held_against_the_rule_that_is_best_on_average():
    metrics = {
        "accuracy.excess.x": [0.9, 0.5],
        "accuracy.history.x": [0.6, 0.7],
        "accuracy.switch.x": [0.8, 0.6],
        "accuracy.oracle.x": [1.0, 1.0],
    }
    found = svlm.behind(metrics, {"x": "accuracy.{}.x"})
    assert found["switch_behind.x"] == pytest.approx([0.1, -0.1])


def rows_of(todo, *_):
    """Rows as runs would give them, accuracy and losses drawn at random."""
    rng = np.random.default_rng(0)
    look = dict.fromkeys(("step", "excess", "reference", "loss", "slope"), 0.5)
    return [
        {
            "arm": one.arm, "seed": one.seed, "accuracy": rng.uniform(), "loss": rng.uniform(0.1, 2),
            "kept": {f"type_{n}": [0.6] * 4 for n in (1, 2, 3)} if one.selection else {},
            "looked": [look | {"step": step} for step in (1, 2)] if one.clean else [],
            "seconds": 1.0,
        }
        for one in todo
    ]  # fmt: skip


@pytest.mark.parametrize(("experiment", "seeds"), [(svlm, 2), (svlm_map, 3)])
def test_a_record_judges_every_criterion_and_has_a_picture(
    experiment, seeds, tmp_path, monkeypatch
):
    monkeypatch.setattr(runs, "run_trainees", rows_of)
    record = experiment.reproduce(tiny(), seeds, tmp_path / "results", tmp_path / "runs")
    assert set(record["claims"]) == {criterion.claim for criterion in experiment.CRITERIA}
    assert all(len(one["seeds"]) == seeds for one in record["metrics"].values())
    assert len(list(tmp_path.rglob("*.png"))) == 1
