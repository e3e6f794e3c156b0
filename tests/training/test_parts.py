"""Parts of training: batches as a function of their place, a mean that is over all tokens, gradients part by part."""

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_data import lessons_of

from omni_lab.config import TICKS_PER_SECOND, StageConfig, override, tiny
from omni_lab.errors import UsageError
from omni_lab.model.inputs import forward_batch
from omni_lab.model.omni import OmniModel
from omni_lab.parallel.collectives import Collectives
from omni_lab.sequences.batch import PAD_KIND
from omni_lab.sequences.items import SequenceError
from omni_lab.sequences.tokens import AUDIO_KIND, IMAGE_KIND, TEXT_KIND
from omni_lab.training.losses.objective import Objective, supervised
from omni_lab.training.optimizers import build_optimizers, choose_trained, part_of
from omni_lab.training.rules.clipping import clip_per_part
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.gallery_lessons import MODALITIES_OF
from omni_lab.world.questions import FACTS
from omni_lab.world.script import CELLS, HELD_OUT_PAIRS, TRAIN_PITCHES, TRAIN_SPEEDS
from omni_lab.world.source import lessons
from omni_lab.world.vocabulary import WorldVocabulary

STAGES = tuple(MODALITIES_OF)
CONFIG = override(
    tiny(),
    [f"training.stages.{stage}.batch_size=4" for stage in STAGES]
    + ["training.stages.omni.seconds=4"],
)
VOCABULARY = WorldVocabulary()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY))


@pytest.fixture(scope="module")
def batch():
    return lessons_of(CONFIG, "omni").batch(0)


def texts(batch):
    """Every row's words, as one string each."""
    rows = zip(batch.input_ids, batch.kind, strict=True)
    return [VOCABULARY.decode(ids[kind == TEXT_KIND].tolist()) for ids, kind in rows]


def equal(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("input_ids", "kind", "loss_mask", "frames", "waves")
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_is_a_function_of_its_place(stage):
    one, two = lessons_of(CONFIG, stage), lessons_of(CONFIG, stage)
    later = two.batch(7)
    assert equal(one.batch(7).streams, later.streams) and equal(
        one.batch(7).captions, later.captions
    )
    assert texts(one.batch(8).streams) != texts(later.streams)
    other_seed = lessons_of(replace(CONFIG, seed=1), stage).batch(7)
    assert texts(other_seed.streams) != texts(later.streams)
    ahead = list(zip(range(2), one.batches(7), strict=False))
    assert equal(ahead[0][1].streams, later.streams), "batches made ahead are the same"


@pytest.mark.parametrize("stage", STAGES)
def test_processes_share_out_the_rows_of_one(stage):
    mixture = lessons_of(CONFIG, stage)
    alone = texts(mixture.batch(3).streams)
    shared = [text for rank in range(2) for text in texts(mixture.batch(3, rank, 2).streams)]
    assert sorted(shared) == sorted(alone) and len(set(alone)) == 4
    with pytest.raises(UsageError, match=f"stage {stage}: batch_size=4"):
        mixture.batch(0, 0, 3)


@pytest.mark.parametrize(
    ("stage", "kinds"),
    [("vision", {IMAGE_KIND}), ("audio", {AUDIO_KIND}), ("omni", {IMAGE_KIND, AUDIO_KIND})],
)
def test_a_stage_gives_the_senses_it_is_about(stage, kinds):
    batch = lessons_of(CONFIG, stage).batch(0)
    assert set(batch.streams.kind.unique().tolist()) & {IMAGE_KIND, AUDIO_KIND} == kinds
    captions = set(batch.captions.kind.unique().tolist()) & {IMAGE_KIND, AUDIO_KIND}
    assert captions == kinds


def test_captions_find_first_and_describe_later():
    mixture = lessons_of(
        override(
            CONFIG,
            ["training.stages.vision.steps=10", "training.stages.vision.curriculum_fraction=0.5"],
        ),
        "vision",
    )
    first_words = [
        {said.split()[0] in CELLS for said in texts(mixture.batch(step).captions)}
        for step in (4, 5)
    ]
    assert first_words == [{False}, {False, True}], (
        "found: word, then panel; described: panel, then word"
    )


def test_the_omni_stage_takes_seconds_out_of_its_streams_to_find_by_ear():
    mixture = lessons_of(CONFIG, "omni")
    for step in range(5):
        batch = mixture.batch(step)
        streams, captions = batch.streams, batch.captions
        assert torch.equal(captions.seen, captions.heard)
        for row, unit in enumerate(captions.seen.tolist()):
            its = streams.unit[unit // 4] == unit % 4
            whole = VOCABULARY.decode(streams.input_ids[unit // 4][its].tolist())
            alone = VOCABULARY.decode(
                captions.input_ids[row][captions.kind[row] != PAD_KIND].tolist()
            )
            senses, *exchanges = alone.split(" <visitor> ")
            assert whole.startswith(senses) and exchanges, "the second that it is said to be"
            for collectives in exchanges:
                assert (
                    re.fullmatch(r"(colour|shape) heard <speak> [a-z]+ <listen>", collectives)
                    and collectives in whole
                )


def test_questions_are_about_what_a_stage_can_sense():
    for stage in STAGES:
        asked = {
            q.fact
            for sample in range(100)
            for q in lessons_of(CONFIG, stage)._script(sample).questions
        }
        assert asked == {
            fact
            for fact, (carriers, _, _) in FACTS.items()
            if set(carriers) <= set(MODALITIES_OF[stage])
        }


def weighing(caption, align=0.0):
    return {"stream": 1.0, "caption": caption, "align": align}


def test_a_process_without_captions_reports_what_the_others_report(model, batch):
    objective, weights, counts = Objective(model, 2), weighing(1.0, 0.3), (9.0, 4.0)
    alone = objective(replace(batch, captions=None), weights, counts)["parts"]
    assert alone["caption"] == 0 and [*alone] == [*objective(batch, weights, counts)["parts"]]


def test_stages_and_the_test_never_share_a_script():
    mixtures = [lessons_of(CONFIG, stage) for stage in STAGES]
    rooms = [mixture._script(sample).rooms for mixture in mixtures for sample in range(50)]
    rooms += [
        lessons_of(replace(CONFIG, seed=1), stage)._script(s).rooms
        for stage in STAGES
        for s in range(50)
    ]
    assert len(set(rooms)) == len(rooms)
    for mixture in mixtures:
        for sample in range(200):
            for room in mixture._script(sample).rooms:
                assert not {(t.colour, t.shape) for t in room.things} & HELD_OUT_PAIRS
                assert all(
                    s.speed in TRAIN_SPEEDS and s.pitch in TRAIN_PITCHES
                    for s in room.sounds
                    if s.word
                )


@pytest.mark.parametrize(
    "settings",
    [
        ["world.room_s=1"],
        ["world.room_s=3"],
        ["training.stages.omni.seconds=3"],
        ["training.stages.vision.seconds=3"],
    ],
)
def test_rooms_and_units_of_any_length_go_together(settings):
    for stage in STAGES:
        batch = lessons_of(override(CONFIG, settings), stage).batch(0)
        assert supervised(batch).min() > 0


def test_a_film_takes_one_row_of_the_omni_stage_and_none_of_the_others():
    film = from_script(write_script(3, 8, split="test"), 96)
    films = {stage: lessons_of(CONFIG, stage, [film]) for stage in STAGES}
    said = " ".join(cue.text for cue in film.window(0, 4 * TICKS_PER_SECOND).cues).lower()
    said = VOCABULARY.decode(VOCABULARY.encode(said))
    assert sum(text == said for text in texts(films["omni"].batch(0).streams)) == 1
    for stage in ("vision", "audio"):
        assert equal(films[stage].batch(0).streams, lessons_of(CONFIG, stage).batch(0).streams)
    both = [texts(films["omni"].batch(0, rank, 2).streams) for rank in range(2)]
    assert sum(text == said for rank in both for text in rank) == 1, (
        "one row of all processes, not one of each"
    )


def test_a_film_is_cut_into_whole_rooms_that_take_turns():
    film = from_script(write_script(3, 8, split="test"), 48)
    mixture = lessons_of(CONFIG, "omni", [film])
    starts = [mixture._film(step).start // TICKS_PER_SECOND for step in range(4)]
    assert starts == [0, 2, 4, 0]


def test_a_window_moves_everything_it_keeps_to_its_own_start():
    clip = from_script(write_script(5, 8), 48)
    part = clip.window(4 * TICKS_PER_SECOND, 6 * TICKS_PER_SECOND)
    assert (part.start, part.end) == (4 * TICKS_PER_SECOND, 6 * TICKS_PER_SECOND)
    assert np.array_equal(part.frames, clip.frames[8:12]) and np.array_equal(
        part.frame_times, clip.frame_times[:4]
    )
    assert np.array_equal(part.audio, clip.audio[4 * TICKS_PER_SECOND : 6 * TICKS_PER_SECOND])
    kept = [c for c in clip.cues if 4 <= c.start / TICKS_PER_SECOND < 6]
    assert [(c.start + part.start, c.text) for c in part.cues] == [(c.start, c.text) for c in kept]
    assert {f["start"] for f in part.facts} <= {c.start for c in part.cues}
    late = replace(clip, frames=clip.frames[:4], frame_times=clip.frame_times[:4])
    assert late.window(4 * TICKS_PER_SECOND, 6 * TICKS_PER_SECOND).has == {"audio", "text"}


def halves(batch):
    """The same streams in two batches of one and three rows, as two processes with uneven work would have them."""
    whole = batch.streams
    parts = []
    for rows in ([0], [1, 2, 3]):
        picked = {
            n: getattr(whole, n)[rows]
            for n in ("input_ids", "kind", "loss_mask", "unit", "document", "position")
        }
        of = whole.targets
        picked["targets"] = replace(of, fact=of.fact[rows], sense=of.sense[rows])
        frames = torch.cat([whole.frames[4 * r : 4 * r + 4] for r in rows])
        waves = torch.cat([whole.waves[4 * r : 4 * r + 4] for r in rows])
        order = {n: torch.arange(4 * len(rows)) for n in ("seen", "heard") if hasattr(whole, n)}
        parts.append(replace(whole, **picked, frames=frames, waves=waves, **order))
    return [replace(batch, streams=part, captions=None) for part in parts]


def test_the_mean_over_processes_is_the_mean_over_all_tokens(model, batch):
    """Data parallel training averages gradients over processes, however unevenly the tokens are spread."""
    whole = replace(batch, captions=None)
    objective = Objective(model, 2)

    def gradient(parts, counts):
        model.zero_grad()
        losses = [objective(part, weighing(0.5), counts)["loss"] for part in parts]
        torch.stack(losses).mean().backward()
        return torch.stack(losses).mean().item(), model.decoder.embed_tokens.weight.grad.clone()

    parts = halves(batch)
    counts = [supervised(part) for part in parts]
    assert counts[0][0] != counts[1][0]
    assert torch.equal(sum(counts)[0], supervised(whole)[0])
    loss, grad = gradient([whole], tuple(supervised(whole).tolist()))
    mean_loss, mean_grad = gradient(parts, tuple((sum(counts) / 2).tolist()))
    assert mean_loss == pytest.approx(loss, rel=1e-5)
    assert torch.allclose(grad, mean_grad, atol=1e-6)
    naive = sum(forward_batch(model, p.streams).losses.mean().item() for p in parts) / 2
    assert naive != pytest.approx(loss, rel=1e-5), "a mean of means is something else"
    model.zero_grad()


def test_a_rank_without_tokens_of_what_is_trained_takes_part_in_the_sum_of_gradients(batch):
    """Else data parallel training waits for ever for the gradients of a rank that has none."""
    torch.manual_seed(0)
    objective = Objective(OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY)), 2)
    choose_trained(objective, StageConfig(train=("image",)))
    text = batch.streams.kind == TEXT_KIND
    kind = torch.where((batch.streams.kind == PAD_KIND) | text, batch.streams.kind, TEXT_KIND)
    blind = replace(
        batch.streams, kind=kind, seen=batch.streams.seen[:0], heard=batch.streams.heard[:0]
    )
    shard = replace(batch, streams=blind, captions=None).sharded(Collectives(alone=True), None)
    objective(shard, weighing(0.5), (1.0, 1.0))["loss"].backward()
    gradients = [p.grad for p in objective.model.image.parameters() if p.grad is not None]
    assert gradients and not any(gradient.any() for gradient in gradients)


def test_a_step_without_labels_costs_nothing_and_teaches_nothing(model, batch):
    silent = replace(
        batch,
        streams=replace(batch.streams, loss_mask=batch.streams.loss_mask & False),
        captions=None,
    )
    loss = Objective(model, 2)(silent, weighing(0.5), tuple(supervised(silent).tolist()))["loss"]
    model.zero_grad()
    loss.backward()
    assert loss == 0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)
    model.zero_grad()


def test_supervised_tokens_are_those_that_cost(model, batch):
    counts = supervised(batch)
    with torch.no_grad():
        assert len(forward_batch(model, batch.streams).losses) == counts[0]
    assert counts[1] == batch.captions.loss_mask[:, 1:].sum()
    assert supervised(replace(batch, captions=None))[1] == 0


def test_captions_and_alignment_weigh_what_they_are_said_to(model, batch):
    counts = tuple(supervised(batch).tolist())
    with torch.no_grad():
        whole = Objective(model, 2)(batch, weighing(0.5, 0.3), counts)
        plain = Objective(model, 2)(batch, weighing(0.0), counts)
    parts = whole["parts"]
    expected = parts["stream"] + 0.5 * parts["caption"] + 0.3 * parts["align"]
    assert whole["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert plain["loss"].item() == pytest.approx(parts["stream"].item(), rel=1e-5)
    assert "align" not in plain["parts"] and not plain["directions"]
    assert sum(whole["directions"].values()).item() / 6 == pytest.approx(parts["align"].item())


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_reach_every_part_that_a_stage_trains_and_no_other(stage):
    torch.manual_seed(1)
    model = OmniModel.build(CONFIG.model, CONFIG.sequence, len(VOCABULARY))
    settings = CONFIG.training.stage(stage)
    objective = Objective(model, 2)
    choose_trained(objective, settings)
    batch = lessons_of(CONFIG, stage).batch(0)
    align = 0.3 if stage == "omni" else 0.0
    objective(batch, weighing(1.0, align), tuple(supervised(batch).tolist()))["loss"].backward()
    absent = {"vision": "audio", "audio": "image"}.get(stage)
    for name, parameter in model.named_parameters():
        part = part_of(name)
        grown = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        if part == "align":
            assert grown == (stage == "omni"), name
        elif part == "connector":
            assert grown == (absent not in name.split(".")), name
        else:
            assert grown == (part in settings.train), name
    before = copy.deepcopy(model.state_dict())
    for optimizer in build_optimizers(objective, CONFIG.training, settings):
        optimizer.step()
    moved = {part_of(n) for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {*settings.train} | ({"align"} if stage == "omni" else set())


def test_every_parameter_has_one_optimizer_and_matrices_go_to_muon(model):
    choose_trained(model, CONFIG.training.stage("omni"))
    muon, adamw = build_optimizers(
        model, CONFIG.training, replace(CONFIG.training.stage("omni"), lr_scale=0.5)
    )
    groups = [[p for g in o.param_groups for p in g["params"]] for o in (muon, adamw)]
    ids = [id(p) for group in groups for p in group]
    assert len(ids) == len(set(ids)) == sum(1 for _ in model.parameters())
    assert all(p.ndim == 2 for p in groups[0])
    names = {id(p): n for n, p in model.named_parameters()}
    assert not [names[id(p)] for p in groups[0] if isinstance_of_embedding(model, names[id(p)])]
    assert muon.param_groups[0]["lr"] == pytest.approx(CONFIG.training.muon_lr / 2)
    assert adamw.param_groups[0]["lr"] == pytest.approx(CONFIG.training.adamw_lr / 2)


def isinstance_of_embedding(model, name):
    return isinstance(model.get_submodule(name.rpartition(".")[0]), torch.nn.Embedding)


def test_clipping_one_part_leaves_the_others_alone(model):
    limit = 1.0
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(True)
        large = 1.0 if part_of(name) == "audio" else 1e-6
        parameter.grad = torch.full_like(parameter, large)
    before = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    norms = clip_per_part(model, limit)
    assert set(norms) == {"image", "audio", "connector", "align", "decoder"}
    after = torch.sqrt(
        sum(p.grad.square().sum() for n, p in model.named_parameters() if part_of(n) == "audio")
    )
    assert norms["audio"] > 10 and after.item() == pytest.approx(limit, rel=1e-3)
    for name, parameter in model.named_parameters():
        if part_of(name) != "audio":
            assert torch.equal(parameter.grad, before[name])
    model.zero_grad()


@pytest.mark.parametrize("wrapping", ["", "model.", "module.model."])
def test_a_parameter_belongs_to_its_part_however_the_model_is_wrapped(wrapping):
    assert part_of(f"{wrapping}image.tower.encoder.layers.0.mlp.fc1.weight") == "image"
    assert part_of(f"{wrapping}align_scale") == part_of(f"{wrapping}align.text.weight") == "align"


def test_an_unknown_stage_is_refused():
    with pytest.raises(
        UsageError, match="no lessons for stage 'smell'; it has vision, audio, omni"
    ):
        lessons(CONFIG, StageConfig("smell"))


@pytest.mark.parametrize("stage", ["audio", "omni"])
def test_a_stage_that_learns_from_sound_refuses_a_layout_without_any(stage):
    with pytest.raises(
        UsageError, match=f"sequence.layout=F4 has no place for the sound .* {stage};"
    ):
        lessons_of(override(tiny(), ["sequence.layout=F4"]), stage)


def test_what_cannot_be_learned_from_is_one_line_also_when_batches_are_prefetch():
    """A loader's worker would turn it into a page that begins with its own name."""
    short = override(CONFIG, ["sequence.max_tokens=50"])
    with pytest.raises(
        SequenceError, match=r"^clip world-train-\d+_0_\d+: \d+ tokens, but .* is 50; [^\n]*$"
    ):
        next(lessons_of(short, "omni").batches(0))
    with pytest.raises(
        UsageError, match=r"^stage omni: batch_size=4 does not divide over 3 processes$"
    ):
        next(lessons_of(CONFIG, "omni").batches(0, 0, 3))
