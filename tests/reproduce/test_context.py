"""Context experiment: settings of each arm, reused stages, metrics, criteria, figures."""

import json

import numpy as np
import pytest

from omni_lab.config import override, tiny
from omni_lab.model.rope import turns
from omni_lab.plots.training.rotary import draw_turns
from omni_lab.reproduce.experiments.context import (
    ARMS,
    CRITERIA,
    KINDS,
    QUICK,
    SETTINGS,
    TRAINED,
    curve,
    grown,
    middle,
    numbers,
    reproduce,
    settings,
    trials,
)

CONFIG = override(tiny(), SETTINGS)


def trained_on(arm):
    """Context stages of an arm, and their training tokens."""
    stages = grown(override(CONFIG, settings(arm, CONFIG)))
    return stages, sum(stage.steps * stage.batch_size * stage.max_tokens for stage in stages)


def test_every_trained_arm_learns_from_the_same_number_of_tokens_and_differs_as_it_says():
    whole, tokens = trained_on("progressive")
    for arm in TRAINED:
        stages, own = trained_on(arm)
        assert own == pytest.approx(tokens, rel=0.01)
        assert stages[-1].max_tokens == whole[-1].max_tokens

    (direct,), _ = trained_on("direct")
    assert (direct.max_tokens, direct.rope_theta) == (2048, whole[-1].rope_theta)
    thetas = [stage.rope_theta for stage in trained_on("fixed_theta")[0]]
    assert thetas == [whole[0].rope_theta] + [whole[1].rope_theta] * 6
    packed = override(CONFIG, settings("packed_only", CONFIG)).world.haystack.levels
    assert [level.real for level in packed] == [1.0] * 2 + [0.0] * 5
    assert {level.real for level in CONFIG.world.haystack.levels} == {1.0}


def test_what_is_asked_reaches_twice_as_far_as_training_and_a_film_has_a_thousand_frames():
    asked = trials(CONFIG, "progressive")
    assert list(asked) == [64, middle(CONFIG).max_tokens, 2048, 4096]
    assert max(asked) <= CONFIG.sequence.max_tokens
    assert asked[2048] == 60 and asked[4096] == 15
    assert trials(CONFIG, "direct") == {64: 15, 256: 15, 2048: 15}
    mark = CONFIG.world.haystack.mark
    assert 2048 * mark / (mark + 1) - (mark + 1) > 1024


def cells(accuracy, control=0.0):
    at = [(length, depth) for length in (64, 2048) for depth in (None, 0.0, 1.0)]
    return [
        {"kind": kind, "length": length, "depth": depth, "present": depth is not None,
         "accuracy": control if depth is None else accuracy - 0.1 * (depth == 1.0),
         "chance": 0.1, "total": 10, "right": 0}
        for kind in KINDS for length, depth in at
    ]  # fmt: skip


def test_numbers_are_means_over_depths_the_worst_depth_and_differences_at_the_longest_length():
    found = {
        arm: {"cells": cells(0.5), "trained": 2048, "tokens": 1, "seconds": 2.0, "curve": {}}
        for arm in ARMS
    }
    found["progressive"]["cells"] = cells(1.0, control=0.15)
    flat = numbers(found, 2048)
    assert flat["progressive.what.2048"] == pytest.approx(0.95) and flat[
        "progressive.what.worst"
    ] == pytest.approx(0.9)
    assert flat["progressive.text.luck"] == pytest.approx(0.05) and flat[
        "direct.when.64"
    ] == pytest.approx(0.45)
    assert flat["progressive-direct.text"] == pytest.approx(0.5)
    assert {criterion.metric for criterion in CRITERIA} <= set(flat)


def test_a_curve_has_windows_of_about_as_many_tokens_and_their_means_weigh_tokens():
    steps = [{"tokens": 1, "loss": 8.0}] * 2000 + [{"tokens": 100, "loss": 2.0}] * 60
    drawn = curve(steps)
    assert len(drawn["tokens"]) == len(drawn["loss"]) <= 80 and drawn["tokens"][-1] == 8000
    assert drawn["loss"][0] == 8.0 and drawn["loss"][-1] == 2.0
    widths = np.diff([0, *drawn["tokens"]])
    assert widths.max() <= 200 and np.dot(widths, drawn["loss"]) == pytest.approx(
        2000 * 8 + 6000 * 2
    )
    assert curve([]) == {"tokens": [], "loss": []}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    return folder, reproduce(tiny(), 1, folder / "results", folder / "runs", quick=True)


def test_a_quick_run_records_every_arm_and_draws_its_figures(quick):
    folder, record = quick
    assert json.loads((folder / "results" / "context-quick" / "record.json").read_text()) == record
    assert [one["model"] for one in record["details"]["maps"]] == list(ARMS)
    for one in record["details"]["maps"]:
        lengths = {64, 128, 256} if one["model"] == "progressive" else {64, 128}
        assert {cell["length"] for cell in one["cells"]} == lengths
        assert {cell["total"] for cell in one["cells"]} <= {1, 2}
    curves = record["details"]["curves"]
    tokens = [curves[arm][0]["tokens"] for arm in TRAINED]
    assert list(curves) == list(TRAINED) and {ends[-1] for ends in tokens} == {512}
    assert tokens[1] == [128, 256, 384, 512]
    assert set(record["claims"]) == {criterion.claim for criterion in CRITERIA}
    for name in ("context-quick", "context-quick-learning", "context-quick-rope"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000


def test_arms_begin_with_the_same_weights_and_then_differ(quick):
    folder, _ = quick
    checkpoints = {
        arm: folder / "runs" / f"reproduce-context-quick-30-{arm}" / "checkpoints"
        for arm in TRAINED
    }
    names = {
        arm: sorted(path.name for path in there.iterdir()) for arm, there in checkpoints.items()
    }
    assert names["direct"] == ["context-128-000004", "sight-000002"]
    assert names["progressive"] == names["fixed_theta"] == names["packed_only"]

    # bytes tell one training from another
    begun = {
        (there / "sight-000002" / "model.safetensors").read_bytes()
        for there in checkpoints.values()
    }
    assert len(begun) == 1

    for stage, ways in (
        ("context-32-000002", 1),
        ("context-64-000001", 1),
        ("context-128-000001", 3),
    ):
        models = {
            (checkpoints[a] / stage / "model.safetensors").read_bytes()
            for a in TRAINED
            if a != "direct"
        }
        assert len(models) == ways, stage


def test_the_picture_of_turns_draws_what_theory_says():
    stages = [{"length": 32, "theta": 100.0}, {"length": 2048, "theta": 409_600.0}]
    picture = draw_turns(32, stages)
    lines = {line.get_label(): line.get_ydata() for line in picture.axes[0].lines}
    np.testing.assert_allclose(lines["2,048 · θ 410K"], turns(32, 409_600.0, 2048))
    np.testing.assert_allclose(lines["2,048 · θ 100, not raised"], turns(32, 100.0, 2048))
    assert "32 tokens, θ 100: 6 of 16" in picture.alt
    assert "No stage" in draw_turns(32, []).alt


def test_the_quick_settings_are_the_real_ones_made_small():
    config = override(CONFIG, QUICK)
    assert [stage.max_tokens for stage in grown(config)] == [32, 64, 128]
    heads = "previous_token_init"
    assert getattr(config.model.decoder, heads) == getattr(CONFIG.model.decoder, heads)
