"""Pretrained parts: every tensor of a folder has a place in the model, or loading is refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from omni_lab.config import override, tiny
from omni_lab.errors import ConfigError, InputError
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import collate
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.training.optimizers import build_optimizers, choose_trained
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

CONFIG = tiny()
VOCABULARY = WorldVocabulary()
ROWS = 300  # of the decoders' embeddings
DECODER = {
    "vocab_size": ROWS, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 48, "patch_size": 8,
}  # fmt: skip
TEXT = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2,
}  # fmt: skip
SPEECH = {
    "vocab_size": 50, "num_mel_bins": 40, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "max_source_positions": 150, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip


def published(folder, family, kind="ForCausalLM", **settings):
    """Random weights of a family of transformers, saved as its publishers save them."""
    import transformers

    torch.manual_seed(9)
    config = getattr(transformers, f"{family}Config")(**settings)
    model = getattr(transformers, f"{family}{kind}")(config).eval()
    for weight in model.parameters():  # biases and norms of their own, as after training
        weight.data += 0.05 * torch.randn_like(weight)
    model.save_pretrained(folder)
    return model


def built(part, folder, vocabulary=ROWS, *settings):
    """Model with one part from a folder."""
    config = override(CONFIG, [f"model.{part}.pretrained={folder}", *settings])
    return OmniModel.build(config.model, config.sequence, vocabulary).eval()


def of_theirs(folder, ids):
    """Logits that transformers gives for a folder."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits


def of_ours(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits


def some_ids():
    return torch.randint(ROWS, (2, 24), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["Qwen2", "Qwen3"])
def test_logits_on_text_are_those_of_the_pretrained_model(own_folder, family, tied):
    published(own_folder / "hub", family, **DECODER, tie_word_embeddings=tied)
    ids, model = some_ids(), built("decoder", own_folder / "hub")
    theirs = of_theirs(own_folder / "hub", ids)
    torch.testing.assert_close(of_ours(model, ids), theirs, rtol=0, atol=1e-5)

    labels = torch.cat([ids[:, 1:], torch.full((2, 1), -100)], 1)
    with torch.no_grad():
        losses = model(input_ids=ids, labels=labels).losses
    expected = torch.nn.functional.cross_entropy(
        theirs[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-5)
    assert model.model_settings.decoder.tie_word_embeddings is tied

    model.save_pretrained(own_folder / "trained")
    shutil.rmtree(own_folder / "hub")
    torch.testing.assert_close(
        of_ours(OmniModel.load(own_folder / "trained"), ids), theirs, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("tied", [True, False])
def test_a_larger_vocabulary_keeps_the_old_rows_exactly(own_folder, tied):
    theirs = published(own_folder / "hub", "Qwen2", **DECODER, tie_word_embeddings=tied)
    ids, model = some_ids(), built("decoder", own_folder / "hub", ROWS + 11)
    assert torch.equal(model.decoder.embed_tokens.weight[:ROWS], theirs.model.embed_tokens.weight)
    assert torch.equal(model.output_weight[:ROWS], theirs.lm_head.weight)
    assert len(model.output_weight) == len(model.decoder.embed_tokens.weight) == ROWS + 11
    assert (model.output_weight is model.decoder.embed_tokens.weight) is tied
    logits = of_ours(model, ids)[..., :ROWS]
    torch.testing.assert_close(logits, of_theirs(own_folder / "hub", ids), rtol=0, atol=1e-5)


def test_an_output_layer_that_differs_from_the_embedding_is_kept_though_the_config_ties_them(
    own_folder,
):
    published(own_folder / "hub", "Qwen2", **DECODER, tie_word_embeddings=False)
    change_config(own_folder / "hub", tie_word_embeddings=True)
    ids, model = some_ids(), built("decoder", own_folder / "hub", ROWS + 4)
    logits = of_ours(model, ids)[..., :ROWS]
    torch.testing.assert_close(logits, of_theirs(own_folder / "hub", ids), rtol=0, atol=1e-5)


def test_the_output_layer_learns_with_the_decoder_by_adamw(own_folder):
    published(own_folder / "hub", "Qwen2", **DECODER, tie_word_embeddings=False)
    model, stage = built("decoder", own_folder / "hub"), CONFIG.training.stages[-1]
    choose_trained(model, ("image",))
    assert not model.output_weight.requires_grad
    choose_trained(model, ("decoder",))
    muon, adamw = build_optimizers(model, CONFIG.training, stage)
    of = {id(p): name for name, p in model.named_parameters()}
    names = [{of[id(p)] for g in o.param_groups for p in g["params"]} for o in (muon, adamw)]
    assert "decoder.lm_head.weight" in names[1] - names[0]


def test_weights_stored_in_half_precision_are_trained_in_float32(own_folder):
    half = published(own_folder / "hub", "Qwen2", **DECODER).to(torch.bfloat16)
    half.save_pretrained(own_folder / "hub")
    model = built("decoder", own_folder / "hub")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert torch.equal(model.output_weight, half.lm_head.weight.float())


def test_a_new_decoder_has_an_output_layer_of_its_own_where_it_is_asked_for(own_folder):
    config = override(CONFIG, ["model.decoder.tie_word_embeddings=false"])
    model = OmniModel.build(config.model, config.sequence, ROWS).eval()
    assert set(model.state_dict()) - set(
        OmniModel.build(CONFIG.model, CONFIG.sequence, ROWS).state_dict()
    ) == {"decoder.lm_head.weight"}
    model.save_pretrained(own_folder / "trained")
    ids = some_ids()
    assert torch.equal(of_ours(OmniModel.load(own_folder / "trained"), ids), of_ours(model, ids))


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_tensors(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


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


@pytest.mark.parametrize("kind", ["Model", "VisionModel"])
def test_an_image_tower_keeps_every_weight_and_leaves_the_text_tower_behind(own_folder, kind):
    from transformers import SiglipVisionModel

    sizes = VISION if kind == "VisionModel" else {"vision_config": VISION, "text_config": TEXT}
    family = "SiglipVision" if kind == "VisionModel" else "Siglip"
    published(own_folder / "hub", family, "Model", **sizes)
    theirs = SiglipVisionModel.from_pretrained(own_folder / "hub").eval()
    tower = built("image", own_folder / "hub").image.tower
    pixels = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(tower(pixels).last_hidden_state, theirs(pixels).last_hidden_state)
    stored = load_file(own_folder / "hub" / "model.safetensors")
    ours = tower.state_dict()
    kept = [name for name in stored if not name.startswith(("text_model", "logit"))]
    assert len(kept) == len(ours)
    for name in kept:
        assert torch.equal(ours[name.removeprefix("vision_model.")], stored[name]), name


@pytest.mark.parametrize("kind", ["Model", "ForConditionalGeneration"])
def test_an_audio_tower_keeps_every_weight_of_whispers_encoder(own_folder, kind):
    theirs = published(own_folder / "hub", "Whisper", kind, **SPEECH).get_encoder()
    ours = built("audio", own_folder / "hub").audio.tower
    assert {*ours.state_dict()} == {*theirs.state_dict()}
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_an_audio_tower_without_its_weights_is_refused_by_name(own_folder):
    published(own_folder / "hub", "Whisper", "Model", **SPEECH)
    change_tensors(own_folder / "hub", lambda t: t.pop("encoder.conv1.weight"))
    with pytest.raises(ConfigError, match=r"audio.*1 weight is missing, such as encoder\.conv1"):
        built("audio", own_folder / "hub")


def test_a_checkpoint_from_before_output_layers_were_kept_still_loads(own_folder):
    """Its decoder learned with the embedding as output layer, whatever its own config said."""
    published(own_folder / "hub", "Qwen2", "Model", **DECODER)
    model, ids = built("decoder", own_folder / "hub"), some_ids()
    model.save_pretrained(own_folder / "trained")
    file = own_folder / "trained" / "config.json"
    config = json.loads(file.read_text())
    config["settings"]["model"]["decoder"].pop("tie_word_embeddings")
    config["parts"]["decoder"] |= {"tie_word_embeddings": False}
    file.write_text(json.dumps(config))
    back = OmniModel.load(own_folder / "trained")
    assert torch.equal(of_ours(back, ids), of_ours(model, ids))


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


def row(seed, seconds=4):
    clip = from_script(write_script(seed, seconds), CONFIG.model.image.size)
    return tokenize(
        omni_stream(clip, CONFIG.sequence, supervised=False), VOCABULARY, CONFIG.sequence
    )


def pretrained(folder, size=48, mels=40):
    """Three small random checkpoints, as a user would have downloaded them."""
    return {
        "image": published(
            folder / "image", "SiglipVision", "Model", **{**VISION, "image_size": size}
        ),
        "audio": published(
            folder / "audio", "Whisper", "Model", **{**SPEECH, "num_mel_bins": mels}
        ),
        "decoder": published(folder / "decoder", "Qwen2", "Model", **DECODER),
    }


def with_pretrained(folder):
    return override(
        CONFIG,
        [f"model.{name}.pretrained={folder / name}" for name in ("image", "audio", "decoder")],
    )


def test_pretrained_parts_come_with_their_weights_and_go_on_as_one_model(own_folder):
    import shutil

    parts = pretrained(own_folder / "hub")
    model = OmniModel.build(
        with_pretrained(own_folder / "hub").model,
        with_pretrained(own_folder / "hub").sequence,
        len(VOCABULARY),
    ).eval()
    theirs = {
        "image.tower": parts["image"].state_dict(),
        "audio.tower": parts["audio"].encoder.state_dict(),
        "decoder": {
            k: v for k, v in parts["decoder"].state_dict().items() if "embed_tokens" not in k
        },
    }
    ours = model.state_dict()
    for prefix, state in theirs.items():
        for name, value in state.items():
            assert torch.equal(ours[f"{prefix}.{name}"], value), f"{prefix}.{name} was not kept"
    assert torch.equal(
        model.decoder.embed_tokens.weight, parts["decoder"].embed_tokens.weight[: len(VOCABULARY)]
    )
    batch = collate([row(1, 2)], CONFIG.sequence, CONFIG.model.image.size)
    with torch.no_grad():
        before = forward_batch(model, batch).logits
    model.save_pretrained(own_folder / "trained")
    shutil.rmtree(own_folder / "hub")  # a trained model does not need what it began from
    with torch.no_grad():
        assert torch.equal(
            forward_batch(OmniModel.load(own_folder / "trained"), batch).logits, before
        )


@pytest.mark.parametrize(
    ("made", "message"), [({"size": 64}, "model.image.size"), ({"mels": 80}, "model.audio.mels")]
)
def test_a_pretrained_part_of_another_size_is_refused_by_key(own_folder, made, message):
    pretrained(own_folder / "hub", **made)
    with pytest.raises(ConfigError, match=message):
        OmniModel.build(
            with_pretrained(own_folder / "hub").model,
            with_pretrained(own_folder / "hub").sequence,
            len(VOCABULARY),
        )


def test_a_pretrained_part_that_is_not_there_is_one_line(own_folder):
    with pytest.raises(ConfigError, match=r"model\.image\.pretrained"):
        OmniModel.build(
            override(CONFIG, [f"model.image.pretrained={own_folder / 'none'}"]).model,
            override(CONFIG, [f"model.image.pretrained={own_folder / 'none'}"]).sequence,
            len(VOCABULARY),
        )
