"""Knocked-out attention equals eager attention with the same edges masked, with and without a cache."""

from __future__ import annotations

import pytest
import torch
from decoders import DECODERS, decoder
from transformers import DynamicCache

from omni_lab.analysis.attention.call import AttentionCall
from omni_lab.analysis.attention.capture import capture_attention
from omni_lab.analysis.attention.knockout import (
    LEAST,
    Cut,
    answer_probability,
    knock_out,
    knockout_effects,
)
from omni_lab.analysis.attention.mass import attention_mass
from omni_lab.errors import UsageError

TOKENS, WITHIN = 30, 5e-6


@pytest.fixture(scope="module", params=[name for name in DECODERS if name != "Gemma2"])
def part(request):
    return decoder(request.param)


@pytest.fixture(scope="module")
def ids():
    return torch.randint(50, (2, TOKENS), generator=torch.Generator().manual_seed(1))


def a_cut(**others) -> Cut:
    at = torch.arange(TOKENS).expand(2, -1)
    return Cut(
        (at >= 12) & (at < 20), (at >= 4) & (at < 9), **others
    )  # within a window of 12, in part


def states(part, ids, **others):
    with torch.no_grad():
        return part(input_ids=ids, use_cache=False, **others).last_hidden_state


def masked_eagerly(part, ids, cut, layers, heads=None):
    """Hidden states where eager attention gets the cut as a mask, layer by layer."""
    away = cut.queries[:, None, :, None] & cut.keys[:, None, None]
    count = part.config.num_attention_heads
    only = torch.zeros(count, dtype=torch.bool)
    only[slice(None) if heads is None else list(heads)] = True

    def mask(module, args, kwargs):
        causal = kwargs["attention_mask"]
        causal = causal.expand(len(ids), count, -1, -1)
        kwargs["attention_mask"] = causal.masked_fill(away & only[:, None, None], -torch.inf)
        return args, kwargs

    handles = [
        part.layers[layer].self_attn.register_forward_pre_hook(mask, with_kwargs=True)
        for layer in layers
    ]
    before = part.config._attn_implementation
    part.set_attn_implementation("eager")
    try:
        return states(part, ids)
    finally:
        part.set_attn_implementation(before)
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("layers", [None, (1,), (0, 2)])
@pytest.mark.parametrize("heads", [None, (0, 3)])
def test_a_cut_is_an_exact_mask(part, ids, layers, heads):
    cut = a_cut(layers=layers, heads=heads)
    true = masked_eagerly(part, ids, cut, range(3) if layers is None else layers, heads)
    plain = states(part, ids)
    with knock_out(part, cut):
        found = states(part, ids)
    assert (found - true).abs().max() < WITHIN * max(1.0, float(true.abs().max()))
    assert (found - plain)[:, 12:].abs().max() > 1e-3
    torch.testing.assert_close(found[:, :12], plain[:, :12], rtol=0, atol=1e-5)


def test_two_cuts_are_both_made_and_seen_by_a_capture_inside_or_outside(part, ids):
    first, other = a_cut(), a_cut()
    second = Cut(other.queries, other.keys.roll(8, 1))
    labels = first.keys.long() + 2 * second.keys.long()
    masses = []

    def look(call: AttentionCall) -> None:
        masses.append(attention_mass(call, call.at_keys(labels), 3))

    with knock_out(part, first, second), capture_attention(part, look):
        inside = states(part, ids)
    with capture_attention(part, look), knock_out(part, first, second):
        outside = states(part, ids)
    assert torch.equal(inside, outside)
    assert len(masses) == 6
    left = torch.stack(masses)[..., 12:20, 1:]
    assert left.max() < LEAST
    assert torch.stack(masses)[..., 9:12, 1].max() > 1e-3


def test_generation_with_a_cache_is_cut_as_one_pass_is(part, ids):
    cut = a_cut()
    every = Cut(torch.ones_like(cut.queries[:, :20]) & (torch.arange(20) > 9), cut.keys[:, :20])
    with knock_out(part, every):
        whole = states(part, ids)  # tokens beyond the cut's end are cut, too
        past, pieces, first = DynamicCache(config=part.config), [], 0
        for count in (12, 1, 7, 1, 1, 8):
            last = first + count
            with torch.no_grad():
                out = part(input_ids=ids[:, first:last], past_key_values=past)
            pieces.append(out.last_hidden_state)
            first = last
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=WITHIN * 4)
    keys = past.layers[0].keys
    assert keys.shape[-1] == part.config.head_dim


def test_gradients_go_through_a_cut(ids):
    part = decoder("Qwen3")
    cut = a_cut()
    embedded = part.embed_tokens(ids).detach().requires_grad_()
    with knock_out(part, Cut(cut.queries | ~cut.keys, cut.keys)):
        out = part(inputs_embeds=embedded, use_cache=False).last_hidden_state
    out[:, -1].sum().backward()
    grad = embedded.grad.abs().amax(-1)
    assert grad[:, 4:9].max() == 0.0
    assert grad[:, 10:].min() > 0.0


def test_a_query_without_a_key_is_refused_by_layer_and_place(ids):
    part = decoder("Llama")
    cut = Cut(torch.arange(TOKENS).expand(2, -1) == 5, torch.arange(TOKENS).expand(2, -1) <= 5)
    refused = pytest.raises(UsageError, match="layer 1: query 5 of row 0 has no other key left")
    with refused, knock_out(part, Cut(cut.queries, cut.keys, layers=(1,))):
        states(part, ids)


def test_soft_capped_scores_are_refused(ids):
    refused = pytest.raises(UsageError, match="layer 0: soft-capped scores cannot fall")
    with refused, knock_out(part := decoder("Gemma2"), a_cut()):
        states(part, ids)


def test_controls_have_as_many_keys_from_the_pool(ids):
    cut = a_cut()
    pool = torch.arange(TOKENS).expand(2, -1) < 20
    drawn = [cut.at_random(pool, seed).keys for seed in range(20)]
    for keys in drawn:
        assert keys.sum(1).tolist() == [5, 5]
        assert not (keys & (cut.keys | ~pool)).any()
    assert len({tuple(keys.flatten().tolist()) for keys in drawn}) > 10
    with pytest.raises(UsageError, match="row 0 has 4 other tokens in the pool"):
        cut.at_random(torch.arange(TOKENS).expand(2, -1) < 7, 0)


def test_effects_are_drops_beside_random_cuts(ids):
    part, head = decoder("Qwen2"), torch.nn.Linear(32, 50)

    def probability():
        with torch.no_grad():
            return answer_probability(head(states(part, ids)[:, 19]), [3, 4])

    found = knockout_effects(part, probability, {"five": a_cut()}, controls=3)
    assert len(found) == 1
    effect = found[0]
    assert effect.before == pytest.approx(probability())
    assert len(effect.controls) == 3
    assert effect.drop == pytest.approx(effect.before - effect.after)
    mean = sum(effect.controls) / 3
    assert effect.beyond_chance == pytest.approx(mean - effect.after)
