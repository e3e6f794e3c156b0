"""`omni-lab train`: plan, stages by name, initial weights, a short run, resumption."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch
from clip_shards import clip, write_shards
from safetensors.torch import load_file

from omni_lab.cli.main import main
from omni_lab.config import tiny
from omni_lab.training.optimizers import part_of
from omni_lab.training.run import RunFolder, read_config

SMALL = (
    "--stages", "vision", "omni", "--set",
    "training.stages.vision.steps=2", "training.stages.vision.batch_size=2",
    "training.stages.omni.steps=2", "training.stages.omni.batch_size=2",
    "training.stages.omni.seconds=2",
)  # fmt: skip


def train(capsys, *arguments):
    """Exit code, stdout, stderr."""
    code = main(["train", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def state(run):
    """Bytes of every file of a run folder, and the times when its checkpoints were written."""
    files = [path for path in run.rglob("*") if path.is_file()]
    written = [
        path.stat().st_mtime_ns for path in files if path.parent.parent.name == "checkpoints"
    ]
    return {path: path.read_bytes() for path in files}, written


def weights(checkpoint):
    """Tensors of a checkpoint, by name."""
    return load_file(Path(checkpoint) / "model.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Run folder of two stages of two steps, and what `--json` printed."""
    run, printed = tmp_path_factory.mktemp("train") / "run", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["train", "--out", str(run), *SMALL, "--json"]) == 0
    return run, printed.getvalue()


def test_a_dry_run_prints_the_plan_and_writes_nothing(own_folder, capsys):
    code, out, _ = train(capsys, "--out", "run", "--dry-run", *SMALL)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.startswith(("vision", "omni"))]
    assert [row[:3] for row in rows] == [["vision", "2", "2"], ["omni", "2", "2"]]
    assert "image, connector, decoder" in out and "M parameters" in out
    assert not list(own_folder.iterdir())


def test_a_dry_run_as_json_is_one_object_on_stdout_and_the_table_is_on_stderr(capsys):
    code, out, err = train(capsys, "--out", "run", "--dry-run", *SMALL, "--json")
    plan = json.loads(out)
    assert code == 0 and plan["preset"] == "tiny" and "checkpoint" not in plan
    assert [stage["name"] for stage in plan["stages"]] == ["vision", "omni"]
    assert [stage["steps"] for stage in plan["stages"]] == [2, 2]
    assert "M parameters" in err


def test_a_stage_that_does_not_exist_is_refused_with_those_that_do(own_folder, capsys):
    code, out, err = train(capsys, "--out", "run", "--stages", "vision", "visoin")
    config = tiny()
    names = ", ".join(config.every_stage())
    assert (code, out) == (2, "")
    assert err == f"omni-lab: --stages visoin: there are {names}\n"
    assert not list(own_folder.iterdir())


def test_a_file_in_place_of_a_folder_of_shards_is_refused_with_where_it_belongs(own_folder, capsys):
    Path("chat.jsonl").write_text("{}\n")
    assert main(["train", "--data", "chat.jsonl", "--out", "run"]) == 2
    assert "--data chat.jsonl: a file, where a folder of shards is expected" in (
        told := capsys.readouterr().err
    )
    assert "--set data.image_text=chat.jsonl" in told


@pytest.mark.parametrize("planned", [["--dry-run"], []])
def test_what_a_stage_cannot_use_is_said_once(planned, own_folder, capsys):
    folder = write_shards(own_folder / "shards", [clip(0), clip(1, has="image audio")])
    _, out, err = train(capsys, "--data", str(folder), "--out", "run", *planned, *SMALL)
    told = [line for line in (out + err).splitlines() if "without text" in line]
    assert len(told) == 2, "once for each of two stages"


def test_a_run_writes_its_settings_metrics_and_a_checkpoint_per_stage(trained):
    run, printed = trained
    plan = json.loads(printed)
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["omni-000002", "vision-000002"]
    assert all((run / "checkpoints" / name / "model.safetensors").is_file() for name in names)
    assert plan["checkpoint"] == str(run / "checkpoints" / "omni-000002")

    config = read_config(run)
    assert [stage.name for stage in config.training.stages] == ["vision", "omni"]
    steps = [(step["stage"], step["step"]) for step in RunFolder(run, config).metrics()]
    assert steps == [("vision", 0), ("vision", 1), ("omni", 0), ("omni", 1)]


def test_the_same_call_again_does_nothing_more(trained, capsys):
    run, printed = trained
    before = state(run)
    code, out, _ = train(capsys, "--out", run, *SMALL, "--json")
    assert code == 0 and json.loads(out) == json.loads(printed)
    assert state(run) == before

    code, out, _ = train(capsys, "--out", run, *SMALL)
    assert code == 0 and out.endswith(f"trained: {run / 'checkpoints' / 'omni-000002'}\n")
    assert state(run) == before


def test_other_settings_in_the_same_folder_are_refused(trained, capsys):
    run, _ = trained
    before = state(run)
    code, out, err = train(capsys, "--out", run, *SMALL, "seed=5", "--json")
    assert (code, out) == (1, "") and state(run) == before
    assert f"omni-lab: {run}: holds a run with other settings" in err.splitlines()[-1]


def test_training_begins_with_the_furthest_weights_of_another_run(trained, capsys):
    run, _ = trained
    short = ("training.stages.vision.steps=1", "training.stages.vision.batch_size=2")
    call = ("--out", "next", "--init", run, "--stages", "vision", "--set", *short, "--json")
    code, out, _ = train(capsys, *call)
    assert code == 0

    # the vision stage leaves the audio encoder as it was: trained by the other run's last stage
    first, last = (weights(run / "checkpoints" / name) for name in ("vision-000002", "omni-000002"))
    after = weights(json.loads(out)["checkpoint"])
    audio = [name for name in after if part_of(name) == "audio"]
    assert audio and all(torch.equal(after[name], last[name]) for name in audio)
    assert any(not torch.equal(first[name], last[name]) for name in audio)


def test_initial_weights_from_a_folder_that_is_no_run_are_refused_in_one_line(own_folder, capsys):
    (own_folder / "other").mkdir()
    code, out, err = train(capsys, "--out", "run", "--init", "other", *SMALL)
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith("omni-lab: other: not a run folder (no config.json)")
    assert not (own_folder / "run").exists()


def test_initial_weights_of_another_width_are_refused_in_one_line(trained, own_folder, capsys):
    run, _ = trained
    wide = f"model.decoder.width={2 * tiny().model.decoder.width}"
    there, here = tiny().model.decoder.width, 2 * tiny().model.decoder.width
    code, out, err = train(capsys, "--out", "wide", "--init", run, *SMALL, wide)
    assert (code, out) == (1, "")
    told = f"its model is of other settings: model.decoder.width: {there} there, {here} here"
    assert err == f"omni-lab: {run}: {told}\n"
    assert not (own_folder / "wide").exists()
