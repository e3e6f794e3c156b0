"""Training that is killed (SIGKILL) at any write, or meets a full disk, goes on to the very same metrics."""

from __future__ import annotations

import random
import resource
import shutil

import pytest
import torch
from clip_shards import clip, write_shards
from power_cuts import killed_at, stop_after
from safetensors.torch import load_file

from omni_lab.config import override, tiny
from omni_lab.data.batch import StageData
from omni_lab.errors import InputError
from omni_lab.training import checkpoint
from omni_lab.training.faults.disk import DiskError
from omni_lab.training.models import new_model
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import Trainer, train, train_stages
from omni_lab.world.source import lessons

GALLERY = [
    f"training.stages.{stage}.{setting}"
    for stage in ("vision", "audio", "omni")
    for setting in ("steps=2", "batch_size=2", "seconds=2")
] + ["training.stages.omni.align_fraction=1", "training.checkpoint_every=1"]
SHARDS = [
    "training.stages=omni", "training.stages.omni.sources=shards", "training.stages.omni.steps=4",
    "training.stages.omni.batch_size=2", "training.stages.omni.seconds=2",
    "training.checkpoint_every=2",
]  # fmt: skip


def metrics(run):
    """All but the time that steps took."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in run.metrics()]


def weights(run):
    found, _ = checkpoint.latest(run.checkpoints, tuple(run.config.every_stage()))
    return load_file(found / "model.safetensors")


def check_equal(one, other):
    assert metrics(one) == metrics(other), "to the last bit"
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


VISION = override(tiny(), [*GALLERY, "training.stages=vision", "training.stages.vision.steps=3"])


class Ready(StageData):
    """Batches of the vision stage, made once, and no process beside whose files count."""

    def __init__(self):
        self.settings = VISION.training.stages[0]
        self.made = [lessons(VISION, self.settings).batch(step) for step in range(3)]

    def batch(self, step, rank=0, ranks=1):
        return self.made[step]

    def batches(self, first, rank=0, ranks=1):
        yield from self.made[first:]


@pytest.fixture(scope="module")
def ready():
    return Ready()


@pytest.fixture(scope="module")
def vision(tmp_path_factory, ready):
    """The vision stage, uninterrupted."""
    run = RunFolder(tmp_path_factory.mktemp("vision") / "whole", VISION)
    train_stages(VISION, run, [ready], progress=False)
    return run


@pytest.mark.parametrize(("data", "kills"), [("gallery", 5), ("shards", 2)])
def test_a_run_killed_at_writes_of_any_sort_ends_as_one_that_was_not(tmp_path, data, kills):
    """The draws fall on metrics, checkpoints, the names of both, and what lies in between."""
    settings = list(GALLERY if data == "gallery" else SHARDS)
    if data == "shards":
        clips = [clip(n, text=f"red {n}") for n in range(5)]
        settings.append(f"data.shards={write_shards(tmp_path / 'shards', clips)}")
    config = override(tiny(), settings)
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    train(config, RunFolder(whole, config), progress=False)

    def go_on():
        train(config, RunFolder(killed, config), progress=False)

    draw, died = random.Random(data), 0
    while killed_at(killed, draw.randrange(12, 70), go_on):
        died += 1
        assert died < 40, "it does not get any further"
    assert died >= kills
    check_equal(RunFolder(killed, config), RunFolder(whole, config))
    assert not list((killed / "checkpoints").glob("*.tmp"))


def test_what_a_step_draws_at_random_is_the_same_after_a_resumption(tmp_path, vision, ready):
    """Dropout: no generator's state is saved, each step has a seed of its own."""

    def fit(name):
        model = new_model(VISION)
        for layer in model.decoder.layers:
            layer.self_attn.attention_dropout = 0.5
        run = RunFolder(tmp_path / name, VISION)
        Trainer(VISION.training, model, run, progress=False).fit([ready])
        return metrics(run)

    stop_after("vision", 2, lambda: fit("parts"))
    assert fit("parts") == fit("whole") != metrics(vision)


@pytest.fixture
def limited(monkeypatch):
    """Files of the run may grow to so many bytes only, from a step on: a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = RunFolder.log

    def limit(step, size):
        def log_then_fill(self, record):
            if record["step"] == step and size is None:  # in this very line
                length = (self.path / "metrics.jsonl").stat().st_size + 20
                resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
            log(self, record)
            if record["step"] == step:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

        monkeypatch.setattr(RunFolder, "log", log_then_fill)

    def free():
        monkeypatch.setattr(RunFolder, "log", log)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    yield limit, free
    free()


@pytest.mark.parametrize(
    ("size", "file"), [(100_000, "vision-000002.tmp"), (None, "metrics.jsonl")]
)
def test_a_disk_that_fills_up_costs_the_last_step_only(
    tmp_path, limited, vision, ready, size, file
):
    limit, free = limited
    run = RunFolder(tmp_path / "full", VISION)
    limit(1, size)
    with pytest.raises(DiskError) as caught:
        train_stages(VISION, run, [ready], progress=False)
    free()
    told, kept = str(caught.value), run.checkpoints / "vision-000001"
    assert file in told and "\n" not in told and caught.value.exit_code == 1
    assert f"not written (File too large); {kept} is kept; make room, and the same command" in told
    assert not list(run.checkpoints.glob("*.tmp"))
    assert [record["step"] for record in run.metrics()] == ([0] if size is None else [0, 1])
    train_stages(VISION, run, [ready], progress=False)
    check_equal(run, vision)


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path, vision, ready):
    run = RunFolder(tmp_path / "harmed", VISION)
    shutil.copytree(vision.path, run.path, dirs_exist_ok=True)
    last = run.checkpoints / "vision-000003" / "optimizer.safetensors"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="vision-000003: damaged, optimizer.* from vision-000002"):
        train_stages(VISION, run, [ready], progress=False)
    check_equal(run, vision)


def test_a_checkpoint_of_another_model_is_refused_with_the_differences(tmp_path, vision):
    """One that was copied from another run, whose stage is done."""
    other = override(VISION, ["model.decoder.mlp=96", "sequence.unit_s=2"])
    run = RunFolder(tmp_path / "other", other)
    shutil.copytree(vision.checkpoints, run.checkpoints, dirs_exist_ok=True)
    with pytest.raises(InputError) as caught:
        train(other, run, progress=False)
    mlp = VISION.model.decoder.mlp
    told = f"vision-000003: weights of another model: model.decoder.mlp: {mlp} there, 96 here; "
    assert f"{told}sequence.unit_s: 1 there, 2 here" in str(caught.value)
    assert "\n" not in str(caught.value)
