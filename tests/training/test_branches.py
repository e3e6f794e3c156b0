"""Trunk, decay branches and merges: exact states, a trunk unharmed, kills, refusals by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from instruct_data import Lessons, settings_of
from power_cuts import killed_at
from safetensors.torch import load_file, save_file

from omni_lab.config import override
from omni_lab.errors import ConfigError, InputError, UsageError
from omni_lab.training import checkpoint
from omni_lab.training.branches import branch as room
from omni_lab.training.branches.branch import branch, branch_config
from omni_lab.training.branches.curve import Branching, explore
from omni_lab.training.branches.merging import mean_weights, merge, merged_steps
from omni_lab.training.models import trained
from omni_lab.training.rules.schedules import learning_rate_factor
from omni_lab.training.run import RunFolder, read_config
from omni_lab.training.trainer import train_stages

# rules whose state must go on in a branch, too
CONFIG = settings_of(
    "training.stages.instruct.clip.rule=running", "training.stages.instruct.clip.every=2",
    "training.checkpoint_every=4", "training.stages.instruct.milestones=2,3,4",
)  # fmt: skip
STAGE = CONFIG.training.stages[-1]


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return Lessons(tmp_path_factory.mktemp("chats"), CONFIG)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory, chat):
    """Run folder of six steps at a constant rate."""
    folder = tmp_path_factory.mktemp("trunk") / "run"
    train_stages(CONFIG, RunFolder(folder, CONFIG), [chat(STAGE)], progress=False)
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): (
            hashlib.blake2b(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }  # fmt: skip


def weights(folder, step, file="model.safetensors"):
    return load_file(folder / "checkpoints" / f"instruct-{step:06d}" / file)


def check_equal(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def lines(folder):
    """Metrics of a run, but the time that steps took."""
    found = RunFolder(folder, read_config(folder)).metrics()
    return [{k: v for k, v in line.items() if k != "seconds"} for line in found]


def test_milestones_stay_and_other_checkpoints_go(trunk):
    names = sorted(path.name for path in (trunk / "checkpoints").iterdir())
    assert names == [f"instruct-00000{step}" for step in (2, 3, 4, 6)]


def test_a_branch_that_does_not_decay_is_the_trunk_going_on_bit_by_bit(
    trunk, chat, tmp_path, monkeypatch
):
    """Weights, both optimizers, running thresholds of clipping, data: nothing begins anew."""

    def constant(*arguments):
        config = branch_config(*arguments)
        own = replace(config.training.stages[-1], decay_floor=1.0)
        return replace(config, training=replace(config.training, stages=(own,)))

    monkeypatch.setattr(room, "branch_config", constant)
    branch(trunk, 3, 3, tmp_path / "branch", chat, progress=False)
    assert lines(tmp_path / "branch") == lines(trunk)[3:], "to the last bit"
    for file in ("model.safetensors", "optimizer.safetensors"):
        check_equal(weights(tmp_path / "branch", 6, file), weights(trunk, 6, file))
    ends = [folder / "checkpoints" / "instruct-000006" for folder in (trunk, tmp_path / "branch")]
    states = [checkpoint.controls(end) for end in ends]
    assert states[0] == states[1] and states[0]["clipping"]["limits"]


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
def test_a_branch_decays_to_zero_from_where_its_trunk_stood(shape):
    stage = branch_config(CONFIG, 4, 10, shape).training.stages[-1]
    factors = [learning_rate_factor(step, stage, 1) for step in range(15)]
    assert factors[:5] == [1.0] * 5
    assert all(a > b for a, b in pairwise(factors[4:]))
    assert factors[14] == 0 and 0 < factors[13] < 0.11
    half = {"linear": 0.5, "cosine": 0.5, "exponential": 0.0759}[shape]
    assert factors[9] == pytest.approx(half, abs=1e-3)


def test_a_trunk_is_the_same_bytes_after_branches_and_merges(trunk, chat, tmp_path):
    before = contents(trunk)
    branch(trunk, 4, 2, tmp_path / "branch", chat, progress=False)
    merge(trunk, (2, 3, 4), tmp_path / "merge")
    assert contents(trunk) == before
    rates = [line["lr"] for line in lines(tmp_path / "branch")]
    assert rates == pytest.approx([lines(trunk)[0]["lr"], lines(trunk)[0]["lr"] / 2])


def test_a_branch_killed_at_any_write_goes_on_to_the_same_bits(trunk, chat, tmp_path):
    config = override(CONFIG, ["training.checkpoint_every=1"])
    own = shutil.copytree(trunk, tmp_path / "trunk")
    (own / "config.json").write_text(json.dumps(room.to_dict(config)))
    branch(own, 4, 3, tmp_path / "whole", chat, progress=False)

    killed = tmp_path / "killed"
    died = [
        killed_at(killed, at, lambda: branch(own, 4, 3, killed, chat, progress=False))
        for at in (1, 9, 20, 40)
    ]
    assert died[:3] == [True] * 3
    branch(own, 4, 3, killed, chat, progress=False)
    assert lines(killed) == lines(tmp_path / "whole")
    check_equal(weights(killed, 7), weights(tmp_path / "whole", 7))
    assert not list((killed / "checkpoints").glob("*.tmp"))


def test_a_branch_does_not_go_on_with_other_data_than_its_trunk_had(trunk, chat, tmp_path):
    other = Lessons(tmp_path, CONFIG)  # other files, of the same content
    with pytest.raises(InputError, match="stage instruct began with other data"):
        branch(trunk, 4, 2, tmp_path / "branch", other, progress=False)


def test_what_has_no_sound_checkpoint_is_refused_by_name(trunk, chat, tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint of step 5 .*instruct.milestones=5"):
        branch(trunk, 5, 2, tmp_path / "branch", chat, progress=False)
    own = shutil.copytree(trunk, tmp_path / "trunk")
    (own / "checkpoints" / "instruct-000003" / "optimizer.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="instruct-000003: damaged, optimizer.safetensors has"):
        branch(own, 3, 2, tmp_path / "branch", chat, progress=False)
    with pytest.raises(InputError, match="instruct-000003: damaged"):
        merge(own, (2, 3), tmp_path / "merge")
    assert not (tmp_path / "branch").exists() and not (tmp_path / "merge").exists()
    with pytest.raises(InputError, match="holds a run with other settings"):
        branch(trunk, 3, 2, trunk, chat, progress=False)


def test_a_branch_whose_data_end_before_it_does_begins_nothing(trunk, chat, tmp_path):
    with pytest.raises(UsageError, match="14 steps read 56 samples, parts 1 to 4 hold 48"):
        branch(trunk, 6, 8, tmp_path / "branch", chat, progress=False)
    assert not (tmp_path / "branch").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("schedule=wsd", "schedule=wsd; a trunk has schedule=constant"),
        ("align_fraction=.5", "align_fraction is measured in fractions of its steps"),
        ("curriculum_fraction=.5", "curriculum_fraction is measured"),
        ("interaction=text>image=0:1@0.5", "interaction is measured"),
    ],
)
def test_a_trunk_of_which_something_depends_on_its_length_is_refused(setting, words):
    config = override(CONFIG, [f"training.stages.instruct.{setting}"])
    with pytest.raises(UsageError, match=words):
        branch_config(config, 3, 1)


def test_a_branch_leaves_its_trunk_within_for_one_step_or_more():
    branch_config(override(CONFIG, ["training.stages.instruct.interaction=text>image=.5"]), 3, 1)
    for step, steps in ((0, 1), (7, 1), (3, 0)):
        with pytest.raises(UsageError, match=f"no branch of {steps} steps from step {step} of 6"):
            branch_config(CONFIG, step, steps)


def test_milestones_and_decays_beyond_a_stage_are_refused():
    for setting, words in (
        ("milestones=3,2", "milestones = '3,2' is impossible: it must be rising"),
        ("milestones=2,2", "rising, every step once"),
        ("milestones=7", "at most 6, the steps of the stage"),
        ("milestones=0", "1 or more, every one of them"),
        ("decay_steps=7", "at most 6, the steps of the stage"),
    ):
        with pytest.raises(ConfigError, match=words):
            override(CONFIG, [f"training.stages.instruct.{setting}"])


def test_a_merge_is_the_mean_of_the_weights_and_a_run_of_its_own(trunk, tmp_path):
    model = merge(trunk, (4, 2, 3), tmp_path / "merge")
    each = [weights(trunk, step) for step in (2, 3, 4)]
    for name, value in trained(tmp_path / "merge").state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
        if name in each[0]:
            mean = torch.stack([one[name].double() for one in each]).mean(0)
            torch.testing.assert_close(value.double(), mean, rtol=0, atol=1e-7)
    assert any(not torch.equal(value, each[2][name]) for name, value in each[0].items())
    told = json.loads((tmp_path / "merge" / "merged.json").read_text())
    assert told == {"stage": "instruct", "steps": [2, 3, 4]}
    before = weights(tmp_path / "merge", 4)
    merge(trunk, (2, 3, 4), tmp_path / "merge")
    check_equal(weights(tmp_path / "merge", 4), before)


def test_merging_what_is_not_of_one_model_is_refused(tmp_path):
    one, other, wide = (tmp_path / name for name in ("one", "other", "wide"))
    save_file({"a": torch.ones(2), "n": torch.tensor([1])}, one)
    save_file({"a": torch.full((2,), 2.0), "n": torch.tensor([5])}, other)
    save_file({"a": torch.ones(3), "n": torch.tensor([1])}, wide)
    found = mean_weights([one, other])
    assert found["a"].tolist() == [1.5, 1.5] and found["n"].tolist() == [5]
    with pytest.raises(InputError, match="one: a has another shape than in .*wide"):
        mean_weights([one, wide])
    save_file({"b": torch.ones(2)}, wide)
    with pytest.raises(InputError, match="one: no tensor b"):
        mean_weights([one, wide])
    for step, number, apart in ((4, 5, 1), (4, 0, 1), (4, 2, 0)):
        with pytest.raises(UsageError, match=f"no {number} checkpoints, {apart} steps apart"):
            merged_steps(step, number, apart)


PARTS = Branching(ends=(2, 4), extra=0.5, merged=2, apart=1)


def size(model):
    """A score that knows a model by its weights."""
    return {"size": float(sum(value.detach().double().abs().sum() for value in model.parameters()))}


def test_the_curve_scores_trunk_branch_and_merge_of_every_part_and_is_not_trained_twice(
    chat, tmp_path, monkeypatch
):
    config = settings_of("training.checkpoint_every=50")
    curve = explore(config, chat, PARTS, tmp_path, size, "size", progress=False)
    assert [(p["part"], p["step"], p["branch_steps"], p["merged"]) for p in curve["points"]] == [
        (1, 2, 1, [1, 2]), (2, 4, 2, [3, 4]),
    ]  # fmt: skip
    for point in curve["points"]:
        own = [tmp_path / kind / str(point["step"]) for kind in ("branches", "merges")]
        assert point["branch"] == size(trained(own[0])) and point["merge"] == size(trained(own[1]))
        assert len({point[kind]["size"] for kind in ("trunk", "branch", "merge")}) == 3
    assert json.loads((tmp_path / "curve.json").read_text()) == curve
    every = [point[kind]["size"] for point in curve["points"] for kind in curve["winners"]]
    assert curve["winner"]["score"] == max(every)

    before = contents(tmp_path)
    monkeypatch.setattr("omni_lab.training.trainer.Trainer.train_step", None)
    assert explore(config, chat, PARTS, tmp_path, size, "size", progress=False) == curve
    kept = {name: own for name, own in contents(tmp_path).items() if "branches" in name}
    assert {name: before[name][0] for name in kept} == {n: own[0] for n, own in kept.items()}


def test_a_curve_that_could_fail_after_hours_fails_at_once(chat, tmp_path):
    def refused(words, branching=PARTS, config=CONFIG, score=size, by="size"):
        with pytest.raises(UsageError, match=words):
            explore(config, chat, branching, tmp_path / "new", score, by, progress=False)

    refused("14 steps read 56 samples", Branching((2, 12), 0.2))
    refused("parts end at steps \\(4, 2\\)", Branching((4, 2)))
    refused("no 3 checkpoints, 1 steps apart, end at step 2", Branching((2, 4), merged=3))
    two = override(CONFIG, ["training.stages=+vision,instruct"])
    refused("a trunk is one stage, not vision, instruct", config=two)
    assert not (tmp_path / "new").exists()
    one = Branching((1,))
    refused("by='f1' is no figure of the score: size", one, by="f1")
    refused("score size is nan", one, score=lambda model: {"size": float("nan")})
