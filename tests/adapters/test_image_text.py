"""Token losses of image-text-to-text models: exact in any batch, any padding, any output layer."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from vision_language import FAMILIES, SAMPLES, llava, noise, pieces, qwen

from omni_lab.adapters.image_text import ImageTextModel
from omni_lab.adapters.interface import Sample, TextModel
from omni_lab.adapters.opening import open_model
from omni_lab.errors import InputError

AFTER = {"qwen2-vl": 2, "qwen2.5-vl": 2, "llava": 1, "idefics3": 2}  # tokens behind a caption


@pytest.fixture(scope="module")
def model(folders):
    opened = {}

    def of(family):
        if family not in opened:
            opened[family] = open_model(folders(family), "cpu")
        return opened[family]

    return of


def by_hand(model, sample, behind):
    """Losses from the full logits of the conversation, as transformers' documentation writes it."""
    question = sample.question or ("Describe the image." if sample.images else "Write a sentence.")
    images = [{"type": "image", "image": Image.fromarray(pixels)} for pixels in sample.images]
    turns = [
        {"role": "user", "content": [*images, {"type": "text", "text": question}]},
        {"role": "assistant", "content": [{"type": "text", "text": sample.text}]},
    ]
    inputs = model.processor.apply_chat_template(
        turns, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = model.model(**inputs).logits[0].double()
    ids = inputs["input_ids"][0]
    last = len(ids) - behind
    return logits.log_softmax(-1)[:-1].gather(1, ids[1:, None])[: last - 1, 0].neg(), ids[:last]


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_the_full_logits_in_a_batch_of_mixed_images(model, family):
    reader = model(family)
    assert isinstance(reader, TextModel)
    for sample, found in zip(SAMPLES, reader.token_losses(SAMPLES), strict=True):
        losses, ids = by_hand(reader, sample, AFTER[family])
        count = len(found.losses)
        assert np.allclose(found.losses, losses[-count:].numpy(), atol=2e-4)
        assert reader.prompt.tokenizer.decode(ids[-count:]).strip() == sample.text
        spelled = "".join(
            sample.text[a:b] for a, b in dict.fromkeys(map(tuple, found.spans.tolist()))
        )
        assert spelled.replace(" ", "") == sample.text.replace(" ", "")
    assert reader._head_alone is True


@pytest.mark.parametrize("family", ["qwen2-vl", "llava"])
def test_padding_on_the_left_gives_the_same_losses(model, family):
    reader = model(family)
    right = reader.token_losses(SAMPLES)
    assert reader.prompt.tokenizer.padding_side == "right"
    reader.prompt.tokenizer.padding_side = "left"
    try:
        left = reader.token_losses(SAMPLES)
    finally:
        reader.prompt.tokenizer.padding_side = "right"
    for one, other in zip(left, right, strict=True):
        assert np.allclose(one.losses, other.losses, atol=2e-4)


def test_a_model_is_told_apart_by_its_image(model):
    reader = model("llava")
    other = [sample._replace(images=(noise(30, 30, seed=9),)) for sample in SAMPLES[:2]]
    for one, two in zip(reader.token_losses(SAMPLES[:2]), reader.token_losses(other), strict=True):
        assert np.abs(one.losses - two.losses).max() > 1e-3


@pytest.mark.parametrize("change", ["scaled", "biased"])
def test_an_output_layer_that_does_more_than_its_weight_is_found_out(folders, change):
    reader = open_model(folders("llava"), "cpu")
    head = reader.model.lm_head
    if change == "scaled":
        head.register_forward_hook(lambda module, given, out: 0.5 * out)
    else:
        reader.model.lm_head = torch.nn.Linear(head.in_features, head.out_features)
    found = reader.token_losses(SAMPLES)
    assert reader._head_alone is False
    for sample, own in zip(SAMPLES, found, strict=True):
        losses, _ = by_hand(reader, sample, AFTER["llava"])
        assert np.allclose(own.losses, losses[-len(own.losses) :].numpy(), atol=2e-4)


def test_half_precision_keeps_the_short_way_and_float32_losses(folders):
    whole = open_model(folders("llava"), "cpu").token_losses(SAMPLES[:2])
    reader = open_model(folders("llava"), "cpu", "bfloat16")
    half = reader.token_losses(SAMPLES[:2])
    assert reader._head_alone is True and reader.name.endswith(", bfloat16")
    for one, other in zip(whole, half, strict=True):
        assert other.losses.dtype == np.float32
        assert np.abs(one.losses - other.losses).max() < 0.5


def test_a_text_with_a_control_token_is_refused_by_name(model):
    for text in ("a <image> b", "so </s>"):
        with pytest.raises(InputError, match="is a control token of .*; take it out"):
            model("llava").token_losses([Sample(text, (noise(9, 9),))])
    with pytest.raises(InputError, match="'<image>' in it is a control token"):
        model("llava").token_losses([Sample("a", (noise(9, 9),), "<image>")])


def test_without_a_template_a_text_follows_its_images_as_in_pretraining(tmp_path):
    reader = open_model(str(qwen(tmp_path, template=None)), "cpu")
    sample, blind = Sample("A red cat", (noise(40, 60),)), Sample("A red cat")
    seen, unseen = reader.token_losses([sample, blind])
    assert reader.prompt.of(sample).prompt == "<|image_pad|>A red cat"
    assert np.isfinite(seen.losses).all()
    # nothing stands before the first token of a row
    assert np.isnan(unseen.losses).tolist() == [True, *[False] * (len(unseen.losses) - 1)]


def test_tokens_across_the_edge_of_a_text_are_cut_to_it(tmp_path):
    llava(tmp_path, tokenizer=pieces(["<image>"], across=True))
    (found,) = open_model(str(tmp_path), "cpu").token_losses(SAMPLES[:1])
    assert found.spans.min() == 0 and found.spans.max() == len(SAMPLES[0].text)


def test_a_beginning_token_of_the_template_is_not_doubled(tmp_path):
    folder = llava(tmp_path)
    template = (folder / "chat_template.jinja").read_text()
    plain = open_model(str(folder), "cpu").token_losses(SAMPLES[:1])
    (folder / "chat_template.jinja").write_text("{{ bos_token }}" + template)
    marked = open_model(str(folder), "cpu").token_losses(SAMPLES[:1])
    assert np.allclose(plain[0].losses, marked[0].losses, atol=1e-5)


def test_weights_that_give_no_numbers_are_refused(folders):
    reader = open_model(folders("llava"), "cpu")
    with torch.no_grad():
        reader.model.lm_head.weight[5] = float("inf")
    with pytest.raises(InputError, match="its losses are not finite"):
        reader.token_losses(SAMPLES[:1])


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    folder = qwen(tmp_path)
    tokens = json.loads((folder / "tokenizer.json").read_text())
    rows = open_model(str(folder), "cpu").model.get_input_embeddings().num_embeddings
    tokens["model"]["vocab"]["Ġred"] = rows + 3
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    with pytest.raises(InputError, match=rf"writes token {rows + 3}, the model has {rows}"):
        open_model(str(folder), "cpu").token_losses(SAMPLES[:1])


def test_contents_tell_models_tokenizers_and_processors_apart(model, folders):
    one, other = model("qwen2-vl").contents(), model("llava").contents()
    assert set(one) == {"weights", "settings", "tokenizer", "processor"}
    assert all(one[key] != other[key] for key in one)
    assert open_model(folders("llava"), "cpu").contents() == other


def test_a_template_that_rewrites_answers_is_refused(tmp_path):
    llava(tmp_path, template="{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(InputError, match="does not write an answer as it stands, once"):
        open_model(str(tmp_path), "cpu").token_losses(SAMPLES[:1])


def test_a_tokenizer_without_spans_is_refused(model):
    reader = model("llava")

    class Slow:
        image_token, chat_template = "<image>", "x"
        tokenizer = type("SlowTokenizer", (), {"is_fast": False, "chat_template": None})()

    with pytest.raises(InputError, match="SlowTokenizer gives no character spans"):
        ImageTextModel(reader.model, Slow(), "slow", "")
