"""PEFT adapters as needle readers: added tokens, their own tokenizer, what does not fit, what is another."""

import json
import warnings

import pytest
import torch
from small_models import small_model, trained
from transformers import AutoModelForCausalLM

from omni_lab.cli.main import main
from omni_lab.errors import InputError
from omni_lab.evaluation.needles.causal import CausalNeedleModel
from omni_lab.evaluation.needles.interface import Trial

peft = pytest.importorskip("peft")
IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """A model with an output layer of its own, and one without."""
    made = {}
    for tied in (False, True):
        model = small_model("llama", 600)
        model.config.tie_word_embeddings = tied
        model.tie_weights()
        made[tied] = str(tmp_path_factory.mktemp("base"))
        model.save_pretrained(made[tied])
        trained("byte").save_pretrained(made[tied])
    return made


def adapter(base, folder, tokens=0, tokenizer=None, **changes):
    """Logits of a model whose adapter, trained with so many more tokens, is saved in a folder."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), tokenizer or trained("byte")
    if tokens:
        tokenizer.add_tokens([f"<new {number}>" for number in range(tokens)])
        model.resize_token_embeddings(600 + tokens)
    config = {"r": 4, "init_lora_weights": False, "target_modules": ["q_proj", "v_proj"], **changes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **config))
        with torch.no_grad():
            for weight in made.parameters():
                weight += 0.1 * torch.randn_like(weight) * weight.requires_grad
        made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with torch.no_grad():
        return made.eval()(input_ids=IDS).logits


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("tokens", "changes"),
    [
        (0, {}),
        (8, {}),
        (-8, {}),
        (8, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (0, {"trainable_token_indices": [3, 599]}),
        (8, {"trainable_token_indices": [600, 607]}),
        (0, {"use_dora": True, "target_modules": ["embed_tokens", "q_proj"]}),
    ],
    ids=["plain", "added", "fewer", "saved", "trainable", "added and trainable", "dora"],
)
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_an_adapter_computes_what_it_was_saved_with(bases, tied, tokens, changes, own_folder):
    torch.manual_seed(1)
    true = adapter(bases[tied], "adapter", tokens, **changes)
    reader = CausalNeedleModel.load("adapter")
    with torch.no_grad():
        torch.testing.assert_close(reader.model(IDS).logits, true, rtol=0, atol=1e-5)
    assert len(reader.tokenizer) == 600 + max(tokens, 0)
    if tokens >= 0:
        reader.vet([Trial("text", 100, 0.5, 1)])


def test_added_tokens_without_their_rows_of_the_output_layer_are_refused(bases, own_folder):
    adapter(bases[False], "adapter", 8, target_modules=["embed_tokens", "q_proj"])
    with pytest.raises(InputError, match="brings 608 tokens, but no such rows of lm_head; save"):
        CausalNeedleModel.load("adapter")


def test_the_tokenizer_beside_an_adapter_is_its_own_and_without_one_its_base_models(
    bases, own_folder
):
    adapter(bases[False], "other", tokenizer=trained("marked"))
    assert CausalNeedleModel.load("other").tokenizer.encode("a")[0] == 0, "begins every text"
    adapter(bases[False], "bare")
    for file in (own_folder / "bare").glob("*token*"):
        file.unlink()
    theirs = CausalNeedleModel.load("bare").tokenizer
    assert theirs.encode("The number") == trained("byte").encode("The number")


def told(capsys, folder="adapter"):
    """The only line of an error of the command."""
    assert main(["evaluate", "needles", folder, "--lengths", "100"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_an_adapter_of_another_model_is_refused_by_name(bases, capsys, own_folder):
    adapter(bases[False], "adapter", target_modules=["q_proj"])
    file = own_folder / "adapter" / "adapter_config.json"
    settings = json.loads(file.read_text())
    trained("byte").save_pretrained("base")

    file.write_text(json.dumps(settings | {"base_model_name_or_path": "base"}))
    small_model("gpt2", 600).save_pretrained("base")
    assert told(capsys).startswith(
        "omni-lab: adapter: failed to load (NoMatchingPeftModuleError: Target"
    )
    wider = small_model("llama", 600).config
    wider.num_key_value_heads, wider.num_attention_heads, wider.head_dim = 1, 4, 16
    AutoModelForCausalLM.from_config(wider).save_pretrained("base")
    line = told(capsys)
    assert "failed to load (RuntimeError: Error(s) in loading" in line and "q_proj" in line
    fewer = small_model("llama", 600).config
    fewer.num_hidden_layers = 1
    AutoModelForCausalLM.from_config(fewer).save_pretrained("base")
    assert "2 weights have no place in the base model, such as base_model.model.model.layers.1" in (
        told(capsys)
    )
    file.write_text(json.dumps(settings | {"target_modules": ["q_proj", "o_proj"]}))
    assert "4 weights are missing, such as base_model.model.model.layers.0" in told(capsys)
    file.write_text(json.dumps(settings | {"base_model_name_or_path": None}))
    assert "adapter_config.json has no base_model_name_or_path" in told(capsys)


def test_prompts_before_the_text_are_not_left_out_silently(bases, capsys, own_folder):
    model = AutoModelForCausalLM.from_pretrained(bases[False])
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.get_peft_model(model, config).save_pretrained("adapter")
    assert "PROMPT_TUNING puts prompts before the text" in told(capsys)


def test_a_base_model_that_is_not_whole_is_noticed_under_its_adapter(bases, capsys, own_folder):
    small_model("llama", 600).model.save_pretrained("base")
    trained("byte").save_pretrained("base")
    adapter(bases[False], "adapter")
    file = own_folder / "adapter" / "adapter_config.json"
    settings = json.loads(file.read_text()) | {"base_model_name_or_path": "base"}
    file.write_text(json.dumps(settings))
    assert told(capsys) == "omni-lab: base: 1 weights are missing, such as lm_head.weight"


def test_the_strength_of_an_adapter_is_part_of_its_content(bases, own_folder):
    contents = []
    for alpha in (8, 16):
        torch.manual_seed(1)
        adapter(bases[False], "adapter", lora_alpha=alpha)
        contents += [CausalNeedleModel.load("adapter").contents() for _ in range(2)]
    assert contents[0] == contents[1] != contents[2] == contents[3]
    assert contents[0]["weights"] == contents[2]["weights"]


def test_a_weight_of_another_shape_is_named_with_both(bases, own_folder):
    small_model("llama", 600).save_pretrained("base")
    trained("byte").save_pretrained("base")
    settings = json.loads((own_folder / "base" / "config.json").read_text())
    (own_folder / "base" / "config.json").write_text(json.dumps(settings | {"vocab_size": 700}))
    with pytest.raises(InputError, match=r"weight: \[600, 32\], where \[700, 32\] are expected"):
        CausalNeedleModel.load("base")


def test_weights_without_a_place_in_a_model_are_refused_by_name(capsys, own_folder):
    small_model("llama", 600).save_pretrained("deeper")
    trained("byte").save_pretrained("deeper")
    file = own_folder / "deeper" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_hidden_layers": 1}))
    assert " weights have no place in LlamaForCausalLM, such as model.layers.1." in told(
        capsys, "deeper"
    )
