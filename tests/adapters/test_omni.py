"""Token losses of our own models: those of the forward pass of training, on the text alone."""

import json
import warnings

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers_like import byte_level, sentencepiece
from vision_language import noise

from omni_lab.adapters.interface import Sample, TextModel
from omni_lab.adapters.omni import OmniTextModel, spans_of
from omni_lab.adapters.opening import open_pair
from omni_lab.config import override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import InputError, OmniLabError
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.documents import Document, Picture
from omni_lab.sequences.formats import lay_out
from omni_lab.sequences.tokens import TEXT_KIND, tokenize
from omni_lab.sequences.vocabulary import HubVocabulary
from omni_lab.training import checkpoint
from omni_lab.training.run import Place, RunFolder

SAMPLES = [
    Sample("red circle, top-left!", (noise(60, 40),)),
    Sample("blue 12", (noise(48, 48), noise(30, 90)), "Where is red?"),
    Sample("green", (noise(48, 48),)),
]


def reader(*settings):
    config = override(tiny(), list(settings))
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, len(build_vocabulary(config)))
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight += 0.2 * torch.randn_like(weight)
    return OmniTextModel(model, config, "ours")


@pytest.mark.parametrize("layout", ["stream", "F0", "F3"])
def test_losses_are_the_same_alone_and_in_a_batch_and_spans_are_the_words(layout):
    model = reader(f"sequence.layout={layout}")
    assert isinstance(model, TextModel)
    together = model.token_losses(SAMPLES)
    for sample, found in zip(SAMPLES, together, strict=True):
        (alone,) = model.token_losses([sample])
        assert np.allclose(found.losses, alone.losses, atol=1e-4)
        assert np.isfinite(found.losses).all() and found.losses.min() > 0
        words = [sample.text[a:b].strip() for a, b in found.spans.tolist()]
        digits = [word for word in sample.text.split() for _ in range(2 if word == "12" else 1)]
        assert words == digits


def test_losses_are_those_of_the_logits_one_place_earlier():
    model, sample = reader("sequence.layout=F0"), SAMPLES[0]
    from omni_lab.media.subtitles.reader import Cue
    from omni_lab.model.inputs import placed_tokens
    from omni_lab.sequences.batch import collate

    settings = model.config.sequence
    cue = Cue(0, 0, sample.text, settings.model_role)
    document = Document("x", (Picture(sample.images[0]), cue))
    row = tokenize(lay_out(document, model.config), model.vocabulary, settings)
    batch = collate([row], settings, model.config.model.image.size)
    with torch.no_grad():
        logits = model.model(**placed_tokens(model.model, batch)).logits[0].double()
    places = np.flatnonzero(row.kind == TEXT_KIND)
    expected = -logits.log_softmax(-1)[places - 1, row.ids[places]]
    (found,) = model.token_losses([sample])
    assert np.allclose(found.losses, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("tokenizer", [byte_level, sentencepiece])
def test_spans_of_a_pretrained_tokenizer_are_its_own(tokenizer):
    vocabulary = HubVocabulary(tokenizer())
    text = "The cat sat on the mat."
    spans = spans_of(text, np.array(vocabulary.encode(text)), vocabulary)
    assert "".join(text[a:b] for a, b in spans.tolist()) == text


def test_what_a_model_cannot_read_is_one_line():
    model = reader("sequence.layout=F0", "sequence.max_tokens=80")
    for sample, message in (
        (Sample("— !", (noise(9, 9),)), "no token of '— !'"),
        (Sample("red " * 90, (noise(9, 9),)), "max_tokens"),
    ):
        with pytest.raises(OmniLabError, match=message):
            model.token_losses([sample])
    config = override(tiny(), ["sequence.layout=haystack"])
    with pytest.raises(InputError, match="layout 'haystack' has no place for a caption"):
        OmniTextModel(model.model, config, "ours")


def test_contents_follow_weights_and_settings():
    model, other = reader("sequence.layout=F0"), reader("sequence.layout=F0")
    assert model.contents() == other.contents()
    with torch.no_grad():
        next(other.model.parameters()).add_(1)
    assert model.contents()["weights"] != other.contents()["weights"]
    assert model.contents()["settings"] != reader("sequence.layout=F2").contents()["settings"]


def test_an_adapter_on_a_run_is_opened_with_the_run_below_it(tmp_path):
    """`omni-lab svlm score --reference ADAPTER --trainee RUN`: the reference on the trainee's base."""
    config = tiny()
    ours = reader("seed=3")
    run = RunFolder(tmp_path / "run", config)
    checkpoint.save(run.checkpoints, Place("vision", 1), ours.model, [], {}, config)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, lora_dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks for an old name
        get_peft_model(ours.model.decoder, lora).save_pretrained(tmp_path / "lora")
    told = tmp_path / "lora" / "adapter_config.json"
    own = json.loads(told.read_text()) | {"base_model_name_or_path": str(run.path)}
    told.write_text(json.dumps(own))

    adapted, plain = open_pair(str(tmp_path / "lora"), str(run.path), "cpu")
    assert (adapted.name, plain.name) == (str(tmp_path / "lora"), str(run.path))
    one, other = (model.token_losses(SAMPLES)[0].losses for model in (adapted, plain))
    assert not np.allclose(one, other)
    assert np.array_equal(one, adapted.token_losses(SAMPLES)[0].losses), "dropout is off"
    assert adapted.contents()["weights"] != plain.contents()["weights"]
    assert adapted.contents()["tokenizer"] == plain.contents()["tokenizer"]
    (tmp_path / "lora" / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match=f"lora: no adapter of {run.path}"):
        open_pair(str(tmp_path / "lora"), None, "cpu")
