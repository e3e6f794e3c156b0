"""Pretrained folders that are refused: of another family, in pieces, or read otherwise by training."""

import json

import pytest
import torch
from published import (
    CONFIG,
    DECODER,
    ROWS,
    SPEECH,
    TEXT,
    VISION,
    built,
    change_tensors,
    published,
)

from omni_lab.errors import ConfigError, InputError
from omni_lab.model.omni import OmniModel


@pytest.mark.parametrize(
    ("family", "kind", "part", "message"),
    [
        ("Llama", "ForCausalLM", "decoder", "a llama model; decoders are of qwen2, qwen3"),
        ("Mistral", "ForCausalLM", "decoder", "a mistral model"),
        ("GPT2", "LMHeadModel", "decoder", "a gpt2 model"),
        (
            "Qwen2",
            "ForSequenceClassification",
            "decoder",
            r"1 weight is without a place .* score\.weight",
        ),
        ("CLIPVision", "Model", "image", "a clip_vision_model model; image towers are of siglip"),
        (
            "Siglip",
            "ForImageClassification",
            "image",
            r"2 weights are without a place .* classifier\.bias",
        ),
        (
            "Whisper",
            "ForAudioClassification",
            "audio",
            r"4 weights are without a place .* classifier\.bias",
        ),
        ("Moonshine", "Model", "audio", "a moonshine model; audio towers are of whisper"),
    ],
)
def test_another_family_or_another_head_is_refused_by_name(
    own_folder, capsys, family, kind, part, message
):
    sizes = {
        "Siglip": {"vision_config": VISION, "text_config": TEXT},
        "CLIPVision": VISION,
        "Whisper": SPEECH,
        "GPT2": {"vocab_size": ROWS, "n_embd": 32, "n_layer": 1, "n_head": 2},
        "Moonshine": {"hidden_size": 32, "encoder_num_hidden_layers": 1},
        "Qwen2": {**DECODER, "pad_token_id": 0},
    }
    published(own_folder / "hub", family, kind, **sizes.get(family, DECODER))
    capsys.readouterr()
    with pytest.raises(ConfigError, match=f"model.{part}.pretrained=.*{message}") as refused:
        built(part, own_folder / "hub")
    assert "\n" not in str(refused.value) and not capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("lm_head.weight"), r"1 weight is missing, such as lm_head\.weight"),
        (lambda t: t.pop("model.norm.weight"), r"1 weight is missing, such as .*norm\.weight"),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_norm.weight": torch.ones(16)}),
            r"1 weight is without a place .* model\.layers\.0\.self_attn\.q_norm\.weight",
        ),
        (
            lambda t: t.update({"model.layers.2.mlp.up_proj.weight": torch.ones(64, 64)}),
            r"1 weight is without a place .* model\.layers\.2\.mlp\.up_proj\.weight",
        ),
        (
            lambda t: t.update({"model.layers.1.mlp.up_proj.weight": torch.ones(32, 64)}),
            r"1 weight is of other sizes .* model\.layers\.1\.mlp\.up_proj\.weight",
        ),
    ],
)
def test_a_folder_whose_tensors_are_not_its_configs_is_refused_by_name(own_folder, change, message):
    published(own_folder / "hub", "Qwen2", **DECODER)
    change_tensors(own_folder / "hub", change)
    with pytest.raises(ConfigError, match=f"model.decoder.pretrained=.*{message}"):
        built("decoder", own_folder / "hub")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 8}, "sliding"),
        ({"is_causal": False}, "not causal"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "quantized"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}},
            "yarn",
        ),
    ],
)
def test_a_decoder_that_training_would_read_otherwise_is_refused(own_folder, changes, message):
    published(own_folder / "hub", "Qwen2", **DECODER)
    config = json.loads((own_folder / "hub" / "config.json").read_text())
    config.pop("layer_types", None)
    (own_folder / "hub" / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ConfigError, match=f"model.decoder.pretrained=.*{message}"):
        built("decoder", own_folder / "hub")


def test_an_audio_tower_without_its_weights_is_refused_by_name(own_folder):
    published(own_folder / "hub", "Whisper", "Model", **SPEECH)
    change_tensors(own_folder / "hub", lambda t: t.pop("encoder.conv1.weight"))
    with pytest.raises(ConfigError, match=r"audio.*1 weight is missing, such as encoder\.conv1"):
        built("audio", own_folder / "hub")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # peft's
def test_an_adapter_beside_the_weights_is_refused(own_folder):
    peft = pytest.importorskip("peft")
    model = published(own_folder / "hub", "Qwen2", **DECODER)
    settings = peft.LoraConfig(target_modules=["q_proj"], r=4)
    peft.get_peft_model(model, settings).save_pretrained(own_folder / "hub")
    with pytest.raises(ConfigError, match="model.decoder.pretrained=.*an adapter beside"):
        built("decoder", own_folder / "hub")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("decoder.norm.weight"), r"missing, such as decoder\.norm\.weight"),
        (lambda t: t.update(more=torch.ones(2)), "unexpected, such as more"),
    ],
)
def test_a_checkpoint_whose_weights_are_not_its_configs_is_refused(own_folder, change, message):
    OmniModel.build(CONFIG.model, CONFIG.sequence, ROWS).save_pretrained(own_folder)
    change_tensors(own_folder, change)
    with pytest.raises(InputError, match=message):
        OmniModel.load(own_folder)


@pytest.mark.parametrize(
    ("part", "family", "kind", "sizes", "message"),
    [
        ("image", "SiglipVision", "Model", {**VISION, "image_size": 64}, "model.image.size"),
        ("audio", "Whisper", "Model", {**SPEECH, "num_mel_bins": 80}, "model.audio.mels"),
    ],
)
def test_a_pretrained_part_of_another_size_is_refused_by_key(
    own_folder, part, family, kind, sizes, message
):
    published(own_folder / "hub", family, kind, **sizes)
    with pytest.raises(ConfigError, match=message):
        built(part, own_folder / "hub")


def test_a_pretrained_part_that_is_not_there_is_one_line(own_folder):
    with pytest.raises(ConfigError, match=r"model\.image\.pretrained") as refused:
        built("image", own_folder / "none")
    assert "\n" not in str(refused.value)
