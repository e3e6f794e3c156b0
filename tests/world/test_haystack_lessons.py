"""Context extension stages: steps, batches, θ of every stage, resuming, and the needle reader."""

import numpy as np
import pytest
import torch
from power_cuts import stop_after
from stage_data import lessons_of

from omni_lab.config import context_stages, full_7b, override, small, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import ConfigError, InputError
from omni_lab.evaluation.gallery import needles
from omni_lab.evaluation.gallery.needles import OmniNeedleModel
from omni_lab.evaluation.needles.interface import NeedleModel, Trial
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.model.rope import Rope, rope_of
from omni_lab.training.checkpoint import of_stage
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import train_stages
from omni_lab.world.haystack.lessons import haystack_batch, haystack_lessons, see_bank

SHORT = [
    "sequence.layout=haystack", "sequence.image_tokens=1", "sequence.frames_per_unit=1",
    "model.decoder.width=32", "model.decoder.layers=2", "model.decoder.previous_token_init=3.5",
    "model.decoder.rope_theta=100",
    "context.stages=sight,context-32,context-64", "context.stages.sight.steps=2",
    "context.stages.sight.batch_size=4", "context.stages.context-32.steps=3",
    "context.stages.context-32.batch_size=4", "context.stages.context-32.rope_theta=100",
    "context.stages.context-64.steps=4", "context.stages.context-64.batch_size=2",
    "context.stages.context-64.rope_theta=400", "context.stages.context-64.lr_scale=.5",
    "context.stages.context-64.decay_fraction=.5", "world.haystack.pictures=64",
    "world.haystack.short=context-32", "world.haystack.levels.context-32.needles=2",
    "world.haystack.levels.context-32.films=.5", "world.haystack.levels.context-64.needles=3",
    "world.haystack.levels.context-64.things=2", "world.haystack.levels.context-64.films=.5",
    "world.haystack.levels.context-64.real=.5", "training.checkpoint_every=1",
]  # fmt: skip
CONFIG = override(tiny(), SHORT)


def new_model(config=CONFIG):
    torch.manual_seed(0)
    return OmniModel.build(config.model, config.sequence, len(build_vocabulary(config))).eval()


def test_steps_follow_from_tokens_and_stages_are_named_by_length():
    stages = [data.settings for data in haystack_lessons(CONFIG)]
    assert [stage.name for stage in stages] == ["sight", "context-32", "context-64"]
    grown = context_stages((32, 64), (100.0, 400.0), (384, 512), (4, 2), (1.0, 0.5))
    assert [stage.steps for stage in grown] == [3, 4] and grown == tuple(stages[1:])
    for preset in (tiny(), small(), full_7b()):
        assert min(stage.steps for stage in preset.context.stages) >= 10
    assert [tiny().context.stages[n].max_tokens for n in (1, -1)] == [32, 2048]
    large = full_7b().context.stages[1:]
    assert [stage.max_tokens for stage in large] == [4096, 32_768, 131_072, 524_288]
    assert large[-1].rope_theta == 5e7


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("context.stages=sight,context-99", "no 'context-99'; there are sight, context-32"),
        ("context.stages.context-64.max_tokens=72", r"1: rows of 72 .*short samples of 32 \(world"),
        (
            "world.haystack.short=context-1",
            r"short samples of 0 \(world.haystack.short=context-1\)",
        ),
        ("context.stages=context-64,context-32", "longer from stage to stage"),
        ("world.haystack.levels.context-64.real=1.5", "between 0 and 1"),
        ("world.haystack.levels.context-64.things=8", "at most 7"),
        ("world.haystack.levels.context-64.needles=24", "at most 23"),
        ("context.stages.context-64.max_tokens=long", "must be a whole number"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(setting, message):
    with pytest.raises(ConfigError, match=message):
        override(CONFIG, [setting])


def test_a_batch_is_a_function_of_seed_stage_step_and_rank():
    stage = lessons_of(CONFIG, "context-64")
    whole = stage.batch(3).streams
    assert whole.input_ids.shape == (2, 64) and torch.equal(
        whole.input_ids, stage.batch(3).streams.input_ids
    )
    parts = [stage.batch(3, rank, 2).streams for rank in (0, 1)]
    assert torch.equal(torch.cat([part.input_ids for part in parts]), whole.input_ids)
    for other in (stage.batch(2), lessons_of(override(CONFIG, ["seed=1"]), "context-64").batch(3)):
        assert not torch.equal(other.streams.input_ids, whole.input_ids)


def test_packed_rows_hold_short_samples_apart_and_real_rows_hold_one():
    for real, documents in ((0.0, 2), (1.0, 1)):
        stage = lessons_of(
            override(CONFIG, [f"world.haystack.levels.context-64.real={real}"]), "context-64"
        )
        batches = [stage.batch(step).streams for step in range(8)]
        assert all(batch.input_ids.shape == (2, 64) for batch in batches)
        assert {int(batch.document.max()) + 1 for batch in batches} == {documents}
        films = [bool((row == 0).any()) for batch in batches for row in batch.kind]
        assert {True, False} == set(films), "films and texts are mixed"


def test_frames_of_a_batch_are_the_pictures_that_its_questions_are_about():
    """The picture of the frame with a needle has the needle's colour in its pixels."""
    from omni_lab.world.script import COLOURS

    stage = lessons_of(
        override(CONFIG, [f"world.haystack.levels.context-64.{x}=1" for x in ("films", "real")]),
        "context-64",
    )
    batch, words = stage.batch(0).streams, stage.writer.vocabulary
    frames = torch.from_numpy(stage.writer.bank.frames)[batch.seen].split(
        (batch.kind == 0).sum(1).tolist()
    )
    checked = 0
    for row, shown in zip(batch.input_ids, frames, strict=True):
        text = " ".join(words.pieces(row))
        for exchange in text.split("<visitor> ")[1:]:
            asked, answer = exchange.strip().split(" <speak> ")
            if asked.startswith("colour"):
                distance = (
                    (shown.float() - torch.tensor(COLOURS[answer])).abs().sum(-1).flatten(1).amin(1)
                )
                assert distance.min() < 60
                checked += 1
    assert checked


def test_encoded_once_is_encoded_alike(tmp_path):
    model, stage = new_model(), lessons_of(CONFIG, "context-32")
    stage.enter(model)
    assert stage.seen.shape == (64, 1, 32)
    row = stage.writer.film(np.random.default_rng(0), 32, 1)
    batch = haystack_batch([row], CONFIG.sequence, CONFIG.model.image.size)
    with torch.no_grad():
        frames = torch.from_numpy(stage.writer.bank.frames[:, None])[batch.seen]
        own = forward_batch(
            model,
            type(batch)(**{**vars(batch), "frames": frames, "seen": torch.arange(len(frames))}),
        ).losses
        torch.testing.assert_close(
            forward_batch(model, batch, stage.seen).losses, own, rtol=1e-4, atol=1e-5
        )
        assert torch.equal(see_bank(model, stage.writer.bank, CONFIG.sequence), stage.seen)


def test_heads_begin_by_looking_as_far_back_as_configured():
    model = new_model(override(CONFIG, ["model.decoder.previous_token_init=8"]))
    attention = model.decoder.layers[0].self_attn
    with torch.no_grad():
        attention.q_proj.weight.zero_(), attention.k_proj.weight.zero_()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model.decoder(torch.randint(5, (1, 40)), output_attentions=True)
    seen = output.attentions[0][0]  # H T T
    for head in range(4):
        assert (seen[head, 20:].argmax(-1) == torch.arange(20, 40) - (head + 1)).all()
    plain = new_model(override(CONFIG, ["model.decoder.previous_token_init=0"]))
    assert not plain.decoder.layers[0].self_attn.q_proj.bias.any()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("run") / "whole", CONFIG)
    return run, train_stages(CONFIG, run, haystack_lessons(CONFIG), progress=False)


def test_a_run_stopped_in_a_stage_ends_as_one_that_was_not(whole, tmp_path):
    run, model = whole
    parts = RunFolder(tmp_path / "parts", CONFIG)
    for place in (("sight", 2), ("context-32", 1), ("context-64", 3)):
        stop_after(
            *place, lambda: train_stages(CONFIG, parts, haystack_lessons(CONFIG), progress=False)
        )
    again = train_stages(CONFIG, parts, haystack_lessons(CONFIG), progress=False)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert [r["loss"] for r in parts.metrics()] == pytest.approx(
        [r["loss"] for r in run.metrics()], rel=1e-4
    )
    assert rope_of(again.decoder) == rope_of(model.decoder) == Rope(400.0)
    assert [r["stage"] for r in parts.metrics()] == ["sight"] * 2 + ["context-32"] * 3 + [
        "context-64"
    ] * 4


def test_pictures_are_learned_once_and_theta_stands_in_every_checkpoint(whole):
    run, model = whole
    kept = {
        stage.name: OmniModel.load(of_stage(run.checkpoints, stage.name))
        for stage in CONFIG.context.stages
    }
    assert [rope_of(one.decoder).theta for one in kept.values()] == [100.0, 100.0, 400.0]
    image = "image.tower.embeddings.patch_embedding.weight"
    for one in kept.values():
        assert torch.equal(one.state_dict()[image], model.state_dict()[image])
    again = train_stages(CONFIG, run, haystack_lessons(CONFIG), progress=False)
    assert rope_of(again.decoder) == Rope(400.0), "a run that is found done comes back with its θ"


def test_a_run_is_a_reader_of_needles(whole):
    run, model = whole
    reader = OmniNeedleModel.load(run.path)
    assert isinstance(reader, NeedleModel) and reader.name == "whole" and reader.trained == 64
    trials = [
        Trial(kind, 64 if i % 2 else 40, 0.5, i, i != 3) for kind in reader.kinds for i in range(5)
    ]
    alone = [reader.read([trial])[0] for trial in trials]
    assert reader.read(trials) == alone, "padding and neighbours change nothing"
    assert reader.read(trials) == OmniNeedleModel(model, CONFIG).read(trials)
    assert "θ 400" in OmniNeedleModel(model, CONFIG).name
    assert [reader.chance(kind) for kind in reader.kinds] == [1 / 24, 1 / 8, 1 / 24]


def test_an_answer_is_right_when_every_token_of_it_is(whole, monkeypatch):
    """A model with prescribed answers: one wrong token of two makes a wrong row."""
    reader = OmniNeedleModel(whole[1], CONFIG)
    trials = [Trial("when", 64, 0.5, seed) for seed in range(6)]
    # two questions a row
    reader.row = lambda trial: reader._writer.film(np.random.default_rng(trial.seed), 64, 1)

    class Output:
        def __init__(self, batch, spoil):
            self.targets = batch.input_ids[:, 1:][batch.loss_mask[:, 1:]]
            message = self.targets.clone()
            message[spoil] += 1
            self.states = torch.nn.functional.one_hot(message, 400).float()

    for spoil, right in (
        ([], [True] * 6),
        ([0, 3], [False, False, *[True] * 4]),
        ([11], [True] * 5 + [False]),
    ):
        answer = lambda model, batch, seen, spoil=spoil: Output(batch, spoil)  # noqa: E731
        monkeypatch.setattr(needles, "forward_batch", answer)
        monkeypatch.setattr(reader.model, "logits", lambda states: states)
        assert reader.read(trials) == right


def test_a_reader_whose_training_diverged_is_refused_and_other_weights_are_another_content(whole):
    import copy

    model = copy.deepcopy(whole[1])
    reader = OmniNeedleModel(model, CONFIG, "diverged")
    assert reader.contents() == OmniNeedleModel(whole[1], CONFIG, "whole").contents()
    trials = [Trial(kind, 64, 0.5, 1) for kind in reader.kinds]
    reader.vet(trials)
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(float("nan"))
    assert reader.contents()["weights"] != OmniNeedleModel(whole[1], CONFIG).contents()["weights"]
    for asked in (reader.vet, reader.read):
        with pytest.raises(InputError, match="diverged: its logits are not finite"):
            asked(trials)


def test_a_run_of_another_layout_is_refused(tmp_path):
    RunFolder(tmp_path / "other", tiny())
    with pytest.raises(InputError, match=r"not trained on haystacks; .*sequence\.layout=haystack"):
        OmniNeedleModel.load(tmp_path / "other")


def test_sight_names_what_is_seen():
    stage = lessons_of(CONFIG, "sight")
    batch = stage.batch(0).streams
    words = stage.vocabulary
    assert batch.frames.shape == (4, 1, 48, 48, 3)
    for row, (picture,) in zip(batch.input_ids, batch.frames, strict=True):
        image, speak, colour, shape = words.pieces(row)
        (same,) = np.flatnonzero((stage.bank.frames == picture.numpy()).all((1, 2, 3)))
        assert (image, speak) == ("<image>", "<speak>")
        from omni_lab.world.script import COLOURS, SHAPES

        assert (colour, shape) == (
            tuple(COLOURS)[stage.bank.colour[same]],
            SHAPES[stage.bank.shape[same]],
        )
