"""The trainer: interrupted and resumed equals uninterrupted, in one process and under several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from power_cuts import stop_after
from safetensors.torch import load_file
from stage_data import lessons_of

from omni_lab.analysis.logs import read_log
from omni_lab.config import override, tiny
from omni_lab.errors import ConfigError, InputError, UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.parallel.collectives import Collectives
from omni_lab.training import checkpoint, processes
from omni_lab.training.models import trained
from omni_lab.training.run import RunFolder, read_config
from omni_lab.training.trainer import train, train_stages

SETTINGS = [
    "training.stages.vision.steps=3", "training.stages.audio.steps=2",
    "training.stages.omni.steps=4", "training.stages.vision.batch_size=4",
    "training.stages.audio.batch_size=4", "training.stages.omni.batch_size=2",
    "training.stages.omni.seconds=4", "training.checkpoint_every=2",
    "training.stages.omni.align_fraction=.5",
]  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.latest(folder / "checkpoints", ("vision", "audio", "omni"))
    return load_file(found[0] / "model.safetensors")


def test_a_run_stopped_anywhere_ends_with_the_weights_of_one_that_was_not(tmp_path):
    config = override(tiny(), SETTINGS)
    train(config, RunFolder(tmp_path / "whole", config), progress=False)

    run = RunFolder(tmp_path / "parts", config)
    for place in (("vision", 2), ("vision", 3), ("omni", 2)):
        stop_after(*place, lambda: train(config, run, progress=False))
    train(config, run, progress=False)

    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(parts[name], whole[name])] == []
    first, second = RunFolder(tmp_path / "whole", config).metrics(), run.metrics()
    for record in (*first, *second):
        del record["seconds"]
    assert second == first, "to the last bit"


def test_a_curriculum_of_the_data_is_in_the_metrics_and_so_among_the_events_of_a_log(tmp_path):
    config = override(tiny(), [*SETTINGS, "training.stages=vision"])
    train(config, RunFolder(tmp_path, config), progress=False)
    named = [line["data"] for line in RunFolder(tmp_path, config).metrics()]
    assert named == ["finding", "moving", "describing"]
    events = [(e.step, e.what) for e in read_log(tmp_path).events if e.kind == "data"]
    assert events == [(1, "data: finding → moving"), (2, "data: moving → describing")]


def test_a_stage_does_not_go_on_with_other_data_than_it_began_with(tmp_path):
    config = override(tiny(), [*SETTINGS, "training.stages=vision"])
    data, run = lessons_of(config, "vision"), RunFolder(tmp_path / "run", config)
    data.fingerprint = "films"
    stop_after("vision", 2, lambda: train_stages(config, run, [data], progress=False))
    data.fingerprint = "other films"
    with pytest.raises(InputError, match="stage vision began with other data"):
        train_stages(config, run, [data], progress=False)
    data.fingerprint = "films"
    train_stages(config, run, [data], progress=False)
    data.fingerprint = "other films"
    train_stages(config, run, [data], progress=False)  # it is trained: nothing more is read


def test_half_a_line_of_metrics_is_left_out_and_damaged_settings_are_named(tmp_path):
    run = RunFolder(tmp_path, tiny())
    run.log({"stage": "omni", "step": 0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "omni", "st')
    assert run.metrics() == [{"stage": "omni", "step": 0}]
    for text, message in (
        ("{", "not readable as JSON"),
        ("[1]", "one JSON object, not list"),
        ('{"seed": Infinity}', "seed = inf is impossible"),
        ('{"training": {"stages": {"omni": 3}}}', "training.stages.omni is a section"),
        ('{"seed": %s}' % ("9" * 5000), "not readable as JSON"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises((InputError, ConfigError), match=message) as caught:
            read_config(tmp_path)
        assert "config.json" in str(caught.value) and "\n" not in str(caught.value)


def test_ctrl_c_finishes_the_step_saves_and_says_stop(tmp_path, monkeypatch):
    config = override(
        tiny(), [*SETTINGS, "training.stages.vision.steps=50", "training.checkpoint_every=50"]
    )
    run = RunFolder(tmp_path / "run", config)
    log = RunFolder.log

    def log_and_press(self, record):
        log(self, record)
        if record["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunFolder, "log", log_and_press)
    with pytest.raises(KeyboardInterrupt):
        train(config, run, progress=False)
    assert checkpoint.latest(run.checkpoints, ("vision", "audio", "omni"))[1] == checkpoint.Place(
        "vision", 3
    )


def test_a_folder_with_other_settings_is_refused_by_name(tmp_path):
    config = override(tiny(), SETTINGS)
    RunFolder(tmp_path, config)
    with pytest.raises(InputError, match="--fresh"):
        RunFolder(tmp_path, override(config, ["seed=7"]))


def test_a_run_without_checkpoints_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="omni-lab demo"):
        trained(tmp_path)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_that_spin_are_warned_of_where_there_are_several(monkeypatch, threads):
    """Torch reads how its threads wait when it is loaded: `omni_lab`, which says so, came too late."""
    monkeypatch.setattr(processes, "THREADS_SPIN", True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        processes.Processes(override(tiny(), [f"training.threads={threads}"]).training)
    torch.set_num_threads(1)
    assert ["import omni_lab first" in str(one.message) for one in told] == [True] * (threads > 1)


LAUNCHED = """
import sys
import torch
from omni_lab.config import override, tiny
from omni_lab.world.source import lessons
from omni_lab.training.trainer import train, train_stages
from omni_lab.training.run import RunFolder

config = override(tiny(), {settings!r})
train(config, RunFolder(sys.argv[1] + "/rows", config), progress=False)
assert torch.distributed.get_world_size() == 2
config = override(tiny(), {shared!r})
albums = [lessons(config, stage) for stage in config.albums.stages]
train_stages(config, RunFolder(sys.argv[1] + "/shared", config), albums, progress=False)
"""
# all weights move, so that encoders get their gradients through shared rows too
ALBUMS = [
    "sequence.layout=F4", "albums.stages.albums.steps=4", "albums.stages.albums.batch_size=3",
    "training.checkpoint_every=2", "albums.stages.albums.train=image,connector,decoder",
    "albums.stages.albums.interaction=text>image=0.5",
]  # fmt: skip


def test_two_processes_learn_what_one_learns_with_rows_of_their_own_and_with_shared_rows(tmp_path):
    """Under `torchrun` with 2 gloo processes, the same global batch gives the same losses and weights."""
    script = tmp_path / "launched.py"
    script.write_text(
        LAUNCHED.format(settings=SETTINGS, shared=[*ALBUMS, "training.context_parallel=2"])
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2".split()
    rows, albums = override(tiny(), SETTINGS), override(tiny(), ALBUMS)
    alone = RunFolder(tmp_path / "rows-alone", rows), RunFolder(tmp_path / "shared-alone", albums)
    with subprocess.Popen([*launch, str(script), str(tmp_path)], env=environment) as launched:
        try:
            train(rows, alone[0], progress=False)  # while they start
            train_stages(albums, alone[1], [lessons_of(albums, "albums")], progress=False)
            assert launched.wait(300) == 0
        finally:
            launched.kill()
    for run, name in zip(alone, ("rows", "shared"), strict=True):
        one, two = run.metrics(), RunFolder(tmp_path / name, read_config(tmp_path / name)).metrics()
        # the first step sees the same weights; after it, rounding is magnified by optimizers that normalise gradients
        assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-5)
        assert two[0]["grad_norm"] == pytest.approx(one[0]["grad_norm"], rel=1e-3)
        assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], rel=0.02)
        assert [r["align"] for r in two if "align" in r] == pytest.approx(
            [r["align"] for r in one if "align" in r], rel=0.02
        )
        assert [r["tokens"] for r in two] == [r["tokens"] for r in one]
    found, _ = checkpoint.latest(tmp_path / "shared" / "checkpoints", ("albums",))
    assert OmniModel.load(found).decoder.config._attn_implementation == "sdpa", (
        "it is loaded as any other"
    )


def test_a_ring_that_does_not_fit_is_refused(tmp_path):
    odd = override(tiny(), ["training.context_parallel=2"])
    with pytest.raises(UsageError, match="1 processes do not divide into groups of 2"):
        train(odd, RunFolder(tmp_path / "odd", odd), progress=False)
    with pytest.raises(UsageError, match="this stage has captions"):
        lessons_of(tiny(), "vision").batch(0).sharded(Collectives(), None)


def test_alignment_over_a_ring_is_refused_since_its_negatives_would_be_each_ranks_own(
    tmp_path, monkeypatch
):
    alone = Collectives(alone=True)
    monkeypatch.setattr(processes.Processes, "_context_parallel_group", lambda *_: alone)
    aligned = override(
        tiny(),
        [
            "sequence.layout=F4",
            "albums.stages.albums.align_weight=0.3",
            "albums.stages.albums.align_fraction=0.5",
        ],
    )
    with pytest.raises(UsageError, match="set align_fraction=0 of albums"):
        train_stages(
            aligned,
            RunFolder(tmp_path / "aligned", aligned),
            [lessons_of(aligned, "albums")],
            progress=False,
        )


def test_a_stage_begins_with_its_interaction_and_an_impossible_one_is_refused_before_anything_trains(
    tmp_path,
):
    short = [
        *SETTINGS,
        "training.stages.vision.steps=0",
        "training.stages.audio.steps=0",
        "training.stages.omni.steps=2",
    ]
    losses = {}
    for name, course in {"none": "", "cut": "text>audio=0", "rising": "text>audio=0:1@0.5"}.items():
        config = override(tiny(), [*short, f"training.stages.omni.interaction={course}"])
        run = RunFolder(tmp_path / name, config)
        train(config, run, progress=False)
        losses[name] = [row["stream"] for row in run.metrics() if row["stage"] == "omni"]
    assert losses["rising"][0] == losses["cut"][0] != losses["none"][0]
    assert losses["rising"][1] != losses["cut"][1], (
        "half the stage is over, and the pair at full strength"
    )
    wrong = override(tiny(), [*short, "training.stages.omni.interaction=text>smell=0"])
    with pytest.raises(UsageError, match="text>smell=0"):
        train(wrong, RunFolder(tmp_path / "wrong", wrong), progress=False)
    assert not RunFolder(tmp_path / "wrong", wrong).metrics()
