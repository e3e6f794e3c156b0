"""Rules of a stage: balance, clipping, curriculum; what they do, what they record, what they resume with."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from omni_lab.config import (
    BalanceConfig,
    ClipConfig,
    PhaseConfig,
    StageConfig,
    TrainingConfig,
    override,
    tiny,
)
from omni_lab.errors import ConfigError
from omni_lab.sequences.targets import SENSES
from omni_lab.training.rules.balance import Balance
from omni_lab.training.rules.clipping import Clipping, clip_per_part
from omni_lab.training.rules.controls import Controls
from omni_lab.training.rules.curriculum import Curriculum

ALL = {"image", "audio", "text"}


class Parts(nn.Module):
    """A model of a part for each modality, by the names that the real one has."""

    def __init__(self):
        super().__init__()
        self.image, self.audio, self.decoder = (nn.Linear(4, 4) for _ in range(3))

    def set_norms(self, **norms):
        for name, norm in norms.items():
            own = [*getattr(self, name).parameters()]
            size = math.sqrt(sum(p.numel() for p in own))
            for p in own:
                p.grad = torch.full_like(p, norm / size)

    def norms(self):
        return clip_per_part(self, math.inf)


def told(rule, losses, steps=40, trained=ALL, **settings):
    """Balance that was told the same losses by sense for some steps, after a common start."""
    balance = Balance(BalanceConfig(rule, **settings), trained)
    for step in range(steps):
        fallen = 1.0 if step < 10 else None
        balance.observe({k: fallen or v for k, v in losses.items()}, step)
    return balance


def test_rates_are_raised_for_a_modality_that_has_more_of_its_loss_left():
    balance = told("rates", {"image": 0.1, "audio": 0.9})
    assert balance.rate("image") < 1 < balance.rate("audio")
    assert balance.rate("text") == 1 and balance.loss_weights() is None
    stronger = told("rates", {"image": 0.1, "audio": 0.9}, strength=2.0)
    assert stronger.rate("audio") > balance.rate("audio")
    assert told("rates", {"image": 0.1, "audio": 0.9}, strength=0).rate("audio") == 1


def test_factors_stay_within_the_largest_and_its_reciprocal():
    balance = told("rates", {"image": 1e-6, "audio": 1.0}, strength=9.0, most=2.0)
    assert balance.factors == {"image": 0.5, "audio": 2.0}


def test_loss_weights_follow_the_same_factors_and_leave_rates_alone():
    balance = told("weights", {"image": 0.1, "audio": 0.9})
    weights = dict(zip(SENSES, balance.loss_weights().tolist(), strict=True))
    assert weights["image"] < 1 < weights["audio"] and weights["text"] == 1
    assert weights["both"] == pytest.approx((weights["image"] + weights["audio"]) / 2)
    assert balance.rate("audio") == 1


def test_ogm_slows_the_modality_that_answers_better_and_no_other():
    balance = told("ogm", {"image": 0.05, "audio": 1.5}, strength=0.5)
    ratio = math.exp(-balance.state["mean"]["image"] + balance.state["mean"]["audio"])
    assert balance.rate("image") == pytest.approx(max(0.25, 1 - math.tanh(0.5 * ratio)))
    assert balance.rate("audio") == 1


def test_a_balance_never_acts_on_a_frozen_modality_and_needs_two_to_compare():
    assert "image" not in told("rates", {"image": 0.1, "audio": 0.9}, trained={"audio"}).factors
    assert told("rates", {"image": 0.1, "audio": 0.9}, trained={"audio"}).factors == {}
    assert told("rates", {"image": 0.1}).factors == {}
    assert told("none", {"image": 0.1, "audio": 0.9}).factors == {}


def test_noise_of_ogm_is_the_same_again_and_falls_on_slowed_parts_only():
    balance, model = told("ogm", {"image": 0.05, "audio": 1.5}, noise=1.0), Parts()
    found = []
    for _ in range(2):
        model.set_norms(image=1.0, audio=1.0)
        model.image.weight.grad[0] += 0.3  # equal gradients have no deviation
        before = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        balance.disturb(model, seed=7)
        found.append(model.image.weight.grad.clone())
        assert not torch.equal(model.image.weight.grad, before["image.weight"])
        assert torch.equal(model.audio.weight.grad, before["audio.weight"])
    assert torch.equal(*found)


def test_running_thresholds_are_renewed_every_so_many_steps_and_by_part():
    clipping, model = Clipping(ClipConfig("running", every=3, factor=2.0), 1.0, 0), Parts()
    for step in range(3):
        model.set_norms(image=3.0, audio=0.5)
        did = clipping.clip(model, step)
        assert did["clip"] == {"audio": 1.0, "image": 1.0}  # until there are running ones
        assert did["grad_norm"] == pytest.approx({"image": 3.0, "audio": 0.5})
    assert clipping.state["limits"] == pytest.approx({"image": 6.0, "audio": 1.0})
    model.set_norms(image=60.0, audio=0.9)
    assert clipping.clip(model, 3)["clip"] == pytest.approx({"image": 6.0, "audio": 1.0})
    assert model.norms() == pytest.approx({"image": 6.0, "audio": 0.9}, rel=1e-4)


def test_a_norm_that_is_no_number_does_not_spoil_the_running_ones():
    clipping, model = Clipping(ClipConfig("running", every=2), 1.0, 0), Parts()
    model.set_norms(image=math.inf)
    clipping.clip(model, 0)
    model.set_norms(image=2.0)
    clipping.clip(model, 1)
    assert math.isfinite(clipping.state["limits"]["image"])


def test_clipping_by_tensor_limits_each_to_its_own_running_norm():
    clipping, model = Clipping(ClipConfig("tensor", factor=1.05), 1.0, 2), Parts()
    for step in range(6):
        model.set_norms(image=0.5, audio=0.1)
        assert clipping.clip(model, step)["clip"]["tensors"] == 0
    usual = model.image.weight.grad.norm().item()
    model.set_norms(image=50.0, audio=0.1)
    assert clipping.clip(model, 6)["clip"]["tensors"] == pytest.approx(2 / 4)
    assert model.image.weight.grad.norm().item() == pytest.approx(1.05 * usual, rel=1e-3)
    assert model.norms()["audio"] == pytest.approx(0.1)


@pytest.mark.parametrize(("rule", "left"), [("none", 9.0), ("fixed", 1.0)])
def test_no_clipping_measures_and_a_fixed_threshold_clips_every_step(rule, left):
    clipping, model = Clipping(ClipConfig(rule), 1.0, 0), Parts()
    model.set_norms(image=9.0, audio=0.5)
    assert clipping.clip(model, 0)["grad_norm"]["image"] == pytest.approx(9.0)
    assert model.norms() == pytest.approx({"image": left, "audio": 0.5}, rel=1e-4)


def phased(*phases, steps=100):
    return Curriculum(
        StageConfig(steps=steps, phases=phases, align_weight=0.5, align_fraction=1e9,
                    caption_weight=0.5)
    )  # fmt: skip


def test_a_phase_ends_by_competence_or_at_its_cap():
    first = PhaseConfig("align", stream=0, caption=0, until="align", below=1.0, cap=0.4)
    for falls, ended, at in ((True, "competence", None), (False, "cap", 39)):
        curriculum = phased(first, PhaseConfig("write"))
        for step in range(60):
            loss = 3.0 * 0.8**step if falls else 3.0
            record = curriculum.observe({"align": loss}, step)["phase"]
            if "ended" in record:
                assert record["ended"] == ended and record["name"] == "align"
                assert at is None or step == at
                break
        assert curriculum.phase.name == "write"
        assert curriculum.observe({"align": 9.0}, 61)["phase"]["name"] == "write"


def test_competence_is_a_running_mean_of_any_loss_by_its_dotted_name():
    first = PhaseConfig("hear", until="facts.word", below=0.5)
    curriculum = phased(first, PhaseConfig("rest"))
    for step in range(9):
        curriculum.observe({"facts": {"word": 0.1}}, step)
    assert curriculum.phase.name == "hear"  # one good step, or a few, are no competence
    curriculum.observe({"facts": {"colour": 0.1}}, 9)  # a step without such a question
    assert curriculum.phase.name == "hear"
    curriculum.observe({"facts": {"word": 0.1}}, 10)
    assert curriculum.phase.name == "rest"


def test_weights_of_phases_multiply_those_of_the_stage_and_ramp_between():
    curriculum = phased(PhaseConfig("a", stream=0, cap=0.1), PhaseConfig("b", align=0, ramp=0.2))
    assert curriculum.weights(0) == pytest.approx({"stream": 0, "caption": 0.5, "align": 0.5})
    for step in range(10):
        curriculum.observe({}, step)
    assert curriculum.weights(10)["stream"] == 0
    assert curriculum.weights(20) == pytest.approx({"stream": 0.5, "caption": 0.5, "align": 0.25})
    assert curriculum.weights(30) == pytest.approx({"stream": 1, "caption": 0.5, "align": 0})


def test_a_stage_without_phases_weighs_as_it_always_did_and_records_nothing():
    stage = tiny().training.stage("omni")
    weights = Curriculum(stage).weights(stage.steps // 2)
    assert weights == pytest.approx({"stream": 1, "caption": 0.5, "align": 0.15})
    assert Curriculum(stage).observe({"align": 1.0}, 3) == {}


def test_the_state_of_all_rules_survives_json_and_goes_on_alike():
    stage = StageConfig(
        phases=(PhaseConfig("a", until="align", below=0.1, cap=0.5), PhaseConfig("b")),
        balance=BalanceConfig("rates"), clip=ClipConfig("running", every=7), steps=60,
    )  # fmt: skip
    whole, model = Controls(stage, TrainingConfig(), Parts()), Parts()
    parts = Controls(stage, TrainingConfig(), Parts())
    seen = []
    for step in range(60):
        if step in (11, 29, 43):
            resumed = Controls(stage, TrainingConfig(), Parts())
            resumed.load(json.loads(json.dumps(parts.state)))
            parts = resumed
        senses = {"image": 2.0 * 0.93**step, "audio": 2.0 * 0.99**step}
        both = []
        for controls in (whole, parts):
            model.set_norms(image=1.0 + step % 5, audio=0.1)
            did = controls.clip(model, step)
            both.append(did | controls.observe({"senses": senses, "align": 0.95**step}, step))
        assert both[0] == both[1]
        seen.append(both[0])
    assert {row["phase"]["name"] for row in seen} == {"a", "b"} and seen[-1]["balance"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["phases=+a", "phases.a.until=align"], "phases.a.until"),
        (["phases=+a", "phases.a.below=1"], "phases.a.until"),
        (["phases=+a,+b", "phases.b.cap=.5"], "in the order of their caps"),
        (["balance.most=.5"], "balance.most"),
        (["balance.rule=fair"], "one of none, rates, weights, ogm"),
        (["clip.every=0"], "clip.every"),
        (["lr_scale=-1"], "lr_scale"),
    ],
)
def test_rules_that_do_not_fit_are_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message):
        override(tiny(), [f"training.stages.omni.{setting}" for setting in settings])


def test_a_stage_is_as_long_as_a_multiple_of_those_before_it():
    config = override(tiny(), ["training.stages.omni.steps_multiple=1.2"])
    assert config.training.stage("omni").steps == round(1.2 * (560 + 260))
    shorter = override(config, ["training.stages.vision.steps=40"])
    assert shorter.training.stage("omni").steps == 360
    with pytest.raises(ConfigError, match=r"vision\.steps_multiple = 2\.0 .* stages before"):
        override(tiny(), ["training.stages.vision.steps_multiple=2"])
