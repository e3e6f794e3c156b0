"""What trains in a stage, bit for bit: these tensors moved, and no others did, not even by a sign."""

from __future__ import annotations

import pytest
import torch
from stage_data import lessons_of

from omni_lab.config import override, tiny
from omni_lab.errors import ConfigError
from omni_lab.training.models import new_model
from omni_lab.training.optimizers import belongs, modality_of, part_of, rate_of, rates_of
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import Trainer

SMALL = [
    "training.stages.vision.batch_size=2", "training.stages.audio.batch_size=2",
    "training.stages.omni.batch_size=2", "training.stages.omni.seconds=2",
    "training.stages.vision.steps=2", "training.stages.audio.steps=2",
    "training.stages.omni.steps=2", "training.warmup_steps=0", "training.weight_decay=0.1",
]  # fmt: skip


def moved(tmp_path, stage, *settings):
    """Names of the weights that a stage changed in any bit, and of those that it did not."""
    own = [f"training.stages.{stage}.{setting}" for setting in settings]
    config = override(tiny(), [*SMALL, *own, f"training.stages={stage}"])
    model = new_model(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = RunFolder(tmp_path / "run", config)
    Trainer(config.training, model, run, progress=False).fit([lessons_of(config, stage)])

    changed, same = set(), set()
    for name, value in model.state_dict().items():
        bits = torch.equal(value.view(torch.int32), before[name].view(torch.int32))
        (same if bits else changed).add(name)
    return changed, same


def parts(names):
    return {part_of(name) for name in names}


@pytest.mark.parametrize(
    "train", ["image", "audio", "connector", "decoder", "image,audio", "connector.image,decoder"]
)
def test_a_stage_moves_what_it_trains_and_no_bit_of_the_rest(tmp_path, train):
    changed, same = moved(tmp_path, "omni", f"train={train}", "align_weight=0")
    named = train.split(",")
    assert changed and all(any(belongs(name, part) for part in named) for name in changed)
    for part in named:
        assert any(belongs(name, part) for name in changed), part
    frozen = [name for name in same if any(belongs(name, part) for part in named)]
    # a bias that is zero and has no gradient may stay; a matrix never does
    assert not [name for name in frozen if "weight" in name and "norm" not in name], frozen


def test_a_rate_of_0_moves_nothing_though_the_stage_trains_the_part(tmp_path):
    changed, _ = moved(tmp_path, "omni", "rates=image=0,connector.image=0,align=0")
    assert parts(changed) == {"audio", "connector", "decoder"}
    assert not [name for name in changed if belongs(name, "connector.image")]


def test_a_rate_of_0_of_the_whole_stage_moves_nothing_at_all(tmp_path):
    changed, same = moved(tmp_path, "omni", "lr_scale=0")
    assert not changed and {"image", "audio", "connector", "decoder", "align"} <= parts(same)


def test_rates_of_parts_multiply_the_steps_and_the_narrowest_part_decides(tmp_path):
    rates = rates_of(
        override(tiny(), ["training.stages.omni.rates=connector=2,connector.image=0.5"])
        .training.stage("omni")
    )  # fmt: skip
    assert rate_of("model.connector.image.project.weight", rates) == 0.5
    assert rate_of("connector.audio.project.weight", rates) == 2
    assert rate_of("decoder.embed_tokens.weight", rates) == 1


@pytest.mark.parametrize("spec", ["image", "image=fast", "image=-1", "eye=1", "image=inf"])
def test_rates_that_cannot_be_are_refused_by_name(spec):
    with pytest.raises(ConfigError, match=r"stages\.omni\.rates = .* PART=MULTIPLE"):
        override(tiny(), [f"training.stages.omni.rates={spec}"])


def test_every_weight_has_the_modality_whose_part_it_is_in():
    names = dict(new_model(tiny()).named_parameters())
    of = {modality: [n for n in names if modality_of(n) == modality] for modality in
          ("image", "audio", "text", "")}  # fmt: skip
    assert parts(of["image"]) == {"image", "connector", "align"}
    assert parts(of["audio"]) == {"audio", "connector", "align"}
    assert parts(of["text"]) == {"decoder", "align"} and of[""] == ["align_scale"]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_adamw_alone_or_beside_muon_trains_every_part(tmp_path, optimizer):
    changed, _ = moved(tmp_path, "omni", f"optimizer={optimizer}")
    assert parts(changed) == {"image", "audio", "connector", "decoder", "align"}
