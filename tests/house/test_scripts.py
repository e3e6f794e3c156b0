"""The recipes for clusters: the shell can read them, their figures are those of the plan, and a dry run trains."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from omni_lab.cli.main import main

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.suffix in (".sh", ".slurm"))
LAUNCHED = ROOT / "scripts" / "train_long_context.sh"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_shell_can_read_every_recipe_and_may_run_it(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert os.access(script, os.X_OK)


def test_the_expected_cost_is_what_the_plan_says_today(capsys):
    text = LAUNCHED.read_text()
    (call,) = re.findall(r"^#   omni-lab (plan .*)$", text, re.M)
    (quoted,) = re.findall(r"^#  ( +\d[\d ]+\|[\d. ]+)$", text, re.M)
    assert main(call.split()) == 0
    assert " ".join(quoted.split()) in " ".join(capsys.readouterr().out.split())


def test_a_dry_run_trains_two_steps_in_a_ring_of_two_processes(tmp_path):
    environment = {
        **os.environ,
        "DRY": "1",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([LAUNCHED, tmp_path / "dry"], env=environment, check=True, timeout=200)
    steps = [
        json.loads(line) for line in (tmp_path / "dry" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [step["step"] for step in steps] == [0, 1]
    assert (
        json.loads((tmp_path / "dry" / "config.json").read_text())["training"]["context_parallel"]
        == 2
    )


def test_what_is_launched_on_real_nodes_is_one_command(tmp_path):
    """With `echo` in Python's place, the line that a node would run."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": "echo",
        "NODES": "2",
        "NODE": "1",
        "HEAD": "first",
    }
    said = subprocess.run(
        [LAUNCHED, "runs/long", "seed=3"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert (
        "--nnodes 2 --node-rank 1 --nproc-per-node 8 --master-addr first --master-port 29500"
        in said
    )
    assert said.endswith(
        "train --preset small --stages albums --out runs/long --set sequence.layout=F4 "
        "training.context_parallel=8 training.stages.albums.batch_size=1092 seed=3\n"
    )


def test_a_node_of_the_recipe_for_shards_runs_one_command(tmp_path):
    environment = {"PATH": os.environ["PATH"], "PYTHON": "echo"}
    call = [ROOT / "scripts" / "train.sh", "shards", "runs/mine", "training.stages=omni"]
    said = subprocess.run(call, env=environment, check=True, capture_output=True, text=True).stdout
    assert "--nnodes 1 --node-rank 0 --nproc-per-node 8" in said
    assert said.endswith(
        "train --preset small --data shards --out runs/mine --set seed=0 training.stages=omni\n"
    )
