"""Attention mass equals the dense attention map, layer by layer; capture changes no output."""

from __future__ import annotations

import pytest
import torch

from omni_lab.analysis.capture import capture_attention, modality_mass
from omni_lab.analysis.mass import attention_mass, mass_matrix
from omni_lab.config import tiny
from omni_lab.model.inputs import embed_batch, forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import make_batch
from omni_lab.sequences.stream import omni_stream
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary


def dense_map(query, key, scale):
    scores = query @ key.transpose(-1, -2) * scale
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_mass_is_the_dense_map_summed_by_label(groups):
    torch.manual_seed(0)
    query = torch.randn(2, 4, 50, 8, dtype=torch.float64)
    key = torch.randn(2, 4 // groups, 50, 8, dtype=torch.float64)
    labels = torch.randint(-1, 3, (2, 50))
    weights = dense_map(query, key.repeat_interleave(groups, 1), 8**-0.5)
    mass = attention_mass(query, key, labels, 3)
    for label in range(3):
        expected = (weights * (labels == label)[:, None, None]).sum(-1)
        torch.testing.assert_close(mass[..., label], expected, rtol=0, atol=1e-12)
    rows, counts = mass_matrix(mass, labels, 3)
    chosen = labels == 1
    torch.testing.assert_close(rows[1] / counts[1], mass.mean(1)[chosen].mean(0))


@pytest.fixture(scope="module")
def model_and_batch():
    config, vocabulary = tiny(), WorldVocabulary()
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, len(vocabulary)).eval()
    clips = [from_script(write_script(seed, seconds), 48) for seed, seconds in ((1, 4), (2, 2))]
    return model, make_batch(
        [omni_stream(clip, config.sequence) for clip in clips],
        vocabulary,
        config.sequence,
        config.model.image.size,
    )


def test_rows_of_the_models_matrix_sum_to_one_and_match_eager_attention(model_and_batch):
    model, batch = model_and_batch
    found = modality_mass(model, [batch])
    assert found["queries"] == ["image", "audio", "text", "control"]
    for layer in found["layers"]:
        assert torch.tensor(layer).sum(1) == pytest.approx(torch.ones(4), abs=1e-5)
    model.decoder.set_attn_implementation("eager")
    try:
        maps = model.decoder(
            inputs_embeds=embed_batch(model, batch), output_attentions=True
        ).attentions
    finally:
        model.decoder.set_attn_implementation("sdpa")
    heard, seen = batch.kind == 1, batch.kind == 0
    for layer, weights in zip(found["layers"], maps, strict=True):
        expected = (weights.mean(1) * seen[:, None]).sum(-1)[heard].mean()
        assert layer[1][0] == pytest.approx(expected.item(), abs=1e-5)


def test_capture_changes_no_output_and_ends(model_and_batch):
    model, batch = model_and_batch
    before = model.decoder.config._attn_implementation
    with torch.no_grad():
        plain = forward_batch(model, batch).logits
        calls = []
        with capture_attention(model.decoder, lambda layer, *_: calls.append(layer)):
            heard = forward_batch(model, batch).logits
    torch.testing.assert_close(heard, plain, rtol=0, atol=1e-6)
    assert calls == [0, 1, 2]
    assert model.decoder.config._attn_implementation == before
