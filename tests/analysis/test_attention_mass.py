"""Attention mass equals eager attention summed by label, in every family of masks, caches and towers."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from decoders import DECODERS, decoder, dense_maps
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import DynamicCache, StaticCache

from omni_lab.analysis.attention.call import AttentionCall
from omni_lab.analysis.attention.capture import capture_attention
from omni_lab.analysis.attention.labels import NO_LABEL, Labels
from omni_lab.analysis.attention.mass import SINK, MassMatrix, attention_mass, mass_by_heads
from omni_lab.errors import InputError, UsageError

CLASSES, WITHIN = 3, 2e-6


@pytest.fixture(scope="module", params=list(DECODERS))
def part(request):
    return decoder(request.param)


@pytest.fixture(scope="module")
def ids():
    return torch.randint(50, (2, 40), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels():
    return torch.randint(CLASSES, (2, 60), generator=torch.Generator().manual_seed(2))


def by_label(weights, labels):
    return weights @ F.one_hot(labels[:, : weights.shape[-1]], CLASSES).float()[:, None]


def collected(labels, found):
    """Hook that keeps every call's mass, by module."""

    def hook(call):
        mass = attention_mass(call, call.at_keys(labels), CLASSES)
        found.setdefault(call.name, []).append(mass)

    return hook


CASES = {
    "plain": {},
    "left padding": {"attention_mask": (torch.arange(40) >= torch.tensor([[9], [0]])).long()},
    "packed": {"position_ids": torch.cat([torch.arange(15), torch.arange(25)]).expand(2, -1)},
}


@pytest.mark.parametrize("case", CASES)
def test_mass_in_a_decoder_is_eager_attention_summed_by_label(part, ids, labels, case):
    inputs = CASES[case]
    known = inputs.get("attention_mask", torch.ones_like(ids)) > 0

    def run():
        return part(input_ids=ids, use_cache=False, **inputs).last_hidden_state

    maps, found = dense_maps(part, run), {}
    part.set_attn_implementation("eager")
    with torch.no_grad():
        plain = run()
        with capture_attention(part, collected(labels, found)):
            heard = run()

    assert found.keys() == maps.keys()
    assert len(maps) == 3
    for name, weights in maps.items():
        wrong = (found[name][0] - by_label(weights, labels)).abs().amax((1, 3))
        assert wrong[known].max() < WITHIN
    torch.testing.assert_close(heard[known], plain[known], rtol=0, atol=1e-5)


@pytest.mark.parametrize("cache", [DynamicCache, StaticCache])
def test_mass_with_a_cache_is_that_of_one_pass_over_everything(part, ids, labels, cache):
    mask = CASES["left padding"]["attention_mask"]
    whole = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    maps, found = dense_maps(part, lambda: part(**whole)), {}
    room = {"max_cache_len": 64} if cache is StaticCache else {}
    past = cache(config=part.config, **room)

    with torch.no_grad(), capture_attention(part, collected(labels, found)):
        first = 0
        for count in (20, 1, 1, 5, 1, 12):  # prefill, single tokens, several at once
            last = first + count
            part(input_ids=ids[:, first:last], attention_mask=mask[:, :last], past_key_values=past)
            first = last

    for name, weights in maps.items():
        wrong = (torch.cat(found[name], 2) - by_label(weights, labels)).abs().amax((1, 3))
        assert wrong[mask > 0].max() < WITHIN


def test_rows_sum_to_one_and_a_learned_sink_has_its_own_column(part, ids, labels):
    matrix = MassMatrix(Labels(labels, ("a", "b", "c")))
    with torch.no_grad(), capture_attention(part, matrix):
        part(input_ids=ids, use_cache=False)
    mass = matrix.matrix()
    assert mass.shape[:3] == (3, 4, CLASSES)
    torch.testing.assert_close(mass.sum(-1), torch.ones_like(mass[..., 0]))
    sinks = hasattr(part.layers[0].self_attn, "sinks")
    assert matrix.columns == ("a", "b", "c", SINK)[: 3 + sinks]
    if sinks:
        assert mass[..., -1].min() > 0


def _towers():
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as vl
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    small = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "image_size": 48, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    pictures, mel = torch.randn(2, 3, 48, 48), torch.randn(2, 20, 100)
    siglip = hf.SiglipVisionModel(hf.SiglipVisionConfig(**small))
    whisper = WhisperEncoder(
        hf.WhisperConfig(
            d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48,
            num_mel_bins=20, max_source_positions=50,
        )
    )  # fmt: skip
    config = vl.Qwen2_5_VLVisionConfig(
        depth=3, hidden_size=32, intermediate_size=48, num_heads=4, window_size=56,
        fullatt_block_indexes=[1], out_hidden_size=32,
    )  # fmt: skip
    chunked = vl.Qwen2_5_VisionTransformerPretrainedModel(config)
    grid = torch.tensor([[1, 8, 12], [1, 6, 8]])
    patches = torch.randn(8 * 12 + 6 * 8, 3 * 2 * 14 * 14)
    return {
        "SigLIP": (siglip, lambda: siglip(pixel_values=pictures)),
        "Whisper": (whisper, lambda: whisper(mel)),
        "Qwen2.5-VL": (chunked, lambda: chunked(patches, grid_thw=grid)),
    }


@pytest.mark.parametrize("name", ["SigLIP", "Whisper", "Qwen2.5-VL"])
def test_mass_in_a_tower_is_softmax_over_its_chunks(name):
    tower, run = _towers()[name]
    tower.eval()
    with torch.no_grad():
        for weight in tower.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.2)
        plain = run()[0]

    firsts = {}

    def hook(call):
        labels = torch.arange(call.key.shape[2])[None].expand(len(call.query), -1) % CLASSES
        weights = (call.query @ call.key.mT * call.scale).softmax(-1)
        mass = attention_mass(call, labels, CLASSES)
        assert (mass - by_label(weights, labels)).abs().max() < WITHIN
        firsts.setdefault(call.layer, []).append(call.first_query)

    with torch.no_grad(), capture_attention(tower, hook):
        torch.testing.assert_close(run()[0], plain, rtol=0, atol=1e-6)
        run()  # counts begin again with every pass
    if name == "Qwen2.5-VL":  # windows of 4 × 4 patches; in the second layer whole pictures
        assert firsts[0][:3] == [0, 16, 32]
        assert firsts[1] == [0, 96, 0, 96]
    else:
        assert firsts == {0: [0, 0], 1: [0, 0]}


def dense(query, key, mask=None):
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0)


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 600), groups=st.sampled_from([1, 2, 4]), width=st.sampled_from([4, 16]),
    classes=st.sampled_from([1, 5, 40]), masked=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_mass_is_the_dense_map_summed_by_label(tokens, groups, width, classes, masked, seed):
    new = torch.Generator().manual_seed(seed)
    query = torch.randn(2, 4, tokens, width, generator=new, dtype=torch.float64)
    key, value = torch.randn(2, 2, groups, tokens, width, generator=new, dtype=torch.float64)
    labels = torch.randint(-1, classes, (2, tokens), generator=new)
    mask = torch.rand(2, 1, tokens, tokens, generator=new) < 0.4 if masked else None

    weights = dense(query, key, mask)
    expected = torch.stack(
        [(weights * (labels == c)[:, None, None]).sum(-1) for c in range(classes)], -1
    )
    with torch.no_grad():
        call = AttentionCall(query, key, value, mask=mask)
        mass = attention_mass(call, labels, classes)
    torch.testing.assert_close(mass, expected, rtol=0, atol=1e-12)
    if call.output is not None:
        own = weights @ value.repeat_interleave(4 // groups, 1)
        torch.testing.assert_close(call.output, own, rtol=0, atol=1e-12)


def test_heads_go_through_in_parts_where_all_do_not_fit(monkeypatch):
    monkeypatch.setattr("omni_lab.analysis.attention.call._BYTES", 1)
    query, labels = torch.randn(1, 4, 30, 8), torch.randint(3, (1, 30))
    key, value = torch.randn(2, 1, 2, 30, 8)
    with torch.no_grad():
        call = AttentionCall(query, key, value)
        parts = list(mass_by_heads(call, labels, 3))
    assert [heads for heads, _ in parts] == [slice(0, 2), slice(2, 4)]
    weights = dense(query, key)
    found = torch.cat([mass for _, mass in parts], 1)
    torch.testing.assert_close(found, by_label(weights, labels), rtol=0, atol=1e-6)
    own = weights @ value.repeat_interleave(2, 1)
    torch.testing.assert_close(call.output, own, rtol=0, atol=1e-6)


def test_capture_with_gradients_leaves_them_as_they_are(ids, labels):
    part = decoder("Gemma3")
    part.set_attn_implementation("sdpa")

    def gradient():
        part.zero_grad()
        part(input_ids=ids, use_cache=False).last_hidden_state.square().mean().backward()
        return part.layers[0].self_attn.q_proj.weight.grad.clone()

    plain, found = gradient(), {}
    with capture_attention(part, collected(labels, found)):
        heard = gradient()
    assert torch.equal(heard, plain)
    assert all(not mass.requires_grad for masses in found.values() for mass in masses)


def test_layers_that_backward_computes_again_are_heard_once(ids, labels):
    part, found = decoder("Qwen2"), {}
    part.activation_checkpointing_enable()
    part.train()
    with capture_attention(part, collected(labels, found)):
        part(input_ids=ids, use_cache=False).last_hidden_state.mean().backward()
    assert [len(masses) for masses in found.values()] == [1, 1, 1]


def test_implementations_are_set_back_one_by_one_after_an_exception(ids):
    part = decoder("Qwen2")
    part.set_attn_implementation("eager")
    twin = type(part)(part.config)  # shares the configuration, and is not captured
    heard = []

    def hook(call):
        heard.append(call.name)
        raise RuntimeError("stop")

    def both():
        with torch.no_grad(), capture_attention(part, hook):
            twin.eval()(input_ids=ids, use_cache=False)
            assert heard == []
            part(input_ids=ids)

    with pytest.raises(RuntimeError, match="stop"):
        both()
    assert part.config._attn_implementation == "eager"


def test_two_captures_hear_the_same_layers(ids):
    part, one, two = decoder("Qwen2"), [], []
    with (
        capture_attention(part, lambda call: one.append(call.layer)),
        capture_attention(part, lambda call: two.append(call.layer)),
        torch.no_grad(),
    ):
        part(input_ids=ids, use_cache=False)
    assert one == two == [0, 1, 2]


def test_what_cannot_be_captured_is_refused_by_name(ids):
    linear = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="attention interface"), capture_attention(linear, print):
        pass

    bloom = hf.BloomModel(hf.BloomConfig(vocab_size=50, hidden_size=16, n_layer=1, n_head=2)).eval()
    with (
        pytest.raises(InputError, match=r"BloomModel: its attention does not go through"),
        capture_attention(bloom, print),
        torch.no_grad(),
    ):
        bloom(input_ids=ids)

    gemma = decoder("Gemma2")
    with (
        pytest.raises(UsageError, match="soft-capped"),
        capture_attention(gemma, lambda call: None),
    ):
        gemma(input_ids=ids, use_cache=False)
    with pytest.raises(InputError, match="no attention layer was captured"):
        MassMatrix(Labels(ids % 3, ("a", "b", "c"))).matrix()


def test_labels_say_what_is_wrong_and_combine():
    of = torch.tensor([[0, 1, NO_LABEL, 1]])
    with pytest.raises(UsageError, match="label 1 of 1 named"):
        Labels(of, ("a",))
    pair = Labels(of, ("a", "b")).times(Labels(torch.tensor([[1, 0, 0, 1]]), ("x", "y")))
    assert pair.of.tolist() == [[1, 2, NO_LABEL, 3]]
    assert pair.names == ("a × x", "a × y", "b × x", "b × y")
    present = pair.present()
    assert present.of.tolist() == [[0, 1, NO_LABEL, 2]]
    assert present.names == ("a × y", "b × x", "b × y")
