"""Phases of a loss: three are found where they are, and neither noise, switches nor decay pass for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from omni_lab.analysis.logs.curve import Curve, Event, Log
from omni_lab.analysis.phases.causes import stretches
from omni_lab.analysis.phases.find import find_phases
from omni_lab.analysis.phases.rule import NONE, OPEN, THREE, TWO, Segment, judge
from omni_lab.analysis.phases.simulated import Conditions, broken, log_steps, noise, simulate
from omni_lab.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parents[2]
BREAKS = (99.0, 599.0)


def three(steps=2000, sigma=0.05, colour="white", seed=0, spikes=False):
    """Log whose loss has three phases, with breaks at steps 99 and 599."""
    x = log_steps(steps)
    shape = broken(x, [np.log(b + 1) for b in BREAKS], [-0.5, -0.05, -1.0])
    drawn = noise(Conditions(steps, sigma, colour, spikes), np.random.default_rng(seed))
    return as_log(np.exp(shape + drawn))


def as_log(values, events=(), rates=None, start=0.0, **parts):
    steps = start + np.arange(len(values), dtype=np.float64)
    curves = {"loss": Curve("loss", steps, np.asarray(values, np.float64))}
    curves |= {name: Curve(name, steps, np.asarray(part)) for name, part in parts.items()}
    rates = None if rates is None else Curve("lr", steps, rates)
    return Log("run", "loss", curves, {}, rates, tuple(events), ())


def verdict(log, **how):
    run = find_phases([log], parts=False, draws=39, **how)["runs"][0]
    return run["verdict"], run["reason"], run["stretches"]


def test_three_phases_are_found_with_intervals_around_the_true_breaks():
    said, reason, (stretch,) = verdict(three())
    assert said == THREE and "second drop from step" in reason
    first, last = stretch["plateau"]
    found = stretch["breaks"][first - 1], stretch["breaks"][last]
    for at, true in zip(found, BREAKS, strict=True):
        assert abs(np.log((at["step"] + 1) / (true + 1))) < 0.15
        assert at["low"] <= at["step"] <= at["high"] and at["counts"]
    slopes = [part["slope"] for part in stretch["slopes"]]
    assert slopes[last + 1] < -0.8 and slopes[first] > -0.15


@pytest.mark.parametrize("family", ["power", "offset", "transient", "skills", "two", "wsd"])
def test_what_has_no_three_phases_is_not_said_to_have_them(family):
    said, _, _ = verdict(simulate(family, Conditions(1500, 0.05, "ar .5"), 7).log)
    assert said != THREE


def test_smooth_decay_needs_no_break():
    said, reason, (stretch,) = verdict(simulate("offset", Conditions(1500, 0.05), 3).log)
    assert said == NONE and "smooth decay" in reason and stretch["breaks"] == []
    assert stretch["tests"][0]["p"] > 0.05


def test_spikes_do_not_hide_three_phases():
    assert verdict(three(spikes=True))[0] == THREE


def test_a_second_drop_at_a_switch_of_the_data_decides_nothing():
    log = three()
    switched = replace(log, events=(Event(BREAKS[1], "data", "new data"),))
    said, reason, (stretch,) = verdict(switched)
    assert said == OPEN and "new data" in reason
    assert [at["cause"] for at in stretch["breaks"]].count("new data") == 1
    elsewhere = replace(log, events=(Event(1500.0, "data", "new data"),))
    assert verdict(elsewhere)[0] == THREE


def test_a_fall_during_decay_of_the_rate_is_drawn_but_does_not_count():
    x = log_steps(2000)
    factor = np.clip((2000 - np.arange(2000)) / 800, 0.02, 1.0)
    shape = broken(x, [np.log(100.0)], [-0.5, -0.05]) - 1.2 * (1 - factor)
    values = np.exp(shape + noise(Conditions(2000, 0.03), np.random.default_rng(1)))
    said, reason, (stretch,) = verdict(as_log(values, rates=1e-3 * factor))
    assert said == OPEN and "learning-rate decay" in reason
    late = [at for at in stretch["breaks"] if not at["counts"]]
    assert late and all(at["step"] >= 1100 for at in late) and "whole" in stretch

    # the same fall at a constant rate is a phase
    assert verdict(as_log(values, rates=np.full(2000, 1e-3)))[0] == THREE


def test_a_plateau_that_ends_with_the_warm_up_is_explained_by_it():
    rates = np.minimum(1.0, (np.arange(2000) + 1) / (BREAKS[1] + 1)) * 1e-3
    said, reason, _ = verdict(replace(three(), rates=as_log(np.ones(2000), rates=rates).rates))
    assert said == OPEN and "warm-up" in reason


def test_each_stage_is_judged_from_its_own_first_step():
    one, two = three(seed=1), simulate("offset", Conditions(1500, 0.05), 3).log
    values = np.concatenate([two.curves["loss"].values, one.curves["loss"].values])
    log = as_log(values, [Event(0.0, "stage", "vision"), Event(1500.0, "stage", "omni")])
    said, reason, (vision, omni) = verdict(log)
    assert (vision["stage"], vision["verdict"]) == ("vision", NONE)
    assert (omni["stage"], omni["verdict"]) == ("omni", THREE) and said == THREE
    assert reason.startswith("omni: ") and omni["from"] == 1500
    assert abs(omni["breaks"][omni["plateau"][0] - 1]["step"] - 1500 - BREAKS[0]) < 20


def test_the_last_step_of_a_stage_is_its_own():
    log = as_log(np.ones(10), [Event(4.0, "stage", "b")])
    first, second = stretches(log, log.curves["loss"])
    assert first.of(log.curves["loss"]).steps.tolist() == [0, 1, 2, 3]
    assert second.of(log.curves["loss"]).steps.tolist() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full(30, 2.0), "too few points: 30"),
        (np.linspace(2, -1, 200), "loss is not positive"),
        (np.exp(noise(Conditions(300, 0.3, "red"), np.random.default_rng(3)) + 1), ""),
    ],
)
def test_what_cannot_be_decided_says_why(values, words):
    said, reason, _ = verdict(as_log(values))
    assert said in (OPEN, NONE) and words in reason


def test_strong_red_noise_is_too_noisy_to_deny_a_plateau():
    said, reason, _ = verdict(three(steps=400, sigma=0.2, colour="ar .9", seed=5))
    assert said == OPEN and reason.startswith("too noisy")


@settings(max_examples=8, phases=(Phase.explicit, Phase.generate))
@example(seed=0, points=103, sigma=0.0, flat=True)
@given(st.integers(0, 2**31), st.integers(61, 400), st.floats(0, 1), st.booleans())
def test_any_positive_loss_gets_a_verdict_in_plain_json(seed, points, sigma, flat):
    rng = np.random.default_rng(seed)
    walk = np.zeros(points) if flat else np.cumsum(rng.normal(size=points)) * 0.1
    found = find_phases([as_log(np.exp(walk + sigma * rng.normal(size=points)))], draws=19)
    assert found["runs"][0]["verdict"] in (THREE, TWO, NONE, OPEN)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("level", [1.0, 2.0])  # the logarithm of 1 leaves not even rounding
def test_a_loss_without_any_noise_or_change_has_no_plateau(level):
    assert verdict(as_log(np.full(500, level)))[0] == NONE


def test_several_runs_are_counted_and_their_breaks_spread():
    logs = [three(seed=1), three(seed=2), simulate("power", Conditions(1500, 0.05), 3).log]
    found = find_phases(logs, parts=False, draws=39)["over_runs"]
    assert found["in_words"] == "2 of 3 show three phases" and found["verdicts"][THREE] == 2
    spread = found["breaks"]["second_drop_from"]
    assert spread["min"] <= spread["median"] <= spread["max"]
    assert abs(np.log(spread["median"] / BREAKS[1])) < 0.1


def test_faults_of_the_call_are_named():
    with pytest.raises(UsageError, match="no log was given"):
        find_phases([])
    with pytest.raises(UsageError, match="most: 5 breaks; 1 to 4"):
        find_phases([three()], most=5)
    with pytest.raises(InputError, match="run: no curve 'los'; there are loss"):
        find_phases([three()], curve="los")


PROGRAM = """
import hashlib, json
from omni_lab.analysis.phases.find import find_phases
from omni_lab.analysis.phases.simulated import Conditions, simulate
log = simulate("three", Conditions(1000, 0.05, "ar .5"), 5).log
print(hashlib.sha256(json.dumps(find_phases([log], draws=49)).encode()).hexdigest())
"""


def test_threads_and_repetition_change_nothing():
    def digest(threads):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        call = [sys.executable, "-c", PROGRAM]
        env["PYTHONPATH"] = str(ROOT)
        return subprocess.run(call, env=env, capture_output=True, text=True, check=True).stdout

    assert digest("1") == digest("2") != ""


def piece(start, end, slope, error=0.02, independent=100):
    span = float(np.log((end + 1) / (start + 1)))
    return Segment(
        start, end, slope, slope - error, slope + error, span, -slope * span, independent
    )


def test_the_rule_asks_for_margins_and_for_intervals_that_are_apart():
    drop, flat, again = piece(0, 99, -0.5), piece(99, 599, -0.1), piece(599, 2000, -0.9)
    assert judge([drop, flat, again], ["", ""])[0] == THREE
    assert judge([drop, piece(99, 599, -0.3), again], ["", ""])[0] == NONE
    assert judge([drop, flat, piece(599, 2000, -0.19)], ["", ""])[0] == TWO
    assert judge([drop, piece(99, 599, -0.1, error=0.9), again], ["", ""])[0] == NONE
    assert judge([drop, piece(99, 130, -0.1), piece(130, 2000, -0.9)], ["", ""])[0] == NONE
    assert judge([drop, piece(99, 599, 0.4), again], ["", ""])[0] == NONE
    assert judge([drop, piece(99, 599, -0.1, independent=9), again], ["", ""])[0] == NONE
    assert judge([drop, flat, piece(599, 640, -0.9)], ["", ""])[0] == TWO


def test_a_drop_may_bend_and_a_start_or_a_floor_stands_beside_the_three():
    bent = [piece(0, 20, -0.05), piece(20, 60, -0.9), piece(60, 99, -0.5), piece(99, 599, -0.02)]
    bent += [piece(599, 660, -0.5), piece(660, 1500, -1.2), piece(1500, 2000, 0.0)]
    said, _, plateau = judge(bent, [""] * 6)
    assert said == THREE and plateau == (3, 3)
