"""Figures of phases: what is fitted is drawn where it is, causes are named, nothing missing is an error."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from figures import gids, words
from omni_lab.analysis.logs.curve import Curve, Event, Log
from omni_lab.analysis.phases.find import find_phases
from omni_lab.analysis.phases.simulated import Conditions, broken, log_steps, noise
from omni_lab.plots.training.phase_calibration import draw_phase_calibration
from omni_lab.plots.training.phases import draw_phases

BREAKS = (99, 599)
STEPS = np.arange(2000, dtype=np.float64)


def curve(name, log_loss, seed):
    drawn = noise(Conditions(2000, 0.05), np.random.default_rng(seed))
    return Curve(name, STEPS, np.exp(log_loss + drawn))


def log(seed, first=0.0, events=()):
    x = log_steps(2000)
    total = broken(x, [np.log(b + 1) for b in BREAKS], [-0.5, -0.05, -1.0])
    falls = 0.7 - 1.5 / (1 + np.exp(-(x - np.log(400)) / 0.15))
    parts = {
        "loss": total, "facts.colour": falls, "senses.audio": falls, "facts.word": np.zeros(2000),
    }  # fmt: skip
    curves = {
        name: Curve(name, STEPS + first, curve(name, y, seed + i).values)
        for i, (name, y) in enumerate(parts.items())
    }
    return Log(f"seed {seed}", "loss", curves, {}, None, tuple(events), ())


@pytest.fixture(scope="module")
def found():
    switch = Event(1800.0, "data", "new data")
    return find_phases([log(1, events=[switch]), log(11)], draws=39)


def test_the_fit_and_its_breaks_lie_where_they_were_found(found):
    figure = draw_phases({**found, "runs": found["runs"][:1]})
    ax = figure.axes[0]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    fit = gids(figure, "fit:")["fit:0"]
    row = found["runs"][0]["stretches"][0]
    np.testing.assert_allclose(fit.get_ydata(), row["fit"]["fitted"])
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "break"]
    np.testing.assert_allclose(dots, [at["step"] + 1 for at in row["breaks"]])
    assert {"three phases", "loss (nats per token)", "step + 1, from the beginning"} <= set(
        words(figure)
    )
    assert "new data" in words(figure) and len(gids(figure, "cause")) == 1
    assert "three phases" in figure.alt and "seed 1" in figure.alt


def test_steps_count_from_the_beginning_of_the_stage():
    later = find_phases([log(1, first=5000.0)], draws=19, parts=False)
    fit = gids(draw_phases(later), "fit:")["fit:0"]
    assert fit.get_xdata()[0] == pytest.approx(1) and fit.get_xdata()[-1] < 2001


def test_seeds_share_a_panel_with_a_band_and_the_title_counts_them(found):
    figure = draw_phases(found)
    assert "three phases (2 of 2)" in words(figure)
    assert len(gids(figure, "fit:")) == 2 and len(figure.axes[0].collections) >= 1


def test_each_fact_and_sense_has_a_small_panel_in_the_order_in_which_they_fall(found):
    titles = [ax.get_title(loc="left") for ax in draw_phases(found).axes[1:] if ax.get_visible()]
    assert [title.split("\n")[0] for title in titles][-1] == "word"
    assert titles[-1].endswith("no sure drop")
    assert all("half-way at step" in title for title in titles[:2])
    bare = copy.deepcopy(found)
    for run in bare["runs"]:
        del run["stretches"][0]["drops"]
    assert len(draw_phases(bare).axes) == 1


def test_a_break_with_a_logged_cause_is_hollow():
    switched = find_phases([log(1, events=[Event(BREAKS[1], "data", "new data")])], parts=False)
    figure = draw_phases(switched)
    faces = [a.get_markerfacecolor() for a in figure.axes[0].lines if a.get_gid() == "break"]
    assert "white" in faces and len(set(faces)) == 2
    assert "break with a logged cause" in words(figure)


def test_what_has_no_segments_is_a_notice_with_the_reason():
    short = Log(
        "short", "loss", {"loss": Curve("loss", np.arange(9.0), np.ones(9))}, {}, None, (), ()
    )
    (text,) = words(draw_phases(find_phases([short])))
    assert "too few points: 9" in text


def calibration():
    answers = {"omni_lab": {"n": 4, "yes": 1, "interval": [0.05, 0.7]}}
    details = {
        "intervals": {
            "power": {"n": 64, "yes": 1, "interval": [0.0, 0.08]},
            "three": {"n": 18, "yes": 17, "interval": [0.74, 0.99]},
        },
        "says_plateau": {"power": answers, "three": answers},
    }
    cells = [
        {
            "family": "three", "steps": steps, "sigma": sigma, "colour": "white",
            "verdicts": {"three phases": 3, "no plateau": 1},
        }
        for steps in (300, 3000) for sigma in (0.02, 0.1)
    ]  # fmt: skip
    return {"details": details}, cells


def test_calibration_draws_rates_with_their_intervals():
    record, cells = calibration()
    figure = draw_phase_calibration(record, cells)
    assert "power 1 of 64; three 17 of 18" in figure.alt
    assert {"power  (n = 64)", "three phases found"} <= set(words(figure))
    rates = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert rates == [1 / 64, 17 / 18]
    found = [line.get_ydata() for line in figure.axes[1].lines if len(line.get_ydata()) == 2]
    assert all((np.asarray(y) == 0.75).all() for y in found) and len(found) == 2


def test_a_calibration_without_losses_is_a_notice():
    record, _ = calibration()
    assert words(draw_phase_calibration(record, [])) == ["No simulated loss was judged."]
