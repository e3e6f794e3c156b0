"""Rotary positions: turns by hand, bases that reach the attention of every kind of model, what is saved with them."""

import math

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2Model,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from omni_lab.config import override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import Rope, pairs_that_turn, rope_of, set_rope, theta_for, turns

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def qwen(**rope):
    parameters = {"rope_type": "default", "rope_theta": 100.0, **rope}
    return Qwen2ForCausalLM(
        Qwen2Config(**SIZES, num_key_value_heads=2, head_dim=16, rope_parameters=parameters)
    ).eval()


def rotated(model, position):
    """Cosines that the model's own rotary embedding gives at a position."""
    rotary = next(module for module in model.modules() if hasattr(module, "original_inv_freq"))
    return rotary(torch.zeros(1, 1, 1), torch.tensor([[position]]))[0][0, 0].numpy()


@pytest.mark.parametrize(
    ("theta", "factor"), [(100.0, 1.0), (100.0, 4.0), (6400.0, 1.0), (6400.0, 8.0)]
)
def test_a_model_turns_as_far_as_theory_says(theta, factor):
    model = qwen()
    assert set_rope(model, theta, factor) == rope_of(model) == Rope(theta, factor)
    for position in (1, 77, 2048):
        angles = 2 * np.pi * turns(16, theta, position, factor)
        np.testing.assert_allclose(rotated(model, position), np.tile(np.cos(angles), 2), atol=2e-4)


def test_a_factor_divides_positions_and_a_raised_base_changes_what_is_computed_far_away_only():
    model = qwen()
    ids = torch.randint(50, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        near, far = torch.arange(40)[None], 4 * torch.arange(40)[None]
        plain = model(ids, position_ids=near).logits
        set_rope(model, factor=4.0)
        torch.testing.assert_close(model(ids, position_ids=far).logits, plain, rtol=1e-4, atol=1e-5)
        set_rope(model, 800.0)
        assert not torch.allclose(model(ids, position_ids=far).logits, plain, atol=1e-3)
        set_rope(model, 100.0)
        torch.testing.assert_close(model(ids, position_ids=near).logits, plain, rtol=0, atol=0)


@pytest.mark.parametrize(
    "make", [qwen, lambda: LlamaForCausalLM(LlamaConfig(**SIZES)).eval()], ids=["qwen", "llama"]
)
def test_what_is_set_is_saved_and_loaded_by_hugging_face(make, own_folder):
    model = make()
    set_rope(model, 12_345.0, 2.0)
    model.save_pretrained(own_folder / "kept")
    again = type(model).from_pretrained(own_folder / "kept")
    assert rope_of(again) == Rope(12_345.0, 2.0)
    np.testing.assert_array_equal(rotated(again, 500), rotated(model, 500))


def test_positions_that_turn_part_of_a_head_keep_their_part():
    sizes = {
        **SIZES,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 100.0,
            "partial_rotary_factor": 0.5,
        },
    }
    model = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes))
    set_rope(model, 900.0)
    assert len(rotated(model, 3)) == 8, "half of a head of 16"
    np.testing.assert_allclose(
        rotated(model, 3)[:4], np.cos(3 * 900.0 ** (-np.arange(0, 8, 2) / 8)), atol=1e-5
    )


def test_our_model_keeps_the_positions_of_its_last_stage(own_folder):
    config = override(tiny(), ["model.decoder.layers=1", "model.decoder.width=32"])
    model = OmniModel.build(config.model, config.sequence, len(build_vocabulary(config)))
    assert rope_of(model) == Rope(config.model.decoder.rope_theta, 1.0)
    set_rope(model, 6400.0, 2.0)
    model.save_pretrained(own_folder / "kept")
    again = OmniModel.load(own_folder / "kept")
    assert rope_of(again) == Rope(6400.0, 2.0)
    np.testing.assert_array_equal(rotated(again, 2000), rotated(model, 2000))


def test_a_head_of_the_full_scale_at_every_stage():
    """OmChat's end: 512K tokens with θ = 5e7 in heads of 128; by hand, pair i turns once in 2π · 5e7^(i/64) tokens."""
    pairs = pairs_that_turn(128, 5e7, 524_288)
    assert pairs == 1 + math.floor(64 * math.log(524_288 / (2 * math.pi)) / math.log(5e7)) == 41
    assert pairs_that_turn(128, 1e6, 4096) == 31
    slowest = turns(128, theta_for(524_288, 128, 1e6, 4096), 524_288)[-1]
    assert slowest == pytest.approx(turns(128, 1e6, 4096)[-1])
    assert turns(32, 100.0, 64, factor=2.0).tolist() == turns(32, 100.0, 32).tolist()


@pytest.mark.parametrize(
    ("make", "asked", "message"),
    [
        (qwen, (0.5, 1.0), "theta must be above 1"),
        (qwen, (float("nan"), 1.0), "theta must be above 1"),
        (qwen, (None, 0.5), "factor 1 or more"),
        (
            lambda: GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9)),
            (9.0, 1.0),
            "no rotary positions",
        ),
        (lambda: qwen(rope_type="yarn", factor=4.0), (9.0, 1.0), r"own way \(yarn\)"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, asked, message):
    with pytest.raises(UsageError, match=message):
        set_rope(make(), *asked)


def causal(family, **sizes):
    """A small random causal model of a family."""
    config = AutoConfig.for_model(family, pad_token_id=0, **SIZES | sizes)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("gemma3_text", r"full_attention θ 1e\+06, sliding_attention θ 10000"),
        ("modernbert-decoder", r"full_attention θ 160000, sliding_attention θ 10000"),
    ],
)
def test_layers_with_bases_of_their_own_are_named_with_them(family, message):
    model = causal(family, head_dim=16)
    for asked in ((9.0, 1.0), (None, 2.0)):
        with pytest.raises(UsageError, match=message) as error:
            set_rope(model, *asked)
        assert "\n" not in str(error.value) and "no rotary" not in str(error.value)


def test_rotary_positions_without_a_base_in_the_configuration_are_not_denied():
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64, "rotary_dim": 8}
    with pytest.raises(UsageError, match="no rotary positions with a base in its configuration"):
        set_rope(causal("gptj", **sizes), 9.0)


def test_a_family_that_cannot_divide_positions_is_refused_and_left_as_it_was():
    model = causal("recurrent_gemma", num_key_value_heads=1, head_dim=16, lru_width=32,
                   block_types=("recurrent", "attention"))  # fmt: skip
    ids = torch.arange(20)[None]
    before, plain = rope_of(model), model(ids).logits
    with pytest.raises(UsageError, match="RecurrentGemmaForCausalLM: .*positions cannot be") as no:
        set_rope(model, factor=2.0)
    assert "\n" not in str(no.value) and rope_of(model) == before
    torch.testing.assert_close(model(ids).logits, plain, rtol=0, atol=0)
    assert set_rope(model, 777.0).theta == 777.0, "its base can be raised"


def test_a_change_that_a_family_does_not_follow_is_refused(monkeypatch):
    from transformers.models.qwen2 import modeling_qwen2

    class Deaf(modeling_qwen2.Qwen2RotaryEmbedding):
        def __init__(self, config):
            super().__init__(config)
            self.inv_freq = 100.0 ** (-torch.arange(8) / 8)

    monkeypatch.setattr(modeling_qwen2, "Qwen2RotaryEmbedding", Deaf)
    for asked in ((9.0, 1.0), (None, 2.0)):
        with pytest.raises(UsageError, match="Qwen2ForCausalLM: .*does not follow"):
            set_rope(qwen(), *asked)
