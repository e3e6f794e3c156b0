"""Selective training: what is kept, by which score, under which reference, and what it teaches."""

import json
import shutil
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stage_data import lessons_of

from omni_lab.config import override, tiny
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import hash_of
from omni_lab.errors import ConfigError, InputError, UsageError
from omni_lab.model.inputs import forward_batch
from omni_lab.parallel.collectives import Collectives
from omni_lab.sequences.batch import IGNORED
from omni_lab.sequences.tokens import TEXT_KIND
from omni_lab.training import checkpoint
from omni_lab.training.faults.batch_file import StepInputs, read_step, write_step
from omni_lab.training.losses.groups import means_by_group, sums_by_group
from omni_lab.training.losses.objective import stage_objective, supervised
from omni_lab.training.models import new_model
from omni_lab.training.run import Place, RunFolder
from omni_lab.training.selection import frozen
from omni_lab.training.selection.frozen import losses_of
from omni_lab.training.selection.references import with_known
from omni_lab.training.selection.scores import NEEDS, score, separability
from omni_lab.training.selection.top import top_fraction
from omni_lab.training.session import Session

VISION = "training.stages.vision"
CONFIG = override(tiny(), [f"{VISION}.batch_size=4", f"{VISION}.steps=2", "training.threads=1"])
ALONE = Collectives(alone=True)


def selecting(*settings):
    """Settings with a selection in the vision stage."""
    return override(CONFIG, [f"{VISION}.selection.{one}" for one in settings])


@pytest.fixture(scope="module")
def model():
    return new_model(CONFIG).eval()


@pytest.fixture(scope="module")
def batch():
    return lessons_of(CONFIG, "vision").batch(0)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Run folder of a model with other weights."""
    config = replace(CONFIG, seed=7)
    run = RunFolder(tmp_path_factory.mktemp("runs") / "reference", config)
    checkpoint.save(run.checkpoints, Place("vision", 2), new_model(config), [], {}, config)
    return run.path


def prepared(config, model, batch, step=0, place=(0, 1)):
    """Objective of the vision stage with its selection, and a batch that is ready for it."""
    stage = config.training.stages[0]
    objective = stage_objective(model, config.training, stage)
    objective.selection.open(model)
    return objective, objective.selection.prepare(batch, step, place)


def step_of(objective, batch, counts=None):
    counts = counts or tuple(supervised(batch, objective.selection).tolist())
    return objective(batch, {"stream": 1.0, "caption": 1.0, "align": 0.0}, counts)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30), st.floats(0, 1))
def test_a_fraction_of_every_sequence_is_the_fraction_of_each_alone(pairs, fraction):
    groups, scores = (
        torch.tensor([p[i] for p in pairs], dtype=t)
        for i, t in ((0, torch.int64), (1, torch.float32))
    )
    kept = top_fraction(scores, fraction, ALONE, groups=groups)
    for group in set(groups.tolist()):
        own = groups == group
        assert torch.equal(kept[own], top_fraction(scores[own], fraction, ALONE))


def test_scores_rank_tokens_as_their_sources_say():
    losses = {
        "train": torch.tensor([2.0, 0.1, 2.0]), "reference": torch.tensor([0.2, 0.1, 4.0]),
        "base": torch.tensor([3.0, 0.1, 3.0]), "blind": torch.tensor([5.0, 0.1, 1.0]),
        "prior": torch.tensor([4.0, 0.2, 4.0]), "right": torch.tensor([1.0, 1.0, 0.0]),
        "random": torch.tensor([0.5, 0.1, 0.9]),
    }  # fmt: skip
    # grounded and learnable, connective, wrong; the trainee is weaker than the reference
    expected = {
        "random": [2, 0, 1], "loss": [0, 2, 1], "reference": [1, 0, 2], "excess": [0, 1, 2],
        "static": [0, 1, 2], "visual": [0, 1, 2], "prior": [0, 2, 1],
    }  # fmt: skip
    for rule, order in expected.items():
        assert score(rule, losses).argsort(descending=True, stable=True).tolist() == order, rule
    assert torch.equal(score("history", losses), losses["base"] - losses["train"])
    assert torch.equal(score("excess", losses, 2.0), losses["train"] - 2 * losses["reference"])
    assert set(NEEDS) == {*expected, "history", "switch", "oracle"}


def test_the_sign_of_excess_loss_turns_where_the_trainee_overtakes_the_reference():
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(400, generator=generator) < 0.3
    noise = torch.randn(2, 400, generator=generator)
    random = torch.rand(400, generator=generator)
    good, poor = 0.3 + 4.0 * wrong + 0.05 * noise[0], 1.5 + 0.2 * wrong + 0.5 * noise[1]
    for train, reference, stronger in ((poor, good, False), (good, poor, True)):
        losses = {"train": train, "reference": reference, "random": random}
        excess = score("excess", losses)
        assert bool(excess[~wrong].mean() < excess[wrong].mean()) is stronger
        assert (separability(train) > separability(reference)) is stronger
        assert torch.equal(score("switch", losses), random if stronger else excess)


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=40),
    st.floats(0.1, 9),
    st.floats(-9, 9),
)
def test_separability_is_the_best_threshold_of_all_whatever_unit_and_order(values, scale, shift):
    losses = torch.tensor(values, dtype=torch.float64)
    found = separability(losses)
    assert 0 <= found <= 1 + 1e-9
    spread = float(losses.var(correction=0))
    best = max(
        (
            float(low.double().mean() * (1 - low.double().mean()))
            * float(losses[low].mean() - losses[~low].mean()) ** 2
            for low in (losses <= at for at in losses.unique()[:-1])
        ),
        default=0.0,
    )
    if spread > 1e-6:
        assert found == pytest.approx(best / spread, abs=1e-6)
        assert separability(scale * losses.flip(0) + shift) == pytest.approx(found, abs=1e-5)


def test_what_cannot_be_separated_has_separability_0():
    assert separability(torch.empty(0)) == separability(torch.ones(5)) == 0
    assert separability(torch.tensor([1.0, 9.0, 1.0])) == pytest.approx(1)


def test_the_gradient_is_that_of_the_kept_tokens_alone(model, batch, reference):
    config = selecting("rule=excess", f"reference={reference}", "keep=0.4")
    objective, ready = prepared(config, model, batch)
    found = step_of(objective, ready)
    found["loss"].backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    seen = model.see(batch.streams.frames)
    total, marks = 0.0, []
    for rows, kept in zip((batch.streams, batch.captions), found["kept"], strict=True):
        losses = forward_batch(model, rows, seen).losses
        count = objective.selection.counts(
            ready.streams if rows is batch.streams else ready.captions
        )
        total = total + losses[kept].sum() / count
        text = torch.roll(rows.kind, -1, 1)[rows.labels != IGNORED] == TEXT_KIND
        assert kept[~text].all(), "control tokens and end marks are kept"
        assert int(kept[text].sum()) == pytest.approx(0.4 * int(text.sum()), abs=0.51)
        assert count == pytest.approx(int(kept.sum()), abs=0.51)
        marks.append(kept)
    total.backward()
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-6)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-4, atol=1e-6)
    model.zero_grad()
    assert not all(mark.all() for mark in marks)


def test_what_is_kept_is_counted_in_all_and_by_type(model, batch):
    objective, ready = prepared(selecting("rule=loss"), model, batch)
    types = [torch.full(rows.kind.shape, 3.0) for rows in (ready.streams, ready.captions)]
    ready = with_known(ready, {"type": types})
    found = step_of(objective, ready)
    kept = means_by_group([sums_by_group(ready, found["tokens"], found["kept"])])["kept"]
    assert kept["text"] == kept["type_3"] == pytest.approx(0.6, abs=0.05) and len(kept) == 2


@pytest.mark.parametrize("scope", ["sequence", "global"])
def test_what_a_token_is_given_depends_on_its_row_and_not_on_how_many_processes_there_are(
    model, scope
):
    config = selecting("rule=random", f"scope={scope}")
    lessons = lessons_of(config, "vision")
    whole = prepared(config, model, lessons.batch(0))[1].streams
    for rank in (0, 1):
        own = prepared(config, model, lessons.batch(0, rank, 2), place=(rank, 2))[1].streams
        width = min(own.kind.shape[1], whole.kind.shape[1])
        for name in ("random", "place", "group"):
            theirs = whole.targets.known[name][rank::2, :width]
            real = own.document[:, :width] == 0
            mine = own.targets.known[name][:, :width]
            assert torch.equal(mine[real].nan_to_num(-1), theirs[real].nan_to_num(-1)), name
    other = prepared(config, model, lessons.batch(0), step=1)[1].streams
    assert not torch.equal(other.targets.known["random"], whole.targets.known["random"])


def test_no_token_is_left_out_before_the_selection_begins(model, batch):
    objective, ready = prepared(selecting("rule=loss", "first=3"), model, batch, step=2)
    assert ready is batch and step_of(objective, ready)["kept"] == [None, None]
    assert prepared(selecting("rule=loss", "first=3"), model, batch, step=3)[1] is not batch


def test_losses_that_the_data_bring_along_are_not_computed_again(model, batch, reference):
    config = selecting("rule=reference", f"reference={reference}")
    told = [torch.zeros(rows.kind.shape) for rows in (batch.streams, batch.captions)]
    told[0][:, ::2] = torch.nan  # not all of them
    objective, ready = prepared(config, model, with_known(batch, {"reference": told}))
    assert torch.equal(
        ready.streams.targets.known["reference"].nan_to_num(9), told[0].nan_to_num(9)
    )
    kept = step_of(objective, ready)["kept"][0]
    unknown = told[0][batch.streams.labels != IGNORED].isnan()
    assert kept[unknown].all(), "text without a score is kept"


def test_a_reference_sees_the_batch_as_it_would_alone(model, batch, reference):
    config = selecting("rule=excess", f"reference={reference}")
    _, ready = prepared(config, model, batch)
    alone = losses_of(new_model(replace(CONFIG, seed=7)).eval(), batch)
    for rows, theirs in zip((ready.streams, ready.captions), alone, strict=True):
        found = rows.targets.known["reference"]
        torch.testing.assert_close(found, theirs, equal_nan=True, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.isnan(), rows.labels == IGNORED)


def test_an_adapter_and_its_base_share_their_weights_and_differ_in_their_losses(
    model, batch, reference, tmp_path
):
    from peft import LoraConfig, get_peft_model

    decoder = new_model(replace(CONFIG, seed=7)).decoder
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks for an old name
        adapted = get_peft_model(decoder, lora)
    adapted.save_pretrained(tmp_path / "adapter")
    told = tmp_path / "adapter/adapter_config.json"
    settings = json.loads(told.read_text())
    told.write_text(json.dumps(settings | {"base_model_name_or_path": str(reference)}))

    config = selecting("rule=static", f"reference={told.parent}", f"base={reference}")
    _, ready = prepared(config, model, batch)
    columns = ready.streams.targets.known
    plain = losses_of(new_model(replace(CONFIG, seed=7)).eval(), batch)[0]
    torch.testing.assert_close(columns["base"], plain, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(columns["reference"], columns["base"], equal_nan=True)

    told.write_text(json.dumps(settings | {"base_model_name_or_path": ""}))
    with pytest.raises(InputError, match="adapter_config.json has no base_model_name_or_path"):
        prepared(config, model, batch)


def adapter_on(run, folder, seed, rank=2, dropout=0.0):
    """Folder of a LoRA adapter with random weights on the decoder of a run."""
    from peft import LoraConfig, get_peft_model

    targets, decoder = ["q_proj", "v_proj"], new_model(replace(CONFIG, seed=7)).decoder
    torch.manual_seed(seed)
    lora = LoraConfig(r=rank, target_modules=targets, init_lora_weights=False, lora_dropout=dropout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks for an old name
        adapted = get_peft_model(decoder, lora)
    adapted.save_pretrained(folder)
    told = folder / "adapter_config.json"
    own = json.loads(told.read_text()) | {"base_model_name_or_path": str(run)}
    told.write_text(json.dumps(own))
    return folder


def test_an_adapter_counts_alone_and_without_its_dropout(model, batch, reference, tmp_path):
    """Two adapters on one base: each column is as if the other were not there, at every step."""
    one = adapter_on(reference, tmp_path / "one", 1, dropout=0.5)
    other = adapter_on(reference, tmp_path / "other", 2)
    both = selecting("rule=static", f"reference={one}", f"base={other}")
    objective, ready = prepared(both, model, batch)
    columns = ready.streams.targets.known
    again = objective.selection.prepare(batch, 1).streams.targets.known
    torch.testing.assert_close(columns["reference"], again["reference"], equal_nan=True)
    alone = selecting("rule=reference", f"reference={other}")
    base = prepared(alone, model, batch)[1].streams.targets.known["reference"]
    torch.testing.assert_close(columns["base"], base, equal_nan=True)
    assert not torch.allclose(columns["reference"], base, equal_nan=True)

    digests = {frozen.digest_of_model(str(path)) for path in (reference, one, other)}
    assert len(digests) == 3
    copy = shutil.copytree(one, tmp_path / "copy")
    assert frozen.digest_of_model(str(copy)) in digests
    (copy / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"copy: has no adapter_model.safetensors; save it as"):
        frozen.digest_of_model(str(copy))


def test_a_reference_that_reads_other_units_or_words_is_refused_by_name(
    model, batch, reference, tmp_path
):
    config = override(replace(CONFIG, seed=7), ["sequence.image_tokens=1"])
    run = RunFolder(tmp_path / "coarse", config)
    checkpoint.save(run.checkpoints, Place("vision", 2), new_model(config), [], {}, config)
    with pytest.raises(InputError, match=r"coarse: reads other units: sequence.image_tokens: 1 th"):
        prepared(selecting("rule=reference", f"reference={run.path}"), model, batch)

    stage = selecting("rule=reference", f"reference={reference}").training.stages[0]
    selection = stage_objective(model, CONFIG.training, stage).selection
    words = hash_of(build_vocabulary(CONFIG))
    selection.open(model, words)
    with pytest.raises(InputError, match="another vocabulary than the trainee's, of .* tokens too"):
        selection.open(model, words[::-1])


def test_a_reference_that_is_missing_or_of_other_words_is_refused_by_name(
    model, batch, reference, tmp_path
):
    with pytest.raises(
        InputError, match=r"rule=excess needs losses of reference; set selection.ref"
    ):
        prepared(selecting("rule=excess"), model, batch)
    with pytest.raises(InputError, match="nowhere"):
        prepared(selecting("rule=reference", f"reference={tmp_path / 'nowhere'}"), model, batch)
    fewer = type(model).build(CONFIG.model, CONFIG.sequence, model.config.vocabulary - 3)
    with pytest.raises(InputError, match="a vocabulary of .* tokens, but the trainee has"):
        prepared(selecting("rule=reference", f"reference={reference}"), fewer, batch)
    with pytest.raises(
        UsageError, match="stage vision: selection.rule=oracle needs data that know"
    ):
        prepared(selecting("rule=oracle"), model, batch)


@pytest.mark.parametrize("wrong", ["keep=0", "keep=1.2", "rule=best", "scope=rank", "weight=-1"])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"selection.{wrong.split('=')[0]}"):
        selecting(wrong)


def test_a_kept_batch_is_run_again_with_the_same_selection(model, batch, reference, tmp_path):
    config = selecting("rule=excess", f"reference={reference}")
    objective, ready = prepared(config, model, batch)
    given = {"weights": {"stream": 1.0, "caption": 1.0, "align": 0.0}, "counts": (9.0, 4.0)}
    stage = config.training.stages[0]
    write_step(tmp_path / "rank-0.safetensors", StepInputs(stage, 0, 1, ready, given), config)
    inputs, *_ = read_step(tmp_path / "rank-0.safetensors")
    again = stage_objective(model, config.training, inputs.stage)(inputs.batch, **inputs.given)
    assert torch.equal(again["loss"], objective(ready, **given)["loss"])
    assert all(map(torch.equal, again["kept"], step_of(objective, ready)["kept"]))


@pytest.mark.parametrize("rule", ["visual", "history"])
def test_a_stage_trains_with_a_selection_and_records_what_it_kept(reference, tmp_path, rule):
    config = selecting(f"rule={rule}", f"base={reference}")
    config = replace(config, training=replace(config.training, stages=config.training.stages[:1]))
    run = RunFolder(tmp_path / "run", config)
    Session(config).fit(run, progress=False)
    assert [line["kept"]["text"] for line in run.metrics()] == pytest.approx([0.6, 0.6], abs=0.05)
