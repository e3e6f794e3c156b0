"""Confusion matrix of token kinds: whose ids are whose, planted predictions, logits in pieces."""

import pytest
import torch
from small_models import trained as tokenizer

from omni_lab.analysis.confusion import kind_confusion, kind_of_ids
from omni_lab.config import tiny
from omni_lab.errors import InputError
from omni_lab.model import loss
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import make_batch
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.vocabulary import HubVocabulary
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

CONFIG, VOCABULARY = tiny(), WorldVocabulary()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY)).eval()


@pytest.fixture(scope="module")
def batch():
    clips = [from_script(write_script(seed, 4), CONFIG.model.image.size) for seed in range(3)]
    streams = [omni_stream(clip, CONFIG.sequence, supervised=True) for clip in clips]
    return make_batch(streams, VOCABULARY, CONFIG.sequence, CONFIG.model.image.size)


def test_every_id_has_a_kind_that_tokens_of_it_have(batch):
    kinds = kind_of_ids(VOCABULARY)
    there = batch.kind >= 0
    assert torch.equal(kinds[batch.input_ids[there]], batch.kind[there])
    assert KINDS[kinds[VOCABULARY.ids["<unknown>"]]] == "text"


def test_special_tokens_of_a_hub_tokenizer_are_control():
    vocabulary = HubVocabulary(tokenizer("pieces"))
    kinds = kind_of_ids(vocabulary)
    special = vocabulary.tokenizer.all_special_ids
    rest = {
        vocabulary.control("<image>"),
        vocabulary.control("<audio>"),
        vocabulary.control("<unknown>"),
    }
    assert {KINDS[kinds[i]] for i in set(special) - rest} == {"control"}
    assert all(KINDS[kinds[i]] == "text" for i in vocabulary.encode("Paris is a town"))


@pytest.mark.parametrize("always", ["<unit>", "<image>", "red"])
def test_a_model_that_always_says_one_token_fills_one_column(model, batch, always, monkeypatch):
    monkeypatch.setattr(
        "omni_lab.analysis.confusion.kinds.likeliest",
        lambda states, weight: torch.full((len(states),), VOCABULARY.ids[always]),
    )
    found = kind_confusion(model, [batch], VOCABULARY, resamples=20)
    assert found.rows == ("text", "control") and found.columns == (
        "image",
        "audio",
        "text",
        "control",
    )
    column = found.columns.index({"<unit>": "control", "<image>": "image"}.get(always, "text"))
    assert (found.rates[:, column] == 1).all()
    labels = batch.labels[batch.labels >= 0]
    assert found.counts.sum() == len(labels) and found.units == len(batch.input_ids)


def test_logits_in_pieces_say_what_all_at_once_say(model, batch, monkeypatch):
    states = forward_batch(model, batch).states
    whole = model.logits(states).argmax(-1)
    monkeypatch.setattr(loss, "PIECE", 3 * len(VOCABULARY))
    assert torch.equal(loss.likeliest(states, model.output_weight), whole)


def test_batches_are_added_up_with_documents_apart(model, batch):
    once, twice = (kind_confusion(model, [batch] * n, VOCABULARY, 20) for n in (1, 2))
    assert (twice.counts == 2 * once.counts).all() and twice.units == 2 * once.units


def test_without_a_supervised_token_nothing_is_measured(model):
    with pytest.raises(InputError, match="no token of these batches is supervised"):
        kind_confusion(model, [], VOCABULARY)
