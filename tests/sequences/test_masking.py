"""Dynamic modality mask: 0 cuts exactly, 1 changes no bit, between them odds, on any engine."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from omni_lab.config import tiny
from omni_lab.errors import UsageError
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import collate
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.masking import Strength, attention_bias, modality_bias, strengths
from omni_lab.sequences.packing import join
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, TEXT_KIND, tokenize
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

CONFIG, VOCABULARY = tiny(), WorldVocabulary()


def row(seed, seconds=2):
    clip = from_script(write_script(seed, seconds), 48)
    return tokenize(omni_stream(clip, CONFIG.sequence), VOCABULARY, CONFIG.sequence)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY)).eval()


@pytest.fixture(scope="module")
def batch():
    return collate([row(0), row(1, 4)], CONFIG.sequence, CONFIG.model.image.size)


def matrix(**pairs):
    return strengths(
        [Strength.read(f"{pair.replace('_', '>')}={value}") for pair, value in pairs.items()]
    )


def test_full_strength_everywhere_is_no_mask_at_all(model, batch):
    assert strengths([]) is None and matrix(text_audio=1) is None
    assert attention_bias(batch) is None
    with torch.no_grad():
        assert torch.equal(
            forward_batch(model, batch).states,
            forward_batch(model, batch, strength=matrix(text_audio=1)).states,
        ), "bit for bit"


def test_full_strength_beside_another_pair_adds_nothing(batch):
    bias = attention_bias(batch, matrix(text_audio=0.5))
    for q, k in ((IMAGE_KIND, AUDIO_KIND), (TEXT_KIND, TEXT_KIND)):
        pairs = (
            (batch.kind[:, :, None] == q) & (batch.kind[:, None, :] == k) & (bias[:, 0] > -math.inf)
        )
        assert (bias[:, 0][pairs] == 0).all()


def weights(batch, bias):
    """Attention weights of random queries and keys, as plain softmax gives them."""
    torch.manual_seed(0)
    q, k = torch.randn(2, *batch.kind.shape, 16)
    return (q @ k.mT / 4 + bias[:, 0]).softmax(-1)


def test_strength_zero_cuts_the_pair_exactly_and_empties_no_softmax(batch):
    bias = attention_bias(batch, matrix(text_audio=0, image_image=0))
    attention = weights(batch, bias)
    assert not attention.isnan().any()
    cut = (batch.kind[:, :, None] == TEXT_KIND) & (batch.kind[:, None, :] == AUDIO_KIND)
    assert (attention[cut] == 0).all() and cut.any()
    images = (batch.kind[:, :, None] == IMAGE_KIND) & (batch.kind[:, None, :] == IMAGE_KIND)
    itself = torch.eye(batch.kind.shape[1], dtype=torch.bool)
    assert (attention[images & ~itself] == 0).all() and (attention[images & itself] > 0).all()


@pytest.mark.parametrize("strength", [0.01, 0.3, 0.9])
def test_a_strength_multiplies_the_odds_of_the_pair(batch, strength):
    full = weights(batch, attention_bias(batch, torch.ones(5, 5)))
    turned = weights(batch, attention_bias(batch, matrix(text_audio=strength)))
    text = (batch.kind == TEXT_KIND)[:, :, None]
    audio = (batch.kind == AUDIO_KIND)[:, None, :]
    mass = (full * audio).sum(-1, keepdim=True)
    expected = torch.where(audio, strength, 1.0) * full / (1 - mass + strength * mass)
    torch.testing.assert_close(turned * text, expected * text, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(turned * ~text, full * ~text, atol=1e-6, rtol=1e-5)


def test_what_is_cut_for_every_reader_reaches_no_output(model, batch):
    """No path leads round: cut off from all readers, other sounds change only states of sound."""
    everyone = matrix(**{f"{kind}_audio": 0 for kind in KINDS if kind != "audio"})
    other = replace(batch, waves=batch.waves.flip(0) * 0.5)
    with torch.no_grad():
        cut = [forward_batch(model, b, strength=everyone).states for b in (batch, other)]
        full = [forward_batch(model, b).states for b in (batch, other)]
    # tokens that predict the next one
    readers = batch.kind[:, :-1][batch.loss_mask[:, 1:]] != AUDIO_KIND
    assert torch.equal(cut[0][readers], cut[1][readers]) and not torch.equal(
        full[0][readers], full[1][readers]
    )


def test_eager_and_sdpa_take_the_same_bias(model, batch):
    strength = matrix(text_audio=0.2, audio_image=0)
    logits = []
    for engine in ("sdpa", "eager"):
        model.decoder.set_attn_implementation(engine)
        with torch.no_grad():
            logits.append(forward_batch(model, batch, strength=strength).states)
    model.decoder.set_attn_implementation("sdpa")
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)


def test_blocks_of_keys_with_their_part_of_the_bias_give_the_whole(batch):
    """Ring attention: one block of keys at a time, merged by log-sum-exp."""
    strength = matrix(text_audio=0.2, audio_image=0)
    whole = attention_bias(batch, strength)[:, 0]
    torch.manual_seed(0)
    q, k, v = torch.randn(3, *batch.kind.shape, 16).double()
    tokens = batch.kind.shape[1]
    place = torch.arange(tokens)
    out, total = torch.zeros_like(q), torch.full(q.shape[:2], -math.inf, dtype=torch.float64)

    for block in place.split(17):
        itself = place[:, None] == block
        bias = modality_bias(strength, batch.kind, batch.kind[:, block], itself).double()
        seen = (place[:, None] >= block) & (
            batch.document[:, :, None] == batch.document[:, None, block]
        )
        scores = (q @ k[:, block].mT / 4 + bias).masked_fill(~seen, -math.inf)
        new = torch.logaddexp(total, scores.logsumexp(-1))
        # -inf: padding that has not met a key of its document yet
        shift = new.masked_fill(new == -math.inf, 0)[..., None]
        out = out * (total[..., None] - shift).exp() + (scores - shift).exp() @ v[:, block]
        total = new

    expected = F.scaled_dot_product_attention(
        q[:, None], k[:, None], v[:, None], attn_mask=whole[:, None].double()
    )
    torch.testing.assert_close(out, expected[:, 0], atol=1e-9, rtol=1e-9)


def test_documents_and_strengths_hold_together(model):
    strength = matrix(text_audio=0.4)
    rows = [row(0), row(1, 4)]
    with torch.no_grad():
        packed = forward_batch(
            model,
            collate([join(rows)], CONFIG.sequence, CONFIG.model.image.size),
            strength=strength,
        ).losses
        alone = torch.cat(
            [
                forward_batch(
                    model, collate([r], CONFIG.sequence, CONFIG.model.image.size), strength=strength
                ).losses
                for r in rows
            ]
        )
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=1e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_strength_goes_evenly_from_first_to_last_and_stays(first, last, over, progress):
    strength = Strength.read(f"text>audio={first}:{last}@{over}")
    assert strength.at(1.0) == pytest.approx(last) and (
        over == 0 or strength.at(0.0) == pytest.approx(first)
    )
    assert min(first, last) - 1e-9 <= strength.at(progress) <= max(first, last) + 1e-9
    if over and progress < over:
        assert strength.at(progress) == pytest.approx(first + (last - first) * progress / over)


@pytest.mark.parametrize(
    "text",
    [
        "text>smell=1",
        "text=0.5",
        "text>audio",
        "text>audio=2",
        "text>audio=0:nan",
        "text>audio=0:1@-1",
        "",
    ],
)
def test_an_invalid_interaction_is_refused_with_the_right_form(text):
    with pytest.raises(UsageError, match="QUERY>KEY=STRENGTH"):
        Strength.read(text)
