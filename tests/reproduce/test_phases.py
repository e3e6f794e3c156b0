"""Calibration of the phase finder: what its numbers mean, which losses it promises, and what peers are asked."""

from __future__ import annotations

import pytest

from omni_lab.analysis.phases.rule import NONE, OPEN, THREE, TWO
from omni_lab.analysis.phases.simulated import FAMILIES, Conditions, simulate
from omni_lab.reproduce.experiments import phases
from omni_lab.reproduce.experiments.phases import (
    CRITERIA,
    NULLS,
    conditions,
    measured,
    numbers,
    plateaus_seen,
    stated,
    table,
)
from omni_lab.reproduce.experiments.phases_peers import VERSIONS, peers_say


def row(family, verdict, steps=1000, sigma=0.05, colour="white", **more):
    about = {"family": family, "steps": steps, "sigma": sigma, "colour": colour}
    return {**about, "verdict": verdict, "peers": {"trainspotter": True}, **more}


def test_only_a_verdict_of_three_phases_is_a_false_alarm_and_every_condition_counts():
    rows = [row(name, verdict) for name in FAMILIES for verdict in (TWO, NONE, OPEN)]
    rows += [row("power", THREE, steps=300, colour="red")]
    found = numbers(rows)
    assert found["false_alarms.power"] == 1 / 4 and found["false_alarms.two"] == 0
    assert found["undecided.power"] == 1 / 4


def test_detection_is_judged_at_the_stated_noise_and_reported_beyond():
    rows = [row(name, NONE) for name in FAMILIES]
    rows += [row("three", THREE), row("three", NONE, colour="ar .9"), row("three", NONE, steps=300)]
    found = numbers(rows)
    assert found["found.three"] == 1 / 2 and found["found_anywhere.three"] == 1 / 4
    assert [stated(one) for one in rows[-3:]] == [True, False, False]
    assert not stated(row("three", THREE, sigma=0.2))


def test_coverage_and_error_are_those_of_both_breaks():
    hit, miss = {"covered": True, "error": 0.02}, {"covered": False, "error": 0.3}
    rows = [row(name, NONE) for name in FAMILIES]
    rows += [row("three", THREE, breaks=[hit, miss]), row("three", THREE, breaks=[hit, hit])]
    found = numbers(rows)
    assert found["breaks.covered"] == 3 / 4 and found["breaks.error"] == 0.02


def test_every_null_family_has_a_bound_on_false_alarms():
    bounds = {c.metric: c.bound for c in CRITERIA if c.metric.startswith("false_alarms.")}
    assert bounds == {f"false_alarms.{name}": 0.05 for name in NULLS}
    assert len(NULLS) == 8


def test_conditions_cross_every_length_strength_and_colour_and_no_seed_comes_twice():
    every = list(conditions(quick=False))
    assert len({(c.steps, c.sigma, c.colour) for c in every}) == len(every) == 64
    assert 20 <= sum(c.spikes for c in every) <= 22
    assert 1 <= len(list(conditions(quick=True))) <= 16


def test_a_measured_loss_is_a_row_with_the_intervals_against_the_truth():
    one = measured("three", Conditions(1000, 0.05), 4)
    assert one["verdict"] == THREE and len(one["breaks"]) == 2
    assert all(at["error"] < 0.3 for at in one["breaks"])
    assert table([one, one])[0]["verdicts"] == {THREE: 2}


def test_what_peers_say_is_counted_only_where_they_are_installed():
    rows = [row(name, TWO) for name in FAMILIES] + [row("power", NONE)]
    for one in rows:
        one["peers"] = {"trainspotter": None, "runmedic": False}
    seen = plateaus_seen(rows)["power"]
    assert seen["omni_lab"]["yes"] == 1 and seen["omni_lab"]["n"] == 2
    assert "trainspotter" not in seen and seen["runmedic"] == {**seen["runmedic"], "n": 2, "yes": 0}


@pytest.mark.skipif(None in VERSIONS.values(), reason="needs the extra `peers`")
def test_peers_see_a_stall_and_not_a_steep_fall():
    import numpy as np

    from omni_lab.analysis.logs.curve import Curve, Log

    steps = np.arange(1000.0)
    rates = Curve("lr", steps, np.full(1000, 1e-3))

    def asked(values):
        return peers_say(
            Log("run", "loss", {"loss": Curve("loss", steps, values)}, {}, rates, (), ())
        )

    wiggle = 1 + 0.001 * np.cos(steps)
    stalled = np.where(
        steps < 300, 4 - steps / 300, np.where(steps < 700, 3.0, 3 - (steps - 700) / 120)
    )
    assert asked(stalled * wiggle)["trainspotter"]
    assert asked(np.where(steps < 500, 4 - steps / 500, 3.0) * wiggle)["runmedic"]
    assert not any(asked((4 - steps / 300) * wiggle).values())


def test_a_quick_run_writes_record_table_and_figure(monkeypatch, tmp_path):
    from omni_lab.config import tiny

    few = {name: FAMILIES[name] for name in ("power", "three")}
    monkeypatch.setattr(phases, "FAMILIES", few)
    monkeypatch.setattr(phases, "conditions", lambda quick: iter([Conditions(1000, 0.05)]))
    record = phases.reproduce(tiny(), 3, tmp_path / "results", tmp_path / "runs", quick=True)
    assert record["details"]["losses"] == 2 and record["seeds"] == [0]
    assert (tmp_path / "results" / "phases-quick" / "calibration.json").exists()
    assert (tmp_path / "figures" / "phases-quick-calibration.png").exists()
    made = sorted((tmp_path / "runs" / "reproduce-phases-quick").iterdir())
    assert [path.name for path in made] == ["power-0.json", "three-0.json"]
    monkeypatch.setattr(phases, "measured", None)  # a second run measures nothing again
    again = phases.reproduce(tiny(), 3, tmp_path / "results", tmp_path / "runs", quick=True)
    assert again["metrics"] == record["metrics"]


def test_the_truth_of_a_simulation_comes_with_its_log():
    made = simulate("three", Conditions(1000, 0.0), 1)
    assert made.three_phases and len(made.breaks) == 2 and made.log.rates is not None
