"""Steps that give no number: all ranks stop before a weight moves, the batch is kept, and runs again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stage_data import lessons_of

from omni_lab.cli.main import main
from omni_lab.config import override, tiny
from omni_lab.data.batch import StageData
from omni_lab.errors import InputError
from omni_lab.training import checkpoint
from omni_lab.training.faults.batch_file import KEY
from omni_lab.training.faults.replay import replay
from omni_lab.training.faults.watch import NonFiniteError, Watch
from omni_lab.training.models import new_model
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import Trainer

STEPS, BAD = 2, 1  # the step at fault is the last
CONFIG = override(
    tiny(),
    [
        "training.stages=omni", f"training.stages.omni.steps={STEPS}", "training.checkpoint_every=1",
        "training.stages.omni.batch_size=4", "training.stages.omni.seconds=2",
        "training.stages.omni.align_fraction=1",
    ],
)  # fmt: skip


class Made(StageData):
    """Batches made once for all tests, without a process beside; `spoil` may change those of `BAD`."""

    batches_of: ClassVar[dict] = {}

    def __init__(self, spoil=None):
        self.settings, self.spoil = CONFIG.training.stages[0], spoil
        self.lessons = lessons_of(CONFIG, "omni")

    def batch(self, step, rank=0, ranks=1):
        place = (step, rank, ranks)
        if place not in self.batches_of:
            self.batches_of[place] = self.lessons.batch(*place)
        made = self.batches_of[place]
        return self.spoil(made, rank) if self.spoil and step == BAD else made

    def batches(self, first, rank=0, ranks=1):
        yield from (self.batch(step, rank, ranks) for step in range(first, STEPS))


def silence(unit):
    """A batch whose sound of one unit is not a number."""

    def spoil(made, rank):
        waves = made.streams.waves.clone()
        waves[unit, 7] = torch.nan
        return replace(made, streams=replace(made.streams, waves=waves))

    return spoil


def trainer(folder, spoil=None):
    model = new_model(CONFIG)
    return Trainer(CONFIG.training, model, RunFolder(folder, CONFIG), progress=False), [Made(spoil)]


class Poison(torch.autograd.Function):
    """The identity, whose gradient of one row is infinite."""

    @staticmethod
    def forward(ctx, states, row):
        ctx.row = row
        return states.clone()

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        if ctx.row < len(gradient):
            gradient[ctx.row] *= 1e38
            gradient[ctx.row] *= 1e38  # 0 stays 0
        return gradient, None


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run without faults that keeps every step, as it would keep one at fault."""
    folder = tmp_path_factory.mktemp("sound") / "run"
    kept = []

    class Keeping(Watch):
        def check(self, inputs, objective, losses, means, norms):
            before = torch.get_rng_state()
            local = {name: value.item() for name, value in losses.items()}
            kept.append((local, norms))
            self.keep(inputs, objective, {"what": "asked for", "losses": local})
            torch.set_rng_state(before)

    own, data = trainer(folder)
    own.guard = Keeping(own.run, own.processes)
    own.fit(data)
    return own.run, kept


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_a_kept_batch_run_again_gives_the_loss_of_its_step_to_the_last_bit(sound):
    run, kept = sound
    for step, (losses, norms) in enumerate(kept):
        found = replay(run.path / "faults" / f"omni-{step:06d}" / "rank-0.safetensors")
        assert found["same"] and found["losses"] == losses and found["norms"] == norms
        assert {name: run.metrics()[step][name] for name in losses} == losses
        assert (found["cause"], found["module"], found["weight"]) == ("sound", None, None)
        rows = found["rows"]["streams"]
        assert len(rows) == 4 and min(rows) < losses["stream"] < max(rows)
    assert run.metrics()[0]["loss"] != run.metrics()[1]["loss"]


def stopped(folder, spoil=None, prepare=None):
    """What a run with a fault says, and its folder."""
    own, data = trainer(folder, spoil)
    if prepare:
        prepare(own)
    with pytest.raises(NonFiniteError) as caught:
        own.fit(data)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1
    return str(caught.value), own.run


def check_kept(run, sound, step=BAD):
    """Good steps stay as they were, the last good checkpoint and the weights of the step too."""
    good, kept = sound[0], run.path / "faults" / f"omni-{step:06d}"
    strip = [{k: v for k, v in r.items() if k != "seconds"} for r in run.metrics()]
    assert strip == [{k: v for k, v in r.items() if k != "seconds"} for r in good.metrics()[:step]]
    found, place = checkpoint.latest(run.checkpoints, ("omni",))
    assert place.step == step
    before = weights(good.path / "faults" / f"omni-{step:06d}" / "weights")
    for other in (weights(kept / "weights"), weights(found)):
        assert all(torch.equal(other[name], value) for name, value in before.items())
    assert not list((run.path / "faults").glob("*.tmp"))
    return kept / "rank-0.safetensors"


def test_input_that_is_no_number_stops_the_run_and_its_row_is_named(tmp_path, sound):
    told, run = stopped(tmp_path / "run", silence(5))
    file = check_kept(run, sound)
    assert told == (
        "stage omni, step 1, rank 0: loss is nan (stream, align), "
        f"input of row 2 of streams; kept in {file}; "
        f"to run it again: omni-lab train --replay-batch {file}"
    )
    found = replay(file)
    assert found["same"] and found["cause"] == "input" and found["module"] == "audio.log_mel"
    assert [n for n, loss in enumerate(found["rows"]["streams"]) if loss == "nan"] == [2]
    assert json.loads((file.parent / "fault.json").read_text())["fault"] in told


def test_a_module_that_overflows_in_the_forward_pass_is_named_with_the_row(tmp_path, sound):
    calls = []

    def overflow(module, args, output):
        calls.append(len(calls))
        if calls[-1] // 2 >= BAD and len(output) == 4:  # streams and captions: two passes a step
            output = output.clone()
            output[1] = torch.inf
        return output

    def prepare(own):
        own.model.decoder.layers[1].mlp.register_forward_hook(overflow)

    told, run = stopped(tmp_path / "run", prepare=prepare)
    file = check_kept(run, sound)
    assert "loss is nan (stream" in told
    assert "forward pass of row 1 of streams, first in decoder.layers.1.mlp; kept in" in told
    assert replay(file)["cause"] == "sound", "what was wrong is neither in weights nor in the batch"


def test_a_gradient_that_overflows_stops_the_run_though_its_loss_is_sound(tmp_path, sound):
    calls = []

    def poison(module, args, output):
        calls.append(len(calls))
        return Poison.apply(output, 3) if calls[-1] // 2 >= BAD else output

    def prepare(own):
        own.model.decoder.layers[0].mlp.register_forward_hook(poison)

    told, run = stopped(tmp_path / "run", prepare=prepare)
    check_kept(run, sound)
    assert "rank 0: gradient norm of " in told and "decoder" in told and " is nan, " in told
    assert "backward pass of row 3 of streams; kept in" in told


def test_a_number_that_is_wrong_only_once_is_called_chance(tmp_path, sound):
    calls = []

    def once(module, args, output):
        calls.append(len(calls))
        return output * torch.nan if calls[-1] == 2 * BAD else output

    def prepare(own):
        own.model.decoder.layers[0].mlp.register_forward_hook(once)

    told, run = stopped(tmp_path / "run", prepare=prepare)
    assert "sound in a second pass (chance, or the machine); kept in" in told
    assert replay(check_kept(run, sound))["cause"] == "sound"


def test_weights_that_are_no_numbers_are_named_before_all_that_follows_from_them(tmp_path):
    def prepare(own):
        with torch.no_grad():
            own.model.connector["audio"].get_parameter(
                next(name for name, _ in own.model.connector["audio"].named_parameters())
            )[0] = torch.inf

    told, run = stopped(tmp_path / "run", prepare=prepare)
    assert "step 0, rank 0: loss is nan" in told and "weights (connector.audio." in told
    found = replay(run.path / "faults" / "omni-000000" / "rank-0.safetensors")
    assert found["cause"] == "weights" and found["weight"].startswith("connector.audio.")
    assert not run.metrics() and checkpoint.latest(run.checkpoints, ("omni",)) is None


def test_a_fault_on_a_full_disk_is_told_all_the_same(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("omni_lab.training.faults.watch.write_step", full)
    told, _ = stopped(tmp_path / "run", silence(0))
    assert told.endswith(
        "its batch could not be kept (OSError: [Errno 28] No space left on device)"
    )


def test_the_replay_command_works_from_anywhere_as_text_and_json(sound, capsys, monkeypatch):
    run, kept = sound
    monkeypatch.chdir(run.path / "faults")
    file = "omni-000000/rank-0.safetensors"
    assert main(["train", "--replay-batch", file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["losses"] == kept[0][0] and found["same"] and found["file"] == file
    assert main(["train", "--replay-batch", file]) == 0
    out = capsys.readouterr().out
    assert out.startswith("stage omni, step 0, rank 0 of 1: sound")
    assert "the same to the last bit" in out and "first module without finite output: none" in out
    assert f"{found['rows']['streams'][2]:.6g}" in out and "gradient norms: " in out


def test_a_kept_batch_taken_elsewhere_with_its_weights_runs_again(sound, tmp_path):
    shutil.copytree(sound[0].path / "faults" / "omni-000000", tmp_path / "a" / "b" / "c")
    assert replay(tmp_path / "a" / "b" / "c" / "rank-0.safetensors")["same"]


@pytest.fixture
def copy(sound, tmp_path):
    """A kept batch in the folder of a run with the same settings."""
    RunFolder(tmp_path / "run", CONFIG)
    kept = tmp_path / "run" / "faults" / "omni-000000"
    shutil.copytree(sound[0].path / "faults" / "omni-000000", kept)
    return kept / "rank-0.safetensors"


def refused(file, message):
    with pytest.raises(InputError, match=message) as caught:
        replay(file)
    assert "\n" not in str(caught.value) and str(file.parent) in str(caught.value)


def test_what_is_no_batch_is_refused_in_one_line(copy):
    refused(copy.parent / "weights" / "model.safetensors", "no batch of a training step; those tha")
    refused(copy.parent / "fault.json", "fault.json: no batch file, or cut short")
    refused(copy.parent, r"a folder; name a file in it \(rank-0.safetensors\)")
    refused(copy.parent / "rank-7.safetensors", "no such file; training keeps batches at fault")


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_a_batch_that_was_cut_short_is_refused_in_one_line(copy, part):
    whole = copy.read_bytes()
    copy.write_bytes(whole[: int(part * len(whole))])
    refused(copy, "rank-0.safetensors: no batch file, or cut short")


def test_a_batch_of_another_version_is_refused_by_name(copy):
    with safe_open(copy, framework="pt") as file:
        header = json.loads(file.metadata()[KEY])
    for name, value in (("config", {"smell": 1}), ("plain", {}), ("stage", "smell")):
        save_file(load_file(copy), copy, {KEY: json.dumps(header | {name: value})})
        refused(copy, "rank-0.safetensors: its record is not as this version writes it")


def test_a_batch_of_other_settings_is_refused_with_the_differences(copy, tmp_path):
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "config.json").unlink()
    RunFolder(tmp_path / "run", override(CONFIG, ["training.muon_lr=0.002"]))
    refused(copy, "of a run with other settings: training.muon_lr: 0.004 there, 0.002 here")


def test_weights_of_another_step_or_damaged_ones_are_refused_by_name(copy, sound):
    folder = copy.parent / "weights"
    held = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(held[:-8])
    refused(copy, r"weights: model.safetensors has [\d,]+ bytes of [\d,]+; step 0 of omni is expec")
    shutil.rmtree(folder)
    refused(copy, "weights: missing; a batch is run again with the weights beside it")
    shutil.copytree(sound[0].path / "faults" / "omni-000001" / "weights", folder)
    refused(copy, "weights: it holds step 1 of stage omni; step 0 of omni is expected")


@pytest.mark.parametrize("call", [[], ["--out", "run", "--replay-batch", "x"]])
def test_a_call_has_either_a_run_folder_or_a_batch(call, capsys):
    assert main(["train", *call]) == 2
    assert capsys.readouterr().err.startswith("omni-lab: --out: name a" if not call else "omni-lab")


def in_rank(folder, rank, port):
    """One of two processes that train together, in a child of this one."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    os.environ |= {
        "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip

    def spoil(made, rank):
        return silence(0)(made, rank) if rank == 1 else made

    own, data = trainer(folder, spoil)
    try:
        own.fit(data)
    except NonFiniteError as fault:
        folder.with_name(f"told-{rank}").write_text(str(fault))
        return 7
    return 0


def test_ranks_stop_together_and_only_the_rank_at_fault_keeps_its_batch(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    RunFolder(tmp_path / "run", CONFIG)
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = in_rank(tmp_path / "run", rank, port)
            except BaseException:  # noqa: BLE001 - a child must not go on as the test
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(code)
        children.append(child)
    assert [ended(child) for child in children] == [7, 7]

    told = [(tmp_path / f"told-{rank}").read_text() for rank in range(2)]
    kept = tmp_path / "run" / "faults" / "omni-000001"
    assert told[0] == told[1] and "step 1, rank 1: loss is nan" in told[0]
    assert f"kept in {kept / 'rank-1.safetensors'}" in told[0]
    assert sorted(p.name for p in kept.iterdir()) == ["fault.json", "rank-1.safetensors", "weights"]
    found = replay(kept / "rank-1.safetensors")
    assert (found["rank"], found["ranks"], found["cause"]) == (1, 2, "input")
    assert found["at_fault"]["streams"] == [0]
    assert [record["step"] for record in RunFolder(tmp_path / "run", CONFIG).metrics()] == [0]


def ended(child, most_s=60):
    """Exit code of a child; killed where it hangs."""
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "it hangs"
