"""The model: what is seen and heard stands in its place, nothing looks ahead, and what is saved comes back."""

import math

import numpy as np
import pytest
import torch

from omni_lab.config import TICKS_PER_SECOND, override, tiny
from omni_lab.errors import ConfigError
from omni_lab.model.audio import AudioEncoder, LogMel
from omni_lab.model.image import ImageEncoder
from omni_lab.model.inputs import embed_batch, forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.sequences.batch import PAD_KIND, collate
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, tokenize
from omni_lab.training.losses.contrastive import contrastive_loss, pooled
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

CONFIG = tiny()
VOCABULARY = WorldVocabulary()
EVERY = ("image", "audio", "text")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY)).eval()


def row(seed, seconds=4, senses=EVERY):
    triplet = from_script(write_script(seed, seconds), CONFIG.model.image.size, senses=senses)
    return tokenize(
        omni_stream(triplet, CONFIG.sequence, supervised=False), VOCABULARY, CONFIG.sequence
    )


def hidden(model, batch):
    with torch.no_grad():
        return model.decoder(inputs_embeds=embed_batch(model, batch)).last_hidden_state


def same(one, other, tolerance=1e-5):
    return torch.allclose(one, other, atol=tolerance, rtol=1e-4)


def test_images_and_sounds_stand_in_their_own_places(model):
    """Unit by unit and row by row, where one row has no sound and one no picture."""
    rows = [row(0), row(1, 2, ("image", "text")), row(2, 4, ("audio", "text")), row(3, 2)]
    batch = collate(rows, CONFIG.sequence, CONFIG.model.image.size)
    with torch.no_grad():
        states = embed_batch(model, batch)
        for index, tokens in enumerate(rows):
            n = len(tokens.ids)
            for kind, units, encode in (
                (
                    IMAGE_KIND,
                    tokens.frames,
                    lambda u: model.connector["image"](model.image(torch.tensor(np.stack([u])))),
                ),
                (
                    AUDIO_KIND,
                    tokens.waves,
                    lambda u: model.connector["audio"](model.audio(torch.tensor(np.stack([u])))),
                ),
            ):
                stream_units = np.unique(tokens.unit[tokens.kind == kind])
                assert len(stream_units) == len(units)
                for unit, content in zip(stream_units, units, strict=True):
                    places = np.flatnonzero((tokens.kind == kind) & (tokens.unit == unit))
                    assert same(states[index, places], encode(content)[0])
            words = np.flatnonzero((tokens.kind != IMAGE_KIND) & (tokens.kind != AUDIO_KIND))
            assert torch.equal(
                states[index, words], model.decoder.embed_tokens(batch.input_ids[index, words])
            )
            assert (batch.kind[index, n:] == PAD_KIND).all()


def test_an_image_token_sees_its_own_cell_in_every_frame_of_its_unit(model):
    """A tower without attention between patches would see a patch's change in its own cell alone."""
    seen = []
    encoder = ImageEncoder(CONFIG.model.image, CONFIG.sequence)
    encoder.tower = PatchMeans(encoder.tower.config)
    frames = torch.zeros((1, 2, 48, 48, 3), dtype=torch.uint8)
    for frame in range(2):
        for y, x in ((5, 5), (5, 40), (40, 5), (40, 40)):
            changed = frames.clone()
            changed[0, frame, y, x] = 255
            difference = (encoder(changed) - encoder(frames)).abs().sum(-1)[0]
            seen.append(difference.nonzero().flatten().tolist())
    assert seen == [[0], [1], [2], [3]] * 2


class PatchMeans(torch.nn.Module):
    """Stands for a vision tower: each patch's mean, in every place of its vector."""

    def __init__(self, config):
        super().__init__()
        self.config, self.dtype = config, torch.float32

    def forward(self, pixel_values):
        means = (
            torch.nn.functional.avg_pool2d(pixel_values, self.config.patch_size).mean(1).flatten(1)
        )
        return type(
            "Output",
            (),
            {"last_hidden_state": means[..., None].expand(-1, -1, self.config.hidden_size)},
        )


def test_padding_changes_nothing(model):
    short, long = row(5, 2), row(6, 8)
    alone, padded = (
        collate([short], CONFIG.sequence, CONFIG.model.image.size),
        collate([short, long], CONFIG.sequence, CONFIG.model.image.size),
    )
    n = len(short.ids)
    assert padded.input_ids.shape[1] > n
    assert same(hidden(model, alone)[0, :n], hidden(model, padded)[0, :n])
    with torch.no_grad():
        one, both, other = (
            forward_batch(model, alone),
            forward_batch(model, padded),
            forward_batch(model, collate([long], CONFIG.sequence, CONFIG.model.image.size)),
        )
    assert same(both.losses[: len(one.losses)], one.losses) and same(
        both.losses[len(one.losses) :], other.losses
    )
    assert torch.equal(both.targets, torch.cat([one.targets, other.targets]))


@pytest.mark.parametrize("sense", ["image", "audio", "text"])
def test_nothing_looks_ahead(model, sense):
    """A change in the third second reaches everything from there on, and nothing before."""
    batch = collate([row(7, 4)], CONFIG.sequence, CONFIG.model.image.size)
    before = hidden(model, batch)
    kind = batch.kind[0]
    if sense == "image":
        batch.frames[2] = 255 - batch.frames[2]
        first = int(((kind == IMAGE_KIND) & (batch.unit[0] == 2)).nonzero()[0])
    elif sense == "audio":
        batch.waves[2] = batch.waves[2].flip(0)
        first = int(((kind == AUDIO_KIND) & (batch.unit[0] == 2)).nonzero()[0])
    else:
        first = int((batch.loss_mask[0] & (batch.unit[0] == 2)).nonzero()[0])
        batch.input_ids[0, first] += 1
    after = hidden(model, batch)
    assert torch.equal(before[:, :first], after[:, :first])
    assert (before[:, first:] - after[:, first:]).abs().amax(-1).min() > 1e-6


def test_losses_are_of_the_supervised_tokens_each_from_the_place_before(model):
    batch = collate([row(8), row(9, 2)], CONFIG.sequence, CONFIG.model.image.size)
    with torch.no_grad():
        output = forward_batch(model, batch)
        everything = hidden(model, batch) @ model.decoder.embed_tokens.weight.T
    expected, targets = [], []
    for r, t in batch.loss_mask.nonzero().tolist():
        expected.append(-everything[r, t - 1].log_softmax(-1)[batch.input_ids[r, t]])
        targets.append(int(batch.input_ids[r, t]))
    assert output.targets.tolist() == targets
    assert same(output.losses, torch.stack(expected))
    assert output.logits is None, "all logits at once take V numbers for every token"
    assert same(
        model.logits(output.states).log_softmax(-1).gather(1, output.targets[:, None])[:, 0],
        -output.losses,
    )


def test_a_batch_without_a_sense_runs_and_without_anything_supervised_costs_nothing(model):
    text = collate([row(0, 2, ("text",))], CONFIG.sequence, CONFIG.model.image.size)
    assert len(text.frames) == len(text.waves) == 0
    assert torch.isfinite(forward_batch(model, text).losses).all()
    text.loss_mask[:] = False
    assert forward_batch(model, text).losses.numel() == 0


def test_what_is_saved_comes_back_and_hears_the_same(model, own_folder):
    batch = collate([row(1), row(2, 2)], CONFIG.sequence, CONFIG.model.image.size)
    model.save_pretrained(own_folder / "checkpoint")
    names = {file.suffix for file in (own_folder / "checkpoint").iterdir()}
    assert names == {".safetensors", ".json"}
    back = OmniModel.load(own_folder / "checkpoint")
    assert not back.training and back.model_settings == model.model_settings
    for name, value in {**dict(model.named_parameters()), **dict(model.named_buffers())}.items():
        assert torch.equal(
            {**dict(back.named_parameters()), **dict(back.named_buffers())}[name], value
        ), name
    with torch.no_grad():
        assert torch.equal(forward_batch(back, batch).states, forward_batch(model, batch).states)


def test_the_same_seed_builds_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(4)
        states.append(OmniModel.build(CONFIG.model, CONFIG.sequence, 60).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_wide_initialisation_is_what_it_says():
    config = override(CONFIG, ["model.frame_difference_init=0"])
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, 60)
    parts = {name: getattr(CONFIG.model, name).layers for name in ("image", "audio", "decoder")}
    ends = 0
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding):
            wanted = 0.3 if name.endswith("place") else 0.1
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.15), name
        elif isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d):
            wanted = 0.7 / module.weight[0].numel() ** 0.5
            if name.endswith(("o_proj", "out_proj", "down_proj", "fc2")):
                wanted /= math.sqrt(2 * parts[name.split(".")[0]])
                ends += 1
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.15), name
            assert module.bias is None or not module.bias.any()
    assert ends == 2 * sum(parts.values())


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_some_units_of_the_image_connector_begin_with_what_changes_between_frames(frames):
    settings = ["triplets.frames_per_second=4", f"sequence.frames_per_unit={frames}"]
    config = override(CONFIG, [*settings, "model.frame_difference_init=.25"])
    torch.manual_seed(0)
    model = OmniModel.build(config.model, config.sequence, 60)
    up, hidden = model.connector["image"].up, config.model.decoder.width
    still = torch.randn(5, 1, up.in_features // frames).expand(5, frames, -1)
    moving = torch.randn(5, frames, up.in_features // frames)
    loud = torch.arange(hidden) >= (hidden // 4 if frames > 1 else 0)
    assert (up(still.flatten(1)).abs().amax(0) > 1e-4).equal(loud)
    assert (up(moving.flatten(1)).abs().amax(0) > 1e-4).all()
    if frames > 1:  # twice as large as the others
        first, rest = up.weight[: hidden // 4].std(), up.weight[hidden // 4 :].std()
        assert (first / rest).item() == pytest.approx(2, rel=0.1)


def test_pictures_and_sounds_enter_the_decoder_as_large_as_they_are_asked_to():
    config = override(CONFIG, ["model.connector_rms=0.1"])
    batch = collate([row(0), row(1)], config.sequence, config.model.image.size)
    torch.manual_seed(0)
    levelled = OmniModel.build(config.model, config.sequence, 60)
    for sensed in (levelled.see(batch.frames), levelled.hear(batch.waves)):
        size = sensed.square().mean(-1).sqrt()
        assert torch.allclose(size, torch.full_like(size, 0.1), rtol=0.01)
    assert set(levelled.state_dict()) - set(
        OmniModel.build(CONFIG.model, CONFIG.sequence, 60).state_dict()
    ) == {
        "connector.image.level.weight",
        "connector.audio.level.weight",
    }


def test_mixed_precision_runs_and_log_mel_stays_exact(model):
    batch = collate([row(1, 2)], CONFIG.sequence, CONFIG.model.image.size)
    with torch.no_grad():
        exact, mel = forward_batch(model, batch), model.audio.log_mel(batch.waves)
        with torch.autocast("cpu", torch.bfloat16):
            rough = forward_batch(model, batch)
            assert torch.equal(model.audio.log_mel(batch.waves), mel)
            alignment = contrastive_loss(model, rough.embeddings, batch, 1)
    assert torch.isfinite(alignment)
    assert (rough.losses.mean() - exact.losses.mean()).abs() < 0.1 * exact.losses.mean()


def test_log_mel_hears_a_tone_where_and_when_it_sounds():
    mel = LogMel(40, 100)
    time = torch.arange(TICKS_PER_SECOND) / TICKS_PER_SECOND
    waves = torch.stack(
        [torch.sin(2 * torch.pi * hz * time) * (time > 0.5) * 0.5 for hz in (400, 1000, 3000)]
    )
    heard = mel(waves)
    assert heard.shape == (3, 40, 100)
    loudest = heard[:, :, 75].argmax(1)
    assert loudest[0] < loudest[1] < loudest[2]
    assert (heard[:, :, :47] < -1.2).all() and (heard.amax(1)[:, 53:] > 0).all()
    assert torch.isfinite(mel(torch.zeros(1, TICKS_PER_SECOND))).all()


def test_a_unit_of_sound_is_heard_by_itself(model):
    waves = collate([row(3, 4)], CONFIG.sequence, CONFIG.model.image.size).waves
    with torch.no_grad():
        together = model.audio(waves)
        assert same(together, torch.cat([model.audio(wave[None]) for wave in waves]))


def test_alignment_pulls_moments_of_the_same_time_together_and_is_zero_without_any(model):
    batch = collate([row(s) for s in range(3)], CONFIG.sequence, CONFIG.model.image.size)
    embeddings = embed_batch(model, batch)
    vectors, complete = pooled(model, embeddings, batch, 2)
    assert complete.tolist() == [True] * 6 and {
        n: tuple(p.shape) for n, p in vectors.items()
    } == dict.fromkeys(EVERY, (6, 96))
    assert contrastive_loss(model, embeddings, batch, 2).item() > 0
    deaf = collate([row(0, 2, ("image", "text"))], CONFIG.sequence, CONFIG.model.image.size)
    loss = contrastive_loss(model, embed_batch(model, deaf), deaf, 2)
    assert loss.item() == 0
    loss.backward()
    model.zero_grad()


def test_alignment_leaves_out_moments_that_lack_a_sense(model):
    batch = collate(
        [row(0), row(1, 4, ("image", "text")), row(2)], CONFIG.sequence, CONFIG.model.image.size
    )
    _, complete = pooled(model, embed_batch(model, batch), batch, 2)
    assert complete.tolist() == [True, True, False, False, True, True]


def test_sizes_that_do_not_divide_are_refused():
    from dataclasses import replace

    wrong = replace(CONFIG, sequence=replace(CONFIG.sequence, image_tokens=16))
    with pytest.raises(ConfigError, match=r"image_tokens=16: 6 × 6 patches"):
        ImageEncoder(wrong.model.image, wrong.sequence)
    wrong = replace(CONFIG, sequence=replace(CONFIG.sequence, audio_tokens=7))
    with pytest.raises(ConfigError, match="audio_tokens=7"):
        AudioEncoder(wrong.model.audio, wrong.sequence)
    with pytest.raises(ConfigError, match="does not divide 16000"):
        LogMel(40, 99)


def test_decoding_with_a_cache_gives_the_logits_of_the_full_pass(model):
    """Token by token, and in pieces, what comes after depends on what stands in the cache."""
    batch = collate([row(5)], CONFIG.sequence, CONFIG.model.image.size)
    with torch.no_grad():
        embeddings = embed_batch(model, batch)
        full = model(inputs_embeds=embeddings).logits
        cache, parts = None, []
        for piece in embeddings.split([20, 1, 1, embeddings.shape[1] - 22], dim=1):
            out = model(inputs_embeds=piece, past_key_values=cache, use_cache=True)
            cache, parts = out.past_key_values, [*parts, out.logits]
        last = model(inputs_embeds=embeddings, logits_to_keep=1).logits
    torch.testing.assert_close(torch.cat(parts, 1), full, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last, full[:, -1:], rtol=1e-5, atol=1e-5)
