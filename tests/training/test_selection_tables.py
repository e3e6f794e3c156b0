"""Side tables of reference losses: the same numbers as on the fly, one table for every packing, none that is stale."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_shards import clip, config_with, stage, write_shards

from omni_lab.config import SelectionConfig, override
from omni_lab.data.losses import MANIFEST
from omni_lab.data.sources import training_data
from omni_lab.errors import InputError, UsageError
from omni_lab.sequences.batch import IGNORED
from omni_lab.training import checkpoint
from omni_lab.training.losses.objective import stage_objective, supervised
from omni_lab.training.models import new_model
from omni_lab.training.run import Place, RunFolder
from omni_lab.training.selection import frozen, table
from omni_lab.training.session import Session

CLOSE = 2e-5  # nats: rows of other lengths are summed in another order
TEXTS = ("red", "the red circle", "a blue square stands left of it", "yes", "two beeps and a bell")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Ten clips whose texts differ in length."""
    clips = [clip(n, text=f"{TEXTS[n % 5]} {n}") for n in range(10)]
    return write_shards(tmp_path_factory.mktemp("shards") / "ten", clips)


@pytest.fixture(scope="module")
def references(tmp_path_factory, shards):
    """Run folders of two models with other weights than the trainee's."""
    folder, out = tmp_path_factory.mktemp("runs"), {}
    for seed in (7, 8):
        config = replace(config_with(shards=shards), seed=seed)
        run = RunFolder(folder / f"seed{seed}", config)
        checkpoint.save(run.checkpoints, Place("omni", 1), new_model(config), [], {}, config)
        out[seed] = run.path
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory, shards, references):
    """Folder of a table under the first reference, and what was written."""
    folder = tmp_path_factory.mktemp("tables") / "losses"
    return folder, write(shards, folder, reference=references[7])


def settings(shards, changes=(), selection=None, **stage_settings):
    """Settings of one stage on shards with a selection."""
    chosen = SelectionConfig(**{"rule": "excess", "keep": 0.4, **(selection or {})})
    one = stage(**{"steps": 2, "selection": chosen, **stage_settings})
    config = override(config_with(shards=shards), [*changes, "training.threads=1"])
    return replace(config, training=replace(config.training, stages=(one,)))


def write(shards, out, reference, changes=(), fresh=False, base="", **stage_settings):
    chosen = {"reference": str(reference), "base": str(base)}
    config = settings(shards, changes, chosen, **stage_settings)
    (own,) = config.training.stages
    return table.write_table(config, own, out, fresh=fresh, progress=False)


def data_of(config):
    return training_data(config, config.training.stages[0])


def stepped(config, model, batch):
    """Reference losses of a batch, and which tokens a step keeps."""
    (own,) = config.training.stages
    objective = stage_objective(model, config.training, own)
    objective.selection.open(model)
    ready = objective.selection.prepare(batch, 0)
    counts = tuple(supervised(ready, objective.selection).tolist())
    with torch.no_grad():
        found = objective(ready, {"stream": 1.0, "caption": 1.0, "align": 0.0}, counts)
    return ready.streams.targets.known["reference"], found["kept"][0]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"packed": True, "max_tokens": 256, "batch_size": 1},
        {"packed": True, "max_tokens": 90, "batch_size": 2},
        {"max_tokens": 48, "interaction": ("text>audio=1",), "batch_size": 3},
    ],
)
def test_losses_of_one_table_are_those_computed_on_the_fly_however_rows_are_packed(
    how, shards, references, made
):
    folder, written = made
    assert (written.documents, written.resumed) == (10, 0) and written.mean["reference"] > 0
    fly = settings(shards, selection={"reference": str(references[7])}, **how)
    tabled = settings(shards, selection={"table": str(folder)}, **how)
    model = new_model(fly).eval()

    brought = data_of(tabled).batch(0)
    assert "reference" not in data_of(fly).batch(0).streams.targets.known
    labels = brought.streams.labels
    assert bool((brought.streams.document > 0).any()) is how.get("packed", False)
    known, kept = stepped(tabled, model, brought)
    computed, kept_too = stepped(fly, model, data_of(fly).batch(0))
    assert torch.equal(known.isnan(), labels == IGNORED), "every label has its loss, and no other"
    torch.testing.assert_close(known, computed, rtol=0, atol=CLOSE, equal_nan=True)
    assert torch.equal(kept, kept_too) and not kept.all()


def test_a_stage_with_a_table_trains_as_one_without_and_loads_no_reference(
    shards, references, made, tmp_path, monkeypatch
):
    told, hashed, digest_of_model = [], [], frozen.digest_of_model
    named = {"reference": str(references[7])}
    for name, selection in (("fly", named), ("table", named | {"table": str(made[0])})):
        if name == "table":
            monkeypatch.setattr(frozen, "trained", None)
            monkeypatch.setattr(
                frozen, "digest_of_model", lambda path: hashed.append(path) or digest_of_model(path)
            )
        config = settings(shards, selection=selection)
        run = RunFolder(tmp_path / name, config)
        Session(config).fit(run, progress=False)
        told.append(run.metrics())
    for one, other in zip(*told, strict=True):
        assert one["kept"] == other["kept"]
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
    assert hashed == [str(references[7])], "every weight is read once"


def other_data(shards, tmp_path):
    return write_shards(tmp_path / "more", [clip(n, text=TEXTS[0]) for n in range(11)])


@pytest.mark.parametrize(
    ("changes", "how", "message"),
    [
        (["sequence.control=text"], {}, "sequence.control: speak there, text here"),
        (["sequence.boundary=implicit"], {}, "sequence.boundary: explicit there, implicit here"),
        ([], {"seconds": 1}, "seconds: 2 there, 1 here"),
        ([], {"train": ("audio", "decoder")}, r"modalities: .*image.* there, .* here"),
        ([], {"interaction": ("text>audio=0.5",)}, r"interaction: .* there, .*text>audio.*0.5"),
    ],
)
def test_a_table_of_another_format_is_refused_by_name(changes, how, message, shards, made):
    config = settings(shards, changes, {"table": str(made[0])}, **how)
    with pytest.raises(InputError, match=message) as caught:
        data_of(config)
    assert f"omni-lab svlm table --stage omni --out {made[0]} --fresh" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_other_data_is_refused_by_name(shards, made, tmp_path):
    more = other_data(shards, tmp_path)
    with pytest.raises(InputError, match=r"data of source shards: \w+ there, \w+ here"):
        data_of(settings(more, selection={"table": str(made[0])}))


def test_a_table_of_another_reference_is_refused_before_the_first_of_all_stages(
    shards, references, made, tmp_path
):
    chosen = {"reference": str(references[8]), "table": str(made[0])}
    config = settings(shards, selection=chosen)
    (own,) = config.training.stages
    before = replace(own, name="before", selection=SelectionConfig())
    config = replace(config, training=replace(config.training, stages=(before, own)))
    run = RunFolder(tmp_path / "run", config)
    with pytest.raises(InputError, match=r"losses of reference are those of .*seed7") as caught:
        Session(config).fit(run, progress=False)
    assert "seed8" in str(caught.value) and "--fresh" in str(caught.value)
    assert not run.metrics()


def test_the_same_weights_are_the_same_reference_whatever_their_folder_is_called(
    shards, references, made, tmp_path
):
    import shutil

    copied = shutil.copytree(references[7], tmp_path / "renamed")
    chosen = settings(shards, selection={"reference": str(copied), "table": str(made[0])})
    (own,) = chosen.training.stages
    frozen.check_models(own)
    assert frozen.computed_models(own) == {}


def test_documents_that_a_table_lacks_are_named(shards, references, tmp_path):
    """Rows of 44 tokens leave the longest clips out; rows of 256 have them."""
    written = write(shards, tmp_path / "short", references[7], max_tokens=38)
    assert 0 < written.documents < 10
    config = settings(shards, selection={"table": str(tmp_path / "short")})
    lacking = 10 - written.documents
    with pytest.raises(
        InputError, match=rf"{lacking} of 10 documents of source shards are not in .*film00"
    ):
        data_of(config)


def test_a_table_that_is_missing_unfinished_or_damaged_is_refused(shards, made, tmp_path):
    import shutil

    def refused(folder, message):
        with pytest.raises(InputError, match=message) as caught:
            data_of(settings(shards, selection={"table": str(folder)}))
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nowhere", "nowhere: no table of losses .no table.json.; make it with")
    copy = shutil.copytree(made[0], tmp_path / "copy")
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | {"parts": None}))
    refused(copy, "copy: the table is not finished; go on with `omni-lab svlm table")
    (copy / MANIFEST).write_text('{"key": 3}')
    refused(copy, "no manifest of a table")
    (copy / MANIFEST).write_text(json.dumps(manifest))
    (part,) = copy.glob("*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    refused(copy, f"{part.name}: damaged")
    part.unlink()
    refused(copy, f"{part.name}: unreadable")


def test_losses_of_other_tokens_are_refused_when_their_document_is_read(shards, made):
    data = data_of(settings(shards, selection={"table": str(made[0])}))
    draw = data.plan.rows(0)[0][0]
    tokens = data.writing.tokens(data.sources["shards"][draw.number])
    losses = data._losses.added(tokens, "shards", draw.number).known["reference"]
    assert np.array_equal(np.isfinite(losses[1:]), tokens.loss[1:]) and np.isnan(losses[0])
    for changed in (
        replace(tokens, ids=tokens.ids[::-1].copy()),
        replace(tokens, loss=np.roll(tokens.loss, 1)),
    ):
        with pytest.raises(InputError, match=rf"losses of {tokens.name} are of other tokens"):
            data._losses.added(changed, "shards", draw.number)


def test_a_killed_call_goes_on_and_writes_what_an_unbroken_one_writes(
    shards, references, tmp_path, monkeypatch
):
    monkeypatch.setattr(table, "PART", 4)
    whole = write(shards, tmp_path / "whole", references[7])
    parts, write_part = [], table.write_part

    def killed(path, *more):
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(path)
        return write_part(path, *more)

    monkeypatch.setattr(table, "write_part", killed)
    with pytest.raises(KeyboardInterrupt):
        write(shards, tmp_path / "half", references[7])
    with pytest.raises(InputError, match="half: the table is not finished"):
        data_of(settings(shards, selection={"table": str(tmp_path / "half")}))
    monkeypatch.setattr(table, "write_part", write_part)
    parts[0].write_bytes(parts[0].read_bytes()[:-9])  # half a part is made again
    again = write(shards, tmp_path / "half", references[7])
    assert (whole.resumed, again.resumed) == (0, 4) and again.mean == whole.mean
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_with_another_table_is_kept_unless_it_shall_be_replaced(
    shards, references, tmp_path
):
    out = tmp_path / "losses"
    write(shards, out, references[7])
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match=r"reference: .*seed7 there, .*seed8 here; choose another"):
        write(shards, out, references[8])
    with pytest.raises(InputError, match=r"holds a table .*seconds: 2 there, 1 here; .*--fresh"):
        write(shards, out, references[7], seconds=1)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    found = write(shards, out, references[8], fresh=True, base=references[7])
    assert found.resumed == 0 and set(found.mean) == {"reference", "base"}
    chosen = {"rule": "static", "table": str(out), "base": str(references[7])}
    batch = data_of(settings(shards, selection=chosen)).batch(0)
    assert {"reference", "base"} <= set(batch.streams.targets.known)


def test_samples_that_are_made_anew_have_no_table(shards, references, made):
    gallery = settings(shards, selection={"table": str(made[0])}, sources=("gallery",))
    with pytest.raises(UsageError, match=r"stage omni: no table has their losses: .*gallery"):
        data_of(gallery)
    with pytest.raises(UsageError, match=r"name sources on disk .shards, image_text"):
        write(shards, made[0], references[7], sources=("gallery",))


def test_what_makes_losses_depend_on_the_step_has_no_table(shards, references, made, tmp_path):
    with pytest.raises(UsageError, match="interaction text>audio changes over the stage"):
        write(shards, tmp_path / "no", references[7], interaction=("text>audio=0:1@0.5",))
    assert not (tmp_path / "no").exists()
    config = settings(shards, selection={"table": str(made[0]), "rule": "visual"})
    with pytest.raises(UsageError, match=r"rule=visual reads no table: it needs no frozen model"):
        frozen.check_models(config.training.stages[0])
    with pytest.raises(UsageError, match="no model whose losses a table could hold; set --ref"):
        write(shards, tmp_path / "no", "")


def test_losses_that_are_not_finite_are_refused_where_they_arise(shards, tmp_path):
    config = replace(config_with(shards=shards), seed=9)
    broken = new_model(config)
    with torch.no_grad():
        broken.decoder.norm.weight.fill_(torch.nan)
    run = RunFolder(tmp_path / "broken", config)
    checkpoint.save(run.checkpoints, Place("omni", 1), broken, [], {}, config)
    with pytest.raises(InputError, match=r"losses of reference are not finite in film00"):
        write(shards, tmp_path / "losses", run.path)
    fly = settings(shards, selection={"reference": str(run.path)})
    with pytest.raises(InputError, match=r"broken: losses of reference are not finite"):
        stepped(fly, new_model(fly), data_of(fly).batch(0))
