"""`omni-lab svlm table`: a table that training reads, its summary, and one line for every fault."""

import json
from dataclasses import replace

import pytest
from clip_shards import clip, config_with, write_shards

from omni_lab.cli.main import main
from omni_lab.training import checkpoint
from omni_lab.training.models import new_model
from omni_lab.training.run import Place, RunFolder, read_config

STAGE = "training.stages.omni"
SHORT = (
    f"{STAGE}.steps=1",
    f"{STAGE}.batch_size=2",
    f"{STAGE}.seconds=2",
    f"{STAGE}.align_weight=0",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of shards, and the run of a reference."""
    folder = tmp_path_factory.mktemp("table")
    write_shards(folder / "shards", [clip(n, text=f"red {'cat ' * n}") for n in range(4)])
    config = replace(config_with(), seed=7)
    run = RunFolder(folder / "clean", config)
    checkpoint.save(run.checkpoints, Place("omni", 1), new_model(config), [], {}, config)
    return folder


def called(capsys, *arguments):
    """Exit code, stdout, and the lines of stderr."""
    code = main([*map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def table(capsys, place, *more):
    data = ("--data", place / "shards", "--stage", "omni", "--out", "losses")
    return called(capsys, "svlm", "table", *data, *more)


def test_a_table_is_written_once_and_read_by_training(place, capsys, own_folder):
    reference = ("--reference", place / "clean")
    code, out, _ = table(capsys, place, *reference, "--set", *SHORT, "--json")
    record = json.loads(out)
    assert code == 0 and (record["documents"], record["resumed"]) == (4, 0)
    assert record["labels"] > 4 and record["mean"]["reference"] > 0
    code, out, _ = table(capsys, place, *reference, "--set", *SHORT)
    assert code == 0 and "documents  4, 4 of them earlier" in out and "table: losses" in out

    chosen = (f"{STAGE}.selection.rule=reference", f"{STAGE}.selection.table=losses")
    train = ("train", "--data", place / "shards", "--stages", "omni", "--out", "run", "--set")
    code, _, err = called(capsys, *train, *SHORT, *chosen)
    assert code == 0, err
    (step,) = RunFolder(own_folder / "run", read_config("run")).metrics()
    assert 0 < step["kept"]["text"] < 1

    code, _, err = called(capsys, *train[:-3], "--out", "next", "--set", *SHORT, *chosen,
                          "sequence.boundary=implicit")  # fmt: skip
    assert code == 1 and "sequence.boundary: explicit there, implicit here" in err[-1]
    assert "omni-lab svlm table --stage omni --out losses --fresh" in err[-1]
    assert not (own_folder / "next" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ((), 2, "stage omni: no model whose losses a table could hold; set --reference RUN"),
        (("--reference", "nowhere"), 1, "nowhere: not a run folder"),
        (("--reference", "{}/clean", "--device", "abacus"), 2, "device abacus: "),
        (("--reference", "{}/clean", "--stage", "omnni"), 2, "--stage omnni: there are vision"),
        (("--reference", "{}/clean", "--data", "nowhere"), 1, "nowhere: there is no such folder"),
        (
            ("--reference", "{}/clean", "--set", "sequence.image_tokens=1"), 1,
            "clean: reads other units: sequence.image_tokens: 4 there, 1 here",
        ),
    ],
)  # fmt: skip
def test_every_fault_is_one_line(more, code, message, place, capsys, own_folder):
    found, out, err = table(capsys, place, *(word.format(place) for word in more))
    assert (found, out) == (code, "") and len(err) == 1
    assert err[0].startswith("omni-lab: ") and message in err[0]
    assert not list(own_folder.iterdir())


def test_the_gallery_has_no_table(place, capsys, own_folder):
    arguments = ("--stage", "omni", "--out", "losses", "--reference", place / "clean")
    code, _, err = called(capsys, "svlm", "table", *arguments)
    assert code == 2 and len(err) == 1
    assert "no table has their losses: samples (gallery) are made at every step" in err[0]
    assert not list(own_folder.iterdir())
