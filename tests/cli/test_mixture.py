"""`omni-lab mixture`: indices and what will be seen, branches with their winner, one line for faults."""

from __future__ import annotations

import json

import pytest
from instruct_data import chats

from omni_lab.cli.main import main

SMALL = (
    "training.stages.instruct.batch_size=4", "training.stages.instruct.train=image,connector,decoder",
    "training.warmup_steps=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chats")
    return {
        name: chats(folder / name, n, "red") for name, n in (("seen", 6), ("told", 9), ("new", 5))
    }


def call(capsys, *arguments):
    code = main(["mixture", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def mixed(files):
    return f"seen=75:chat:{files['seen']}", f"told=25:chat:{files['told']}"


def test_a_mixture_is_saved_and_says_what_will_be_seen(files, tmp_path, capsys):
    out = tmp_path / "mix" / "mixture.json"
    command = ("build", *mixed(files), "--parts", 8, 16, "--out", out, "--set", *SMALL)
    code, text, _ = call(capsys, *command)
    assert code == 0
    assert text.splitlines()[0].split()[:3] == ["dataset", "samples", "of"]
    first = out.read_bytes()

    code, text, _ = call(capsys, *command, "--json")
    record = json.loads(text)
    assert out.read_bytes() == first, "the same call writes the same bytes"
    assert record["parts"] == [8, 16]
    assert {name: own["samples"] for name, own in record["seen"].items()} == {"seen": 18, "told": 6}
    assert record["seen"]["seen"]["epochs"] == 3


def test_every_part_has_a_branch_and_one_of_all_wins(files, tmp_path, capsys):
    out = tmp_path / "run"
    command = (
        "explore", *mixed(files), "--parts", 8, 8, "--test", f"new=chat:{files['new']}",
        "--out", out, "--extra", 0.5, "--merged", 2, "--set", *SMALL, "--json",
    )  # fmt: skip
    code, text, err = call(capsys, *command)
    assert code == 0, err
    curve = json.loads(text)
    assert [(point["step"], point["branch_steps"]) for point in curve["points"]] == [(2, 1), (4, 2)]
    scores = [
        point[kind]["new"] for point in curve["points"] for kind in ("trunk", "branch", "merge")
    ]
    assert all(score < 0 for score in scores) and len(set(scores)) == 6
    assert curve["winner"]["score"] == max(scores)
    assert json.loads((out / "curve.json").read_text())["points"] == curve["points"]
    assert (out / "mixture.json").is_file()

    code, text, _ = call(capsys, *command)
    assert json.loads(text)["points"] == curve["points"], "what is trained is not trained again"


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({0: "seen=chat:x"}, 2, "write NAME=PERCENT:KIND:PATH"),
        ({0: "seen=70:chat:{seen}"}, 2, "percentages add up to 95, not 100"),
        ({0: "seen=75:chats:{seen}"}, 2, "unknown source 'chats'"),
        ({0: "seen=75:chat:none.jsonl"}, 1, "none.jsonl"),
        ({0: "seen=75:chat:{told}"}, 1, "are the same data"),
    ],
)
def test_a_fault_is_one_line(files, tmp_path, capsys, change, code, told):
    named = list(mixed(files))
    for place, text in change.items():
        named[place] = text.format(**files)
    found, _, err = call(
        capsys, "build", *named, "--parts", 8, "--out", tmp_path / "m.json", "--set", *SMALL
    )
    assert found == code
    assert told in err and len(err.splitlines()) == 1
    assert not (tmp_path / "m.json").exists()


def test_parts_that_end_within_a_batch_are_refused_before_training(files, tmp_path, capsys):
    command = ("explore", *mixed(files), "--parts", 6, "--test", f"new=chat:{files['new']}")
    code, _, err = call(capsys, *command, "--out", tmp_path / "run", "--set", *SMALL)
    assert code == 2 and "within a batch of 4" in err
    code, _, err = call(
        capsys, *command[:4], "8", "--test", f"average=chat:{files['new']}",
        "--out", tmp_path / "run", "--set", *SMALL,
    )  # fmt: skip
    assert code == 2 and "called average" in err
