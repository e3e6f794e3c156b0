"""Checkpoints: a power cut at any write, a full disk, damaged files, other settings."""

from __future__ import annotations

import json
import resource
import shutil
from contextlib import contextmanager
from itertools import count

import pytest
import torch
from power_cuts import power_cut
from safetensors.torch import load_file, save_file

from omni_lab.config import override, tiny
from omni_lab.errors import InputError
from omni_lab.model.omni import OmniModel
from omni_lab.storage import append_line, atomic_write, replace_folder
from omni_lab.training import checkpoint
from omni_lab.training.run import Place, RunFolder

STAGES = ("vision", "omni")


class Weights(OmniModel):
    """A model of one weight, which tells the step that it was saved at."""

    def __init__(self, step):
        torch.nn.Module.__init__(self)
        self.step = torch.nn.Parameter(torch.full((1000,), float(step)))

    def save_pretrained(self, folder):
        folder.mkdir(parents=True)
        save_file(self.state_dict(), folder / "model.safetensors")
        (folder / "config.json").write_text('{"settings": {}}')


def save(folder, step, stage="vision", config=None):
    model = Weights(step)
    model.step.grad = torch.ones(1000)
    optimizer = torch.optim.AdamW(model.parameters(), 0.0)
    optimizer.step()
    return checkpoint.save(folder, Place(stage, step), model, [optimizer], None, config)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def two(tmp_path):
    """Folder with the checkpoints of two steps."""
    for step in (1, 2):
        save(tmp_path / "checkpoints", step)
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("over_a_damaged_one", [False, True])
def test_the_power_may_go_at_any_write_of_a_checkpoint(tmp_path, two, over_a_damaged_one):
    kept = tmp_path / "kept"
    if over_a_damaged_one:
        save(two, 3)
        (two / "vision-000003" / "place.json").write_text("{")
    shutil.copytree(two, kept)
    for number in count():
        shutil.rmtree(two)
        shutil.copytree(kept, two)
        with power_cut(two, number) as writes:
            save(two, 3)
        place = two / "vision-000003" / "place.json"
        if place.exists() and place.read_text() == "{":
            with pytest.warns(UserWarning, match="vision-000003: damaged, place.json"):
                found, place = checkpoint.latest(two, STAGES)
        else:
            found, place = checkpoint.latest(two, STAGES)
        assert place.step == 3 or (writes.cut and place.step == 2), number
        assert load_file(found / "model.safetensors")["step"][0] == place.step
        save(two, 3)
        assert names(two) == ["vision-000002", "vision-000003"], "nothing half is left about"
        if not writes.cut:
            break
    assert number > 10


def test_the_last_two_of_a_stage_stay_and_of_an_earlier_stage_the_last(two):
    save(two, 3)
    assert names(two) == ["vision-000002", "vision-000003"]
    save(two, 1, "omni")
    assert names(two) == ["omni-000001", "vision-000003"]
    assert checkpoint.of_stage(two, "vision") == two / "vision-000003"
    assert checkpoint.of_stage(two, "audio") is None


def test_the_furthest_is_by_stage_then_step_and_steps_may_have_seven_digits(tmp_path):
    for stage, step in (("omni", 999_999), ("omni", 1_000_000), ("context-64", 5)):
        save(tmp_path, step, stage)
    assert checkpoint.latest(tmp_path, ("context-64", "omni"))[1] == Place("omni", 1_000_000)
    assert checkpoint.latest(tmp_path, ("omni", "context-64"))[1] == Place("context-64", 5)
    with pytest.raises(InputError, match="context-64-000005: of stage context-64; this run has om"):
        checkpoint.latest(tmp_path, ("omni",))


def damages(folder):
    """What may have become of a checkpoint, with the words that name it."""
    weights, other = folder / "model.safetensors", folder.with_name("vision-000001")
    half = weights.read_bytes()[: weights.stat().st_size // 2]
    flipped = bytearray(weights.read_bytes())
    flipped[-1] ^= 1
    return {
        "half": (lambda: weights.write_bytes(half), r"model.safetensors has [\d,]+ bytes of 4,"),
        "gone": (lambda: (folder / "optimizer.safetensors").unlink(), "optimizer.safetensors is m"),
        "foreign": (
            lambda: shutil.copy(other / "model.safetensors", weights),
            "model.safetensors has other bytes than were written",
        ),
        "one bit": (lambda: weights.write_bytes(flipped), "model.safetensors has other bytes"),
        "no place": (lambda: (folder / "place.json").unlink(), "place.json is missing"),
        "torn place": (lambda: (folder / "place.json").write_text("{"), "place.json cannot be rea"),
        "renamed": (
            lambda: (shutil.rmtree(folder), shutil.copytree(other, folder)),
            "it holds step 1 of stage vision",
        ),
        "torn list": (lambda: (folder / "files.json").write_text("[1]"), "files.json is no manife"),
        "empty": (lambda: [file.unlink() for file in folder.iterdir()], "place.json is missing"),
    }


DAMAGES = (
    "half", "gone", "foreign", "one bit", "no place", "torn place", "renamed", "torn list", "empty",
)  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_by_name_for_the_one_before(two, what):
    harm, words = damages(two / "vision-000002")[what]
    harm()
    with pytest.warns(UserWarning, match=f"vision-000002: damaged, {words}") as told:
        found, place = checkpoint.latest(two, STAGES)
    assert str(told[0].message).endswith("; going on from vision-000001")
    assert "\n" not in str(told[0].message)
    assert (found.name, place.step) == ("vision-000001", 1)
    shutil.rmtree(two / "vision-000001")
    with pytest.raises(InputError, match=f"vision-000002: damaged, {words}.*; no other is sound"):
        checkpoint.latest(two, STAGES)


def test_a_checkpoint_without_manifest_needs_whole_weights_and_no_more(two):
    """As those of earlier versions are, and the recorded run's, which has no optimizer state."""
    newest = two / "vision-000002"
    (newest / "files.json").unlink()
    (newest / "optimizer.safetensors").unlink()
    found, _ = checkpoint.latest(two, STAGES)
    model = Weights(0)
    checkpoint.restore(found, model, [])
    assert model.step[0] == 2
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="model.safetensors is no whole safetensors file"):
        assert checkpoint.latest(two, STAGES)[1].step == 1


@contextmanager
def files_of_at_most(size):
    """A limit on files as a full disk: writes beyond it are refused by the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 3000, 5000])
def test_a_full_disk_costs_no_checkpoint_and_leaves_nothing_half(two, size):
    """The limit is met in the weights, in the optimizer state and in the first small file."""
    with files_of_at_most(size), pytest.raises(OSError, match="File too large"):
        save(two, 3)
    assert names(two) == ["vision-000001", "vision-000002"]
    assert checkpoint.latest(two, STAGES)[1].step == 2
    save(two, 3)
    assert checkpoint.latest(two, STAGES)[1].step == 3


def test_a_file_and_a_line_are_written_whole_or_not_at_all(tmp_path):
    file, lines = tmp_path / "settings.json", tmp_path / "metrics.jsonl"
    atomic_write(file, "before")
    append_line(lines, "x" * 50)
    with files_of_at_most(60):
        with pytest.raises(OSError, match=r"File too large: .*settings\.json"):
            atomic_write(file, "y" * 100)
        with pytest.raises(OSError, match=r"File too large: .*metrics\.jsonl"):
            append_line(lines, "y" * 50)
    assert file.read_text() == "before" and lines.read_text() == "x" * 50 + "\n"
    assert names(tmp_path) == ["metrics.jsonl", "settings.json"]
    append_line(lines, "z")
    assert lines.read_text().splitlines() == ["x" * 50, "z"]


def test_a_folder_is_replaced_at_once_and_the_one_before_is_never_lost(tmp_path):
    def write(folder, text):
        folder.mkdir()
        (folder / "inner").mkdir()
        (folder / "inner" / "text").write_text(text)

    final = tmp_path / "final"
    for number in count():
        for path in list(tmp_path.iterdir()):
            shutil.rmtree(path)
        write(final, "old"), write(tmp_path / "new", "new")
        with power_cut(tmp_path, number) as writes:
            replace_folder(tmp_path / "new", final)
        standing = final if final.exists() else tmp_path / "final.old"
        assert (standing / "inner" / "text").read_text() in ("old", "new")
        if not writes.cut:
            break
        if (tmp_path / "new").exists():
            replace_folder(tmp_path / "new", final)
            assert (final / "inner" / "text").read_text() == "new"
    assert number > 3 and names(tmp_path) == ["final"]


def test_a_checkpoint_of_other_settings_is_refused_with_the_differences(tmp_path):
    folder = save(tmp_path, 2, config=tiny())
    changes = ["training.muon_lr=0.002", "seed=3", "model.decoder.layers=5", "evaluation.clips=9"]
    other = override(tiny(), changes)
    optimizer = torch.optim.AdamW(Weights(0).parameters())
    with pytest.raises(InputError) as caught:
        checkpoint.restore(folder, Weights(0), [optimizer], other)
    told = str(caught.value)
    assert told.startswith(f"{folder}: saved with other settings: seed: 0 there, 3 here; ")
    assert "; 1 more; go on with the same settings" in told and "\n" not in told
    checkpoint.restore(folder, Weights(0), [], other)  # its stage is done: runs share beginnings


def test_another_runs_folder_is_refused_with_the_differences(tmp_path):
    RunFolder(tmp_path, tiny())
    with pytest.raises(InputError) as caught:
        RunFolder(tmp_path, override(tiny(), ["training.muon_lr=0.002", "training.stages=vision"]))
    told = str(caught.value)
    assert "holds a run with other settings: training.stages: vision,audio,omni there, vision " in (
        told
    )
    assert "training.muon_lr: 0.004 there, 0.002 here; choose another --out" in told
    assert "\n" not in told


def test_other_data_are_named_by_their_source(tmp_path):
    run = RunFolder(tmp_path, tiny())
    run.begin_stage("vision", "ab", {"source shards": "12", "source text": "34"})
    run.check_data("vision", "ab", {})
    with pytest.raises(InputError, match="other data .*: source text: 34 there, 56 here; put them"):
        run.check_data("vision", "cd", {"source shards": "12", "source text": "56"})
    (tmp_path / "data.json").write_text('{"vision": "ab"}')  # as earlier versions wrote it
    run.check_data("vision", "ab", {"source shards": "12"})
    with pytest.raises(InputError, match="vision began with other data"):
        run.check_data("vision", "cd", {})


def test_metrics_of_another_run_and_damaged_lines_are_named(tmp_path):
    run = RunFolder(tmp_path, tiny())
    for stage in ("vision", "smell"):
        run.log({"stage": stage, "step": 0})
    with pytest.raises(InputError, match=r"metrics\.jsonl: a line is of step 0 of stage smell; th"):
        run.truncate_metrics(("vision",), Place("vision", 1))
    (tmp_path / "metrics.jsonl").write_text('{"stage": "vision", "step": 0}\n{"sta\n{}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2 is no JSON object"):
        run.metrics()
    assert json.loads((tmp_path / "config.json").read_text())["name"] == "tiny"
