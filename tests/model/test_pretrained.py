"""Pretrained parts: every tensor of a folder has a place in the model, or loading is refused by name."""

import json
import shutil
from dataclasses import replace

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
    change_config,
    published,
)
from safetensors.torch import load_file

from omni_lab.config import override
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import collate
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.training.optimizers import build_optimizers, choose_trained
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

VOCABULARY = WorldVocabulary()


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
    choose_trained(model, replace(stage, train=("image",)))
    assert not model.output_weight.requires_grad
    choose_trained(model, replace(stage, train=("decoder",)))
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


def row(seed, seconds=4):
    clip = from_script(write_script(seed, seconds), CONFIG.model.image.size)
    return tokenize(
        omni_stream(clip, CONFIG.sequence, supervised=False), VOCABULARY, CONFIG.sequence
    )


def pretrained(folder):
    """Three small random checkpoints, as a user would have downloaded them."""
    return {
        "image": published(folder / "image", "SiglipVision", "Model", **VISION),
        "audio": published(folder / "audio", "Whisper", "Model", **SPEECH),
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
        before = forward_batch(model, batch).losses
    model.save_pretrained(own_folder / "trained")
    shutil.rmtree(own_folder / "hub")  # a trained model does not need what it began from
    with torch.no_grad():
        assert torch.equal(
            forward_batch(OmniModel.load(own_folder / "trained"), batch).losses, before
        )
