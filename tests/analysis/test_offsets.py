"""Positions divided in single layers, and attention by distance: held against RoPE as the decoder does it."""

import pytest
import torch

from omni_lab.analysis.offsets import distance_mass, positions_divided
from omni_lab.config import tiny
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import set_rope


def out_of(decoder, seed=0):
    rows = torch.randn(
        2, 20, decoder.config.hidden_size, generator=torch.Generator().manual_seed(seed)
    )
    with torch.no_grad():
        return decoder(inputs_embeds=rows).last_hidden_state


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    config = tiny()
    return OmniModel.build(config.model, config.sequence, 40).decoder.eval()


def test_all_layers_divided_are_position_interpolation_and_none_is_as_before(decoder):
    before = out_of(decoder)
    layers = range(len(decoder.layers))
    with positions_divided(decoder, dict.fromkeys(layers, 4.0)):
        divided = out_of(decoder)
    with positions_divided(decoder, {}):
        assert torch.equal(out_of(decoder), before)
    assert torch.equal(out_of(decoder), before)
    set_rope(decoder, factor=4.0)
    torch.testing.assert_close(divided, out_of(decoder), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(divided, before, atol=1e-2)


def test_each_pair_may_have_a_factor_of_its_own(decoder):
    before, pairs = out_of(decoder), len(decoder.rotary_emb.inv_freq)
    with positions_divided(decoder, {0: [1.0] * pairs}):
        torch.testing.assert_close(out_of(decoder), before, rtol=1e-4, atol=1e-4)
    with positions_divided(decoder, {0: [1.0] * (pairs - 1) + [4.0]}):
        last = out_of(decoder)
    with positions_divided(decoder, {0: [4.0] * pairs}):
        assert not torch.allclose(out_of(decoder), last, atol=1e-3)


def test_attention_is_counted_by_distance():
    queries = torch.zeros(1, 2, 6, 4)
    even = distance_mass(queries, torch.zeros(1, 1, 6, 4), 2)
    # the queries with two tokens before them see 3, 4, 5 and 6 tokens, each alike
    torch.testing.assert_close(even, torch.full((2, 3), (1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) / 4))

    queries, keys = 100 * torch.eye(6)[None, None], torch.eye(6).roll(-1, 0)[None, None]
    torch.testing.assert_close(
        distance_mass(queries[:, :, :6], keys, 1)[0], torch.tensor([0.0, 1.0])
    )
