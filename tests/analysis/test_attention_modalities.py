"""Modality mass of our model equals eager attention, on plain and on packed rows."""

from __future__ import annotations

import pytest
import torch

from omni_lab.analysis.attention.modalities import modality_mass
from omni_lab.config import tiny
from omni_lab.model.inputs import embed_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import make_batch
from omni_lab.sequences.stream import omni_stream
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary


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
