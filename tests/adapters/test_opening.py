"""Models by their paths: adapters switched on and off, and what is refused in one line."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from small_models import small_model, trained
from vision_language import SAMPLES

from omni_lab.adapters.opening import open_model, open_pair
from omni_lab.errors import InputError, UsageError

peft = pytest.importorskip("peft")


def adapter_on(base, folder, **changes):
    """A LoRA adapter on an image-text-to-text model, trained a little, as peft saves it."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base)
    if rows := changes.pop("rows", 0):
        model.resize_token_embeddings(rows)
    settings = {
        "r": 2,
        "init_lora_weights": False,
        "target_modules": ["q_proj", "v_proj"],
        **changes,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        torch.manual_seed(4)
        with torch.no_grad():
            for weight in made.parameters():
                weight += 0.1 * torch.randn_like(weight) * weight.requires_grad
        made.save_pretrained(folder, save_embedding_layers=bool(rows))
    return str(folder)


def losses(model):
    return np.concatenate([found.losses for found in model.token_losses(SAMPLES)])


@pytest.mark.parametrize("order", ["base first", "adapter first"])
def test_a_base_and_its_adapter_share_weights_and_are_what_they_are_alone(folders, tmp_path, order):
    base = folders("llava")
    adapter = adapter_on(base, tmp_path / "lora")
    names = (base, adapter) if order == "base first" else (adapter, base)
    pair = open_pair(*names, "cpu")
    assert pair[0].model is pair[1].model
    alone = [open_model(name, "cpu") for name in names]
    for _ in range(2):  # switched on again after it was off
        for shared, own in zip(pair, alone, strict=True):
            assert np.allclose(losses(shared), losses(own), atol=1e-5)
    assert np.abs(losses(pair[0]) - losses(pair[1])).max() > 0.05
    assert [shared.name for shared in pair] == list(names)
    assert [shared.contents() for shared in pair] == [own.contents() for own in alone]


def test_an_adapter_on_the_output_layer_is_no_plain_weight(folders, tmp_path):
    base = folders("llava")
    adapter = adapter_on(base, tmp_path / "lora", target_modules=["lm_head"])
    reference, trainee = open_pair(base, adapter, "cpu")
    one, other = losses(reference), losses(trainee)
    assert np.abs(one - other).max() > 0.01
    assert np.allclose(one, losses(open_model(base, "cpu")), atol=1e-5)


def test_an_adapter_with_more_tokens_does_not_lend_them_to_its_base(folders, tmp_path):
    base = folders("llava")
    rows = open_model(base, "cpu").model.get_input_embeddings().num_embeddings
    adapter = adapter_on(base, tmp_path / "lora", rows=rows + 5)
    reference, trainee = open_pair(base, adapter, "cpu")
    assert reference.model is not trainee.model
    assert reference.model.lm_head.out_features == rows
    assert np.allclose(losses(reference), losses(open_model(base, "cpu")), atol=1e-6)


def test_the_same_model_twice_is_loaded_once(folders):
    reference, trainee = open_pair(folders("llava"), folders("llava"), "cpu")
    assert reference is trainee


def test_an_adapter_of_another_base_is_refused_in_one_line(folders, tmp_path):
    adapter = adapter_on(folders("llava"), tmp_path / "lora")
    settings = tmp_path / "lora" / "adapter_config.json"
    data = json.loads(settings.read_text()) | {"base_model_name_or_path": folders("idefics3")}
    settings.write_text(json.dumps(data))
    with pytest.raises(InputError, match="failed to load|no place in|missing|do not fit") as error:
        open_model(adapter, "cpu")
    assert "\n" not in str(error.value) and str(error.value).startswith(adapter)


def test_a_model_that_sees_no_images_is_refused(own_folder):
    small_model("llama", 600).save_pretrained("text")
    trained("byte").save_pretrained("text")
    with pytest.raises(InputError, match="text: a llama model, which does not read images"):
        open_model("text", "cpu")


@pytest.mark.parametrize(
    ("name", "device", "kind", "message"),
    [
        ("nowhere", "cpu", InputError, "nowhere: failed to load"),
        ("nowhere", "abacus", UsageError, "device abacus: "),
    ],
)
def test_what_is_not_there_is_one_line(name, device, kind, message, own_folder):
    with pytest.raises(kind, match=message) as error:
        open_model(name, device)
    assert "\n" not in str(error.value)


def test_weights_that_could_run_code_are_refused(folders, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(folders("llava"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="failed to load"):
        open_model(str(folder), "cpu")
    adapter = adapter_on(folders("llava"), tmp_path / "lora")
    (tmp_path / "lora" / "adapter_model.safetensors").rename(
        tmp_path / "lora" / "adapter_model.bin"
    )
    with pytest.raises(InputError, match="has no adapter_model.safetensors; save it"):
        open_model(adapter, "cpu")


def test_code_beside_a_model_is_never_run(folders, tmp_path):
    folder = tmp_path / "coded"
    shutil.copytree(folders("llava"), folder)
    (folder / "theirs.py").write_text("raise SystemExit('this code was run')")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="failed to load"):
        open_model(str(folder), "cpu")
